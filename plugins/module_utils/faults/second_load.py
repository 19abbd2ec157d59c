# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second loadgen beside the run's own: bounded by time and by count, and ended with the dose."""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from . import programs
from .helpers import own_mark
from .lab import Client
from .undo import HELPER_MARK, EndHelpers

# Less than the agent's lease lasts.
_END_S = 2.5
# One user waits for one answer at a time, and no answer worth asking for comes faster.
_MOST_PER_USER_S = 20
# What loadgen says of a client that no longer waited.
_GIVEN_UP = ("total_timeout", "first_byte_timeout", "stall_timeout")


@dataclass(frozen=True)
class Shape:
    """What a second load is like.

    Attributes
    ----------
    prompt_tokens, output_tokens
        Of each request.
    exact
        Whether loadgen learns first how the service counts a prompt's tokens, which takes seconds;
        else it takes words for tokens.
    rate_per_s, users
        Requests by the second, or users who wait for their answers: one of them.
    give_up_s
        How long a client waits for an answer; None for as long as the load lasts.
    """

    prompt_tokens: int
    output_tokens: int
    exact: bool = True
    rate_per_s: float | None = None
    users: int | None = None
    give_up_s: float | None = None

    def arguments(self, seconds: float) -> list[str]:
        """Return loadgen's options for so many seconds."""
        if self.users is not None:
            most = self.users * _MOST_PER_USER_S * seconds
            load = ["--users", str(self.users)]
        else:
            rate_per_s = self.rate_per_s or 0.0
            most = rate_per_s * seconds
            load = ["--rate", f"{rate_per_s:g}", "--arrivals", "poisson"]
        patience_s = seconds if self.give_up_s is None else self.give_up_s
        return [
            *load,
            *("--duration", f"{seconds:g}", "--requests", str(math.ceil(most))),
            *("--prompt-tokens", str(self.prompt_tokens), *(["--exact"] if self.exact else [])),
            *("--output-tokens", str(self.output_tokens)),
            *("--total-timeout", f"{patience_s:g}", "--drain", "0"),
        ]


class SecondLoad:
    """One run of loadgen on the lab's own gateway.

    It stops by itself when its time is over or the agent is gone (the end of its standard input),
    and carries the fault's mark, by which the undo ends it.

    Parameters
    ----------
    seconds
        How long it may last.
    folder
        Where its records go; what an earlier one left there is replaced.
    """

    def __init__(
        self, client: Client, model: str, shape: Shape, seconds: float, folder: Path
    ) -> None:
        self._mark = own_mark()
        self._folder = folder
        self._command = [
            *client.command,
            *("run", "--url", client.url, "--model", model, "--stop-on-eof", "--force"),
            *("--out", str(folder), *shape.arguments(seconds)),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self._ended_ns = 0

    @property
    def _records_file(self) -> Path:
        return self._folder / "requests.jsonl"

    @property
    def _log_file(self) -> Path:
        return self._folder / "loadgen.log"

    def undo(self) -> EndHelpers:
        """Return what ends it."""
        return EndHelpers(self._mark)

    def start(self) -> None:
        """Start it, and do not wait until it has looked at the service and begun to send.

        Raises
        ------
        OSError
            If it can't be started.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._records_file.unlink(missing_ok=True)
        with self._log_file.open("wb") as log:
            self._process = programs.start(
                self._command,
                log,
                stdin=subprocess.PIPE,
                environment={**os.environ, HELPER_MARK: self._mark},
            )

    def problem(self) -> str | None:
        """Say why it no longer runs, if so: it was to outlast the dose."""
        if self._process is None or self._process.poll() is None:
            return None
        said = self._log_file.read_text(encoding="utf-8", errors="replace").strip()
        last = said.rpartition("\n")[2] or "no message"
        return f"the second load has ended ({self._process.returncode}): {last}"

    def end(self) -> None:
        """Have it stop, and record what is in flight; kill it where it does not."""
        process = self._process
        if process is None or self._ended_ns:
            return
        self._ended_ns = time.time_ns()
        _close(process.stdin)
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_END_S)

    def records(self) -> list[dict[str, Any]]:
        """Return the records of the requests that have ended; all of them once the load has."""
        try:
            data = self._records_file.read_bytes()
        except FileNotFoundError:
            return []  # it is still looking at the service
        whole = data[: data.rfind(b"\n") + 1]
        return [json.loads(line) for line in whole.splitlines()]

    def given_up(self) -> int:
        """Return how many requests nobody waited for any longer."""
        return sum(record["outcome"] in _GIVEN_UP for record in self.records())

    def dose(self) -> dict[str, float]:
        """Return what was sent, by the load's own records; it must have ended."""
        records = self.records()
        if not records:
            return {"requests": 0.0}
        first_ns = min(record["sent_ns"] for record in records)
        seconds = max((self._ended_ns - first_ns) / 1e9, 1e-3)
        prompts = [each["prompt_tokens"] for each in records if each["prompt_tokens"] is not None]
        given_up = sum(record["outcome"] in _GIVEN_UP for record in records)
        dose = {
            "requests": float(len(records)),
            "requests_per_s": round(len(records) / seconds, 4),
            "given_up_ratio": round(given_up / len(records), 4),
        }
        if prompts:  # only an answer that came to its end tells
            dose["prompt_tokens_mean"] = round(sum(prompts) / len(prompts), 2)
        return dose


def _close(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        with contextlib.suppress(BrokenPipeError):
            pipe.close()
