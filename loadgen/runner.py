# SPDX-License-Identifier: Apache-2.0
"""A run: look at the target, send what the schedule says when it says so, write what came of it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadgen.audit import Verdict
from loadgen.client import Clock, open_session
from loadgen.errors import OutputError, ProfileError
from loadgen.issue import Issue
from loadgen.profile import Profile
from loadgen.progress import PlainProgress, Progress
from loadgen.prompts.calibration import UNCALIBRATED
from loadgen.prompts.maker import PromptMaker
from loadgen.provider import find_provider
from loadgen.records import RecordWriter, read_records
from loadgen.schedule import make_schedule
from loadgen.shards import Shards, other_processes
from loadgen.summary import summarise
from loadgen.target import calibrate_prompts, check_target
from rcalab_common.files import write_json

REQUESTS, SUMMARY = "requests.jsonl", "summary.json"

_LEAD_S = 0.2
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Result:
    """What a run left: its figures, and where the files are."""

    summary: dict[str, Any]
    requests_path: Path
    summary_path: Path

    @property
    def verdict(self) -> Verdict:
        """How far the figures can be trusted."""
        return Verdict(self.summary["audit"]["verdict"])


async def run(
    profile: Profile,
    out_dir: Path,
    *,
    api_key: str | None = None,
    stop: asyncio.Event | None = None,
    progress: Progress | None = None,
    force: bool = False,
) -> Result:
    """Put the load of ``profile`` on its service; write ``requests.jsonl`` and ``summary.json``.

    Parameters
    ----------
    profile
        The load.
    out_dir
        Folder of the two files; made where it is missing.
    api_key
        Sent as a bearer token; never recorded.
    stop
        Set it to end the run early: what is in flight is recorded as cancelled.
    progress
        Told what happens; nothing is shown by default.
    force
        Replace a finished run in ``out_dir``.

    Raises
    ------
    TargetError
        If the service can't be reached, or doesn't serve the model. Nothing is written then.
    OutputError
        If ``out_dir`` holds a finished run and ``force`` is not given, or can't be written.
    ProfileError
        If the API key can't be sent as an HTTP header, or a file of the profile can't be used.
    """
    requests_path, summary_path = out_dir / REQUESTS, out_dir / SUMMARY
    if api_key is not None and not (api_key.isascii() and api_key.isprintable() and api_key):
        raise ProfileError("the API key must be printable ASCII on one line, and not empty")
    if summary_path.exists() and not force:
        raise OutputError(
            f"{out_dir} holds a finished run: give another folder, or force (--force) to replace it"
        )
    schedule = make_schedule(profile)
    provider = find_provider(profile.provider)
    progress = progress or PlainProgress(lambda _: None)
    stop = stop or asyncio.Event()
    clock = Clock()
    calibration = UNCALIBRATED
    async with open_session(profile.timeouts, api_key) as session:
        await check_target(session, profile)
        if profile.prompts.exact:
            calibration = await calibrate_prompts(session, profile, provider, api_key)
        maker = PromptMaker(profile, schedule.rows, calibration)
        try:
            out_dir.mkdir(parents=True, exist_ok=True)
            summary_path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"can't write to {out_dir}: {error.strerror or error}") from error
        with (
            RecordWriter(requests_path) as writer,
            other_processes(profile, calibration, requests_path, api_key, progress, stop) as others,
        ):
            await others.wait_ready()
            start_ns = clock.now_ns() + round(_LEAD_S * _NS)
            others.start(start_ns, clock)
            issue = Issue(
                profile=profile,
                provider=provider,
                schedule=schedule,
                maker=maker,
                clock=clock,
                writer=writer,
                progress=progress,
                stop=stop,
                shards=profile.processes,
            )
            passing_on = asyncio.create_task(_pass_on(stop, others))
            try:
                audit = await others.join(await issue.perform(session, api_key, start_ns))
            finally:
                passing_on.cancel()
                with suppress(asyncio.CancelledError):
                    await passing_on
    summary = summarise(
        read_records(requests_path),
        profile=profile,
        schedule=schedule,
        start_ns=start_ns,
        end_ns=clock.now_ns(),
        audit=audit,
        interrupted=stop.is_set(),
        clock={"offset_ns": clock.offset_ns, "stepped_ns": clock.stepped_ns()},
        calibration=calibration if profile.prompts.exact else None,
    )
    write_json(summary_path, summary)
    return Result(summary=summary, requests_path=requests_path, summary_path=summary_path)


async def _pass_on(stop: asyncio.Event, others: Shards) -> None:
    await stop.wait()
    others.stop()
