# SPDX-License-Identifier: Apache-2.0
"""What a person sees while a run goes on: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.text import Text

from loadgen.outcomes import Outcome
from loadgen.stats import quantile

_PLAIN_EVERY_S = 10.0
_RECENT = 1000


class Ended(Protocol):
    """What progress needs to know of a request that came to its end: fields of its record."""

    @property
    def outcome(self) -> Outcome:
        """How it ended."""

    @property
    def response_ttft_ms(self) -> float | None:
        """Time to the first token, from the intended send."""

    @property
    def response_latency_ms(self) -> float | None:
        """Time to the end, from the intended send."""

    @property
    def service_ttft_ms(self) -> float | None:
        """Time to the first token, from the real send."""

    @property
    def service_latency_ms(self) -> float | None:
        """Time to the end, from the real send."""

    @property
    def tpot_ms(self) -> float | None:
        """Time per output token after the first."""

    @property
    def prompt_tokens(self) -> int | None:
        """Tokens of the prompt."""

    @property
    def output_tokens(self) -> int | None:
        """Tokens of the answer."""


class Progress(Protocol):
    """Is told what happens, and when a second has gone by."""

    def sent(self) -> None:
        """One more request was sent."""

    def finished(self, record: Ended) -> None:
        """One more request came to its end."""

    def tick(self, elapsed_s: float, total_s: float) -> None:
        """Show the state; called each second."""

    def mark(self, names: Sequence[str]) -> None:
        """Take note of the windows that are open now; called when that changes."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class Counts:
    """The running figures, and the line that shows them."""

    def __init__(self) -> None:
        self._sent = self._ok = self._failed = 0
        self._ttft_ms: deque[float] = deque(maxlen=_RECENT)
        self._marks: tuple[str, ...] = ()

    def sent(self) -> None:
        """Count a request that was sent."""
        self._sent += 1

    def finished(self, record: Ended) -> None:
        """Count a request that came to its end."""
        if record.outcome is Outcome.SUCCESS:
            self._ok += 1
        else:
            self._failed += 1
        if record.response_ttft_ms is not None:
            self._ttft_ms.append(record.response_ttft_ms)

    def mark(self, names: Sequence[str]) -> None:
        """Show the windows that are open."""
        self._marks = tuple(names)

    def line(self, elapsed_s: float, total_s: float) -> str:
        """Write the state in one line; TTFT is the median of the last thousand.

        A load that ends by its count has no total, 0.
        """
        median = quantile(sorted(self._ttft_ms), 0.5)
        ttft = "-" if median is None else f"{median:.0f} ms"
        if elapsed_s < 0:
            return f"starts in {-elapsed_s:.0f} s"
        of = f"/{total_s:.0f}" if total_s else ""
        return (
            f"{elapsed_s:.0f}{of} s  sent {self._sent}  ok {self._ok}  "
            f"failed {self._failed}  TTFT p50 {ttft}"
            + (f"  [{', '.join(self._marks)}]" if self._marks else "")
        )


class PlainProgress(Counts):
    """One line each ten seconds, for logs."""

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__()
        self._write = write
        self._next_s = _PLAIN_EVERY_S

    def mark(self, names: Sequence[str]) -> None:
        """Say at once what began and what ended."""
        for word, group in (
            ("began", [name for name in names if name not in self._marks]),
            ("ended", [name for name in self._marks if name not in names]),
        ):
            for name in group:
                self._write(f"window {name} {word}")
        super().mark(names)

    def tick(self, elapsed_s: float, total_s: float) -> None:
        """Write the line when its time has come."""
        if elapsed_s >= self._next_s:
            self._next_s += _PLAIN_EVERY_S
            self._write(self.line(elapsed_s, total_s))

    def close(self) -> None:
        """Nothing to put back."""


class LiveProgress(Counts):
    """One line that is written over, for a terminal."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._live = Live(Text("starting"), console=console, auto_refresh=False, transient=True)
        self._live.start()

    def tick(self, elapsed_s: float, total_s: float) -> None:
        """Write over the line."""
        self._live.update(Text(self.line(elapsed_s, total_s)), refresh=True)

    def close(self) -> None:
        """Take the line away."""
        self._live.stop()


def progress_on(console: Console) -> Progress:
    """Choose how to show progress on ``console``."""
    if console.is_terminal:
        return LiveProgress(console)
    return PlainProgress(lambda line: console.print(line, markup=False, highlight=False))
