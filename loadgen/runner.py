# SPDX-License-Identifier: Apache-2.0
"""A run: look at the target, send what the schedule says when it says so, write what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadgen.client import Clock, open_session
from loadgen.errors import ProfileError
from loadgen.event_feed import EventFeed
from loadgen.issue import Issue
from loadgen.merging import write_audit
from loadgen.processes import Processes, other_processes
from loadgen.profile import Profile
from loadgen.progress import PlainProgress, Progress
from loadgen.prompts.calibration import UNCALIBRATED
from loadgen.prompts.maker import PromptMaker
from loadgen.provider import find_provider
from loadgen.records import RecordWriter, read_records
from loadgen.result import REQUESTS, Result
from loadgen.schedule import make_schedule
from loadgen.shard import WHOLE, Shard
from loadgen.summary import Asked, summarise
from loadgen.target import calibrate_prompts, check_target
from loadgen.write import check_room, make_room, write_result
from rcalab_common.times import format_utc

_LEAD_S = 0.2
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """How several machines put one load on a service together.

    Parameters
    ----------
    shard
        Which of the requests are this machine's.
    start_ns
        When the load starts, epoch nanoseconds, by each machine's own clock; ``None`` as soon as
        possible.
    """

    shard: Shard = WHOLE
    start_ns: int | None = None


ALONE = Sharing()
"""One machine, as soon as possible."""


async def run(
    profile: Profile,
    out_dir: Path,
    *,
    api_key: str | None = None,
    stop: asyncio.Event | None = None,
    progress: Progress | None = None,
    force: bool = False,
    events: str | None = None,
    sharing: Sharing = ALONE,
) -> Result:
    """Put the load of ``profile`` on its service; write records, figures and a time series.

    Parameters
    ----------
    profile
        The load.
    out_dir
        Folder of the files; made where it is missing.
    api_key
        Sent as a bearer token; never recorded.
    stop
        Set it to end the run early: what is in flight is recorded as cancelled.
    progress
        Told what happens; nothing is shown by default.
    force
        Replace a finished run in ``out_dir``.
    events
        File or URL that marks windows while the run goes on (:mod:`loadgen.events`).
    sharing
        Which part of the load is this machine's, and when it starts.

    Raises
    ------
    TargetError
        If the service can't be reached, or doesn't serve the model. Nothing is written then.
    OutputError
        If ``out_dir`` holds a finished run and ``force`` is not given, or can't be written.
    ProfileError
        If the API key can't be sent as an HTTP header, or a file of the profile can't be used.
    """
    requests_path = out_dir / REQUESTS
    if api_key is not None and not (api_key.isascii() and api_key.isprintable() and api_key):
        raise ProfileError("the API key must be printable ASCII on one line, and not empty")
    check_room(out_dir, force=force)
    schedule = make_schedule(profile)
    provider = find_provider(profile.provider)
    feed = None if events is None else EventFeed(events)
    progress = progress or PlainProgress(lambda _: None)
    stop = stop or asyncio.Event()
    calibration = UNCALIBRATED
    async with open_session(profile.timeouts, api_key) as session:
        await check_target(session, profile)
        if profile.prompts.exact:
            calibration = await calibrate_prompts(session, profile, provider, api_key)
        maker = PromptMaker(profile, schedule.rows, calibration)
        make_room(out_dir, force=force)
        clock = Clock()
        with (
            RecordWriter(requests_path) as writer,
            other_processes(
                profile, calibration, requests_path, api_key, progress, stop, sharing.shard
            ) as others,
        ):
            await others.wait_ready()
            start_ns = _start_ns(sharing, clock)
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
                shard=sharing.shard.part(0, profile.processes),
            )
            async with _beside(_pass_on(stop, others), _follow(feed, progress, clock)):
                audit = await others.join(await issue.perform(session, api_key, start_ns))
    seen = None if feed is None else await feed.finish()
    end_ns = clock.now_ns()
    clocks = {"offset_ns": clock.offset_ns, "stepped_ns": clock.stepped_ns()}
    summary = summarise(
        read_records(requests_path),
        asked=Asked.of(profile, schedule),
        start_ns=start_ns,
        end_ns=end_ns,
        audit=audit,
        interrupted=stop.is_set(),
        shard=sharing.shard,
        clock=clocks,
        calibration=calibration.to_dict() if profile.prompts.exact else None,
        events=seen,
    )
    if sharing.shard != WHOLE:
        write_audit(out_dir, audit)
    return write_result(out_dir, summary, seen)


def _start_ns(sharing: Sharing, clock: Clock) -> int:
    soonest_ns = clock.now_ns() + round(_LEAD_S * _NS)
    if sharing.start_ns is None:
        return soonest_ns
    if sharing.start_ns < soonest_ns:
        late_s = (soonest_ns - sharing.start_ns) / _NS
        raise ProfileError(
            f"the load was to start at {format_utc(sharing.start_ns)}, {late_s:.1f} s before this "
            "machine was ready: start all of them earlier, or the load later"
        )
    return sharing.start_ns


@asynccontextmanager
async def _beside(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do some work beside the block, and end it with the block."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _follow(feed: EventFeed | None, progress: Progress, clock: Clock) -> None:
    """Show the windows that are open while the run goes on."""
    if feed is None:
        return
    shown: tuple[str, ...] = ()
    async for seen in feed.follow():
        names = seen.open_at(clock.now_ns())
        if names != shown:
            shown = names
            progress.mark(names)


async def _pass_on(stop: asyncio.Event, others: Processes) -> None:
    await stop.wait()
    others.stop()
