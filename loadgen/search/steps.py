# SPDX-License-Identifier: Apache-2.0
"""One step of a search: a whole run in a folder of its own, done once and kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from loadgen.errors import LoadgenError, OutputError, saving
from loadgen.profile import Profile
from loadgen.progress import PlainProgress
from loadgen.result import SUMMARY, Result
from loadgen.runner import run
from loadgen.search.saturation import SaturationWatch
from rcalab_common.files import write_json

STEP = "step.json"
"""Marks a step as done: a run that a person ended has none, and is done again."""

OVER_SATURATED = "over-saturated"


class StoppedError(LoadgenError):
    """Somebody ended the search; what is done of it is kept."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step that is done.

    Parameters
    ----------
    name
        Of its folder.
    result
        The run.
    stopped
        Why it was ended before its time, if it was.
    """

    name: str
    result: Result
    stopped: str | None

    @property
    def success_per_s(self) -> float:
        """Requests that succeeded, by the time that the step lasted."""
        summary = self.result.summary
        start_ns, end_ns = self.result.span_ns
        return float(summary["requests"]["success"]) / max(1e-9, (end_ns - start_ns) / 1e9)


@dataclass(slots=True)
class Stepper:
    """Does steps in the folders of one search.

    Parameters
    ----------
    folder
        Of the search.
    stop
        Set by whoever wants to end it.
    say
        Takes a line for the person who waits.
    api_key
        See :func:`loadgen.run`.
    force
        Do again what is done by another search.
    """

    folder: Path
    stop: asyncio.Event
    say: Callable[[str], None]
    api_key: str | None = None
    force: bool = False
    done: list[Step] = field(default_factory=list)

    async def do(self, name: str, profile: Profile) -> Step:
        """Do a step, or read it where it is done.

        Raises
        ------
        StoppedError
            If somebody ended the search.
        OutputError
            If the folder holds a step of another search, or can't be written.
        """
        folder = self.folder / name
        step = self._read(name, folder, profile)
        if step is None:
            self.say(f"{name} ...")
            step = await self._run(name, folder, profile)
        self.done.append(step)
        self.say(_line(step))
        return step

    def _read(self, name: str, folder: Path, profile: Profile) -> Step | None:
        if not (folder / STEP).exists() or not (folder / SUMMARY).exists():
            return None
        result = Result.load(folder)
        asked = orjson.loads(orjson.dumps(profile.to_dict()))
        if result.summary["profile"] != asked:
            if self.force:
                return None
            raise OutputError(
                f"{folder} holds a step of another search: give another folder (--out), or force "
                "(--force) to do it again"
            )
        stopped: Any = orjson.loads((folder / STEP).read_bytes())["stopped"]
        return Step(name, result, stopped)

    async def _run(self, name: str, folder: Path, profile: Profile) -> Step:
        with saving(folder / STEP):
            (folder / STEP).unlink(missing_ok=True)
        stop = asyncio.Event()
        passing_on = asyncio.create_task(_pass_on(self.stop, stop))
        watch = SaturationWatch(
            PlainProgress(lambda line: self.say(f"  {line}")), stop, profile.warmup_s
        )
        try:
            result = await run(
                profile, folder, api_key=self.api_key, stop=stop, progress=watch, force=True
            )
        finally:
            passing_on.cancel()
        if self.stop.is_set():
            raise StoppedError(
                f"stopped in step {name}: the same command goes on from there, {self.folder} keeps "
                "what is done"
            )
        stopped = OVER_SATURATED if watch.saturated else None
        with saving(folder / STEP):
            write_json(folder / STEP, {"stopped": stopped})
        return Step(name, result, stopped)


def _line(step: Step) -> str:
    summary = step.result.summary
    ttft = summary["with_failures"]["response_ttft_ms"]
    p50, p95 = ("inf" if ttft[name] is None else f"{ttft[name]:.0f}" for name in ("p50", "p95"))
    return (
        f"{step.name}: {step.success_per_s:.4g}/s succeeded, TTFT p50 {p50} ms, p95 "
        f"{p95} ms, SLO met by {summary['slo']['attainment']:.1%}"
        + (f" ({step.stopped})" if step.stopped else "")
    )


async def _pass_on(stop: asyncio.Event, step: asyncio.Event) -> None:
    await stop.wait()
    step.set()
