# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far an experiment is, for a person who waits for it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from .folder import Attempt, Folder, State
from .plan import Plan, Run, duration, seconds_left


@dataclass(frozen=True)
class Progress:
    """How far an experiment is: what was seen at one moment."""

    plan: Plan
    states: dict[str, State]
    overhead_s: float
    set_aside: tuple[Attempt, ...]

    @classmethod
    def of(
        cls, folder: Folder, plan: Plan, methods: Iterable[str] = (), *, hashed: bool = True
    ) -> Progress:
        """Look at every run, as `Folder.state` does."""
        methods = tuple(methods)
        return cls(
            plan,
            {run.id: folder.state(run, methods, hashed=hashed) for run in plan.runs},
            folder.overhead_s(plan),
            tuple(folder.quarantine()),
        )

    @property
    def left(self) -> list[Run]:
        """The runs without a case, in their order."""
        return [run for run in self.plan.runs if self.states[run.id] in ("todo", "half")]

    @property
    def seconds_left(self) -> float:
        """How long they will take."""
        return seconds_left(self.left, self.overhead_s)

    def clock(self) -> str:
        """Return when all will be done, as a time of day."""
        return time.strftime("%H:%M UTC", time.gmtime(time.time() + self.seconds_left))

    def summary(self) -> str:
        """Say in a line how many runs there are, what is done, and when it will end."""
        runs, shams = self.plan.runs, sum(run.sham for run in self.plan.runs)
        text = f"{len(runs)} runs" if len(runs) > 1 else "1 run"
        text += f" ({shams} of them shams)" if shams else ""
        if not self.left:
            return f"{text}, all measured"
        return (
            f"{text}, {len(runs) - len(self.left)} measured, {len(self.left)} to do in about "
            f"{duration(self.seconds_left)}: until {self.clock()} if it begins now"
        )

    def before(self, run: Run, attempt: int) -> str:
        """Say in a line which run comes now."""
        place = 1 + self.plan.runs.index(run)
        again = "" if attempt == 1 else f", attempt {attempt}"
        what = "no fault" if run.fault is None else f"{run.fault} on {run.target}"
        return (
            f"Run {place} of {len(self.plan.runs)}: {run.id} ({what}{again}). "
            f"{len(self.left)} to do in about {duration(self.seconds_left)}: until {self.clock()}"
        )


def table(progress: Progress) -> list[str]:
    """Write a plan with its states as lines for a person."""
    words = {"half": "half, again", "undiagnosed": "diagnose"}
    rows = [("#", "run", "fault", "target", "seconds", "state")]
    rows += [
        (
            str(number),
            run.id,
            run.fault or "-",
            run.target or "-",
            f"{run.loaded_s + progress.overhead_s:.0f}",
            words.get(progress.states[run.id], progress.states[run.id]),
        )
        for number, run in enumerate(progress.plan.runs, start=1)
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
