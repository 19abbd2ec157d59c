# SPDX-License-Identifier: Apache-2.0
"""The other processes of a run: each makes the same schedule and sends its share of it.

The first process leads: it tells when the run starts (monotonic clocks are the same for all
processes of a machine), passes a stop on, and takes the others' counts. All append to one file of
records. A process whose leader is gone stops.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

import uvloop

from loadgen.audit import Audit
from loadgen.client import Clock, open_session
from loadgen.errors import LoadgenError, OutputError
from loadgen.issue import Issue
from loadgen.outcomes import Outcome
from loadgen.profile import Profile
from loadgen.progress import Ended, Progress
from loadgen.prompts.calibration import Calibration
from loadgen.prompts.maker import PromptMaker
from loadgen.provider import find_provider
from loadgen.records import RecordWriter
from loadgen.schedule import make_schedule
from loadgen.shard import WHOLE, Shard

_STOP = "stop"


class _Count(NamedTuple):
    """What progress needs to know of one request; see :class:`loadgen.progress.Ended`."""

    outcome: Outcome
    response_ttft_ms: float | None
    response_latency_ms: float | None
    service_ttft_ms: float | None
    service_latency_ms: float | None
    tpot_ms: float | None
    prompt_tokens: int | None
    output_tokens: int | None


@dataclass(frozen=True, slots=True)
class _Start:
    start_ns: int
    offset_ns: int


@dataclass(frozen=True, slots=True)
class _Counts:
    sent: int
    ended: tuple[_Count, ...]


@dataclass(slots=True)
class Processes:
    """The other processes, seen from the leader.

    Parameters
    ----------
    progress
        Told what all of them do.
    stop_all
        Set when one of them fails, to end the others.
    """

    progress: Progress
    stop_all: asyncio.Event
    _links: list[Connection] = field(default_factory=list)
    _audits: list[Audit] = field(default_factory=list)
    _failure: LoadgenError | None = None
    _ready: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait_ready(self) -> None:
        """Return when every process could start.

        Raises
        ------
        LoadgenError
            If one of them can't.
        """
        await self._until(lambda: self._ready == len(self._links))

    def start(self, start_ns: int, clock: Clock) -> None:
        """Tell all when the run starts."""
        self._tell(_Start(start_ns, clock.offset_ns))

    def stop(self) -> None:
        """Tell all to end early."""
        self._tell(_STOP)

    async def join(self, own: Audit) -> Audit:
        """Return the audit of all, when all have ended.

        Raises
        ------
        LoadgenError
            If one of them failed.
        """
        await self._until(lambda: len(self._audits) == len(self._links))
        for audit in self._audits:
            own = own.join(audit)
        return own

    async def _until(self, true: Callable[[], bool]) -> None:
        while not true():
            if self._failure is not None:
                raise self._failure
            self._changed.clear()
            await self._changed.wait()

    def _tell(self, message: object) -> None:
        for link in self._links:
            try:
                link.send(message)
            except OSError:
                self._fail(OutputError("a process of the load died: see its messages above"))

    def listen(self, link: Connection) -> None:
        """Take what a process has to say."""
        self._links.append(link)
        asyncio.get_running_loop().add_reader(link.fileno(), self._hear, link)

    def _hear(self, link: Connection) -> None:
        try:
            message = link.recv()
        except (EOFError, OSError):
            asyncio.get_running_loop().remove_reader(link.fileno())
            self._fail(OutputError("a process of the load died: see its messages above"))
            return
        if isinstance(message, _Counts):
            for _ in range(message.sent):
                self.progress.sent()
            for ended in message.ended:
                self.progress.finished(ended)
            return
        if isinstance(message, Audit):
            self._audits.append(message)
            asyncio.get_running_loop().remove_reader(link.fileno())
        elif isinstance(message, LoadgenError):
            self._fail(message)
        else:
            self._ready += 1
        self._changed.set()

    def _fail(self, error: LoadgenError) -> None:
        self._failure = self._failure or error
        self.stop_all.set()
        self._changed.set()


@contextmanager
def other_processes(
    profile: Profile,
    calibration: Calibration,
    records: Path,
    api_key: str | None,
    progress: Progress,
    stop: asyncio.Event,
    shard: Shard = WHOLE,
) -> Iterator[Processes]:
    """Start all processes of a run but the first, and see that none outlives this."""
    others = Processes(progress, stop)
    context = multiprocessing.get_context("spawn")
    running: list[BaseProcess] = []
    ours: list[Connection] = []
    try:
        for number in range(1, profile.processes):
            part = shard.part(number, profile.processes)
            our, theirs = context.Pipe()
            # By its pipe, never on its command line: the arguments hold the API key.
            process: BaseProcess = context.Process(
                target=_work, args=(theirs, profile, calibration, records, api_key, part)
            )
            process.start()
            theirs.close()
            running.append(process)
            ours.append(our)
            others.listen(our)
        yield others
    finally:
        for link in ours:
            asyncio.get_running_loop().remove_reader(link.fileno())
            link.close()
        for process in running:
            process.join(timeout=profile.drain_s)
            if process.is_alive():
                process.kill()
                process.join()


def _work(
    link: Connection,
    profile: Profile,
    calibration: Calibration,
    records: Path,
    api_key: str | None,
    shard: Shard,
) -> None:
    """Be one of the other processes."""
    # Ctrl-C reaches all of a terminal's processes; the leader tells what to do about it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    message: Audit | LoadgenError
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            message = runner.run(_share(link, profile, calibration, records, api_key, shard))
    except LoadgenError as error:
        message = error
    # A leader that is gone needs no message.
    with suppress(OSError):
        link.send(message)


async def _share(
    link: Connection,
    profile: Profile,
    calibration: Calibration,
    records: Path,
    api_key: str | None,
    shard: Shard,
) -> Audit:
    schedule = make_schedule(profile)
    maker = PromptMaker(profile, schedule.rows, calibration)
    stop, started = asyncio.Event(), asyncio.get_running_loop().create_future()

    def hear() -> None:
        try:
            message = link.recv()
        except (EOFError, OSError):
            asyncio.get_running_loop().remove_reader(link.fileno())
            message = _STOP
        if isinstance(message, _Start):
            started.set_result(message)
        else:
            stop.set()
            if not started.done():
                started.set_exception(OutputError("the load was stopped before it began"))

    asyncio.get_running_loop().add_reader(link.fileno(), hear)
    async with open_session(profile.timeouts, api_key) as session:
        with RecordWriter(records, replace=False) as writer:
            with suppress(OSError):
                link.send("ready")
            start: _Start = await started
            progress = _Report(link)
            issue = Issue(
                profile=profile,
                provider=find_provider(profile.provider),
                schedule=schedule,
                maker=maker,
                clock=Clock(start.offset_ns),
                writer=writer,
                progress=progress,
                stop=stop,
                shard=shard,
            )
            audit = await issue.perform(session, api_key, start.start_ns)
            progress.tick(0, 0)
    asyncio.get_running_loop().remove_reader(link.fileno())
    return audit


class _Report:
    """Progress that is told to the leader."""

    def __init__(self, link: Connection) -> None:
        self._link = link
        self._sent = 0
        self._ended: list[_Count] = []

    def sent(self) -> None:
        self._sent += 1

    def finished(self, record: Ended) -> None:
        self._ended.append(_Count(*(getattr(record, name) for name in _Count._fields)))

    def tick(self, elapsed_s: float, total_s: float) -> None:  # noqa: ARG002 - the protocol's
        counts = _Counts(self._sent, tuple(self._ended))
        self._sent, self._ended = 0, []
        # Where the leader is gone, the end of its pipe stops this process.
        with suppress(OSError):
            self._link.send(counts)

    def mark(self, names: Sequence[str]) -> None:
        """Nothing to tell: only the leader reads events."""

    def close(self) -> None:
        """Nothing to put back."""
