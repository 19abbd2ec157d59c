# SPDX-License-Identifier: Apache-2.0
"""One process's share of a run: send what the schedule says when it says so, record what came."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

import aiohttp

from loadgen.audit import Audit, SelfWatch
from loadgen.client import Client, Clock, Request
from loadgen.identity import identity
from loadgen.profile import Profile
from loadgen.progress import Progress
from loadgen.prompts.maker import PromptMaker
from loadgen.provider import Ask, Provider
from loadgen.records import MEASURED, WARMUP, RecordWriter
from loadgen.schedule import Schedule
from loadgen.shard import WHOLE, Shard
from loadgen.workload import ClosedLoop

_FLUSH_S = 0.5
_READ_AFTER_S = 0.003
_NS = 1_000_000_000


@dataclass(slots=True, kw_only=True)
class Issue:
    """A share of a run.

    Parameters
    ----------
    profile, provider, schedule, maker, clock
        Of the run: the same in each of its processes.
    writer, progress
        Where records go, and who is told.
    stop
        Set from outside to end the run early.
    shard
        Which requests are this process's.
    """

    profile: Profile
    provider: Provider
    schedule: Schedule
    maker: PromptMaker
    clock: Clock
    writer: RecordWriter
    progress: Progress
    stop: asyncio.Event
    shard: Shard = WHOLE
    _in_flight: set[asyncio.Task[None]] = field(default_factory=set)

    async def perform(
        self, session: aiohttp.ClientSession, api_key: str | None, start_ns: int
    ) -> Audit:
        """Send everything, wait for the answers; return what the process saw of itself."""
        client = Client(
            session,
            self.profile,
            self.provider,
            self.clock,
            api_key,
            stopping=self.stop.is_set,
            # A user who waits for the record must not wait longer than for the answer.
            read_after_s=_READ_AFTER_S if self.profile.closed is None else 0.0,
        )
        watch = SelfWatch()
        try:
            with _no_collections():
                await self._lead(client, watch, start_ns)
        except BaseExceptionGroup as group_error:
            raise _first_of(group_error) from None
        return watch.audit(client.own_errors)

    async def _lead(self, client: Client, watch: SelfWatch, start_ns: int) -> None:
        async with asyncio.TaskGroup() as group:
            stopped = group.create_task(self.stop.wait())
            sender = group.create_task(self._send(client, start_ns, group))
            helpers = [
                group.create_task(work)
                for work in (watch.sample(), self._show(start_ns), self._flush())
            ]
            await asyncio.wait({sender, stopped}, return_when=asyncio.FIRST_COMPLETED)
            drained = group.create_task(_all_done(self._in_flight))
            await asyncio.wait(
                {drained, stopped},
                timeout=self.profile.drain_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            # A task that is cancelled before its first step would leave no record.
            await asyncio.sleep(0)
            for task in (*self._in_flight, stopped, sender, drained, *helpers):
                task.cancel()

    async def _send(self, client: Client, start_ns: int, group: asyncio.TaskGroup) -> None:
        closed = self.profile.closed
        if closed is None:
            await self._send_on_time(client, start_ns, group)
        else:
            await self._lead_users(closed, client, start_ns, group)

    async def _send_on_time(self, client: Client, start_ns: int, group: asyncio.TaskGroup) -> None:
        """Start a task for each request at its time, whatever became of those before it."""
        for index in self.shard.of(len(self.schedule.offsets_ns)):
            phase = WARMUP if index < self.schedule.warmup else MEASURED
            scheduled_ns = start_ns + self.schedule.offsets_ns[index]
            request = self._request(index, phase, scheduled_ns)
            await self._at(scheduled_ns, partial(self._start, client, request, group))
            self.progress.sent()
            # Where several are overdue, each still leaves before the next is made.
            await asyncio.sleep(0)

    async def _lead_users(
        self, closed: ClosedLoop, client: Client, start_ns: int, group: asyncio.TaskGroup
    ) -> None:
        """Let each user ask until the measured phase is over, by time or by count."""
        profile = self.profile
        measured_ns = start_ns + round(profile.warmup_s * _NS)
        end_ns = None
        if profile.duration_s is not None:
            end_ns = measured_ns + round(profile.duration_s * _NS)
        left = None
        if profile.requests is not None:
            left = len(self.shard.of(profile.requests))
        over = asyncio.Event()

        async def user(number: int) -> None:
            nonlocal left
            due_ns = start_ns + closed.start_ns(profile.seed, number)
            index = number
            while end_ns is None or due_ns < end_ns:
                await self._sleep_until(due_ns)
                if over.is_set():
                    return
                phase = WARMUP if due_ns < measured_ns else MEASURED
                task = self._start(client, self._request(index, phase, due_ns), group)
                self.progress.sent()
                if left is not None and phase == MEASURED:
                    left -= 1
                    if left == 0:
                        over.set()
                        return
                await asyncio.wait({task})
                index += closed.users
                due_ns = self.clock.now_ns() + closed.think_ns(profile.seed, index)

        shares = self.shard.of(closed.users) if left != 0 else ()
        users = [group.create_task(user(number)) for number in shares]
        try:
            if end_ns is None and users:
                await over.wait()
            elif end_ns is not None:
                with suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), (end_ns - self.clock.now_ns()) / _NS)
        finally:
            # Only the users: what they have sent may still be answered.
            for task in users:
                task.cancel()

    def _start(
        self, client: Client, request: Request, group: asyncio.TaskGroup
    ) -> asyncio.Task[None]:
        task = group.create_task(self._one(client, request))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)
        return task

    def _request(self, index: int, phase: str, scheduled_ns: int) -> Request:
        profile = self.profile
        question = self.maker.at(index)
        return Request(
            index=index,
            phase=phase,
            scheduled_ns=scheduled_ns,
            identity=identity(profile.seed, index),
            body=self.provider.body(
                Ask(
                    model=profile.model,
                    prompt=question.prompt,
                    output_tokens=question.output_tokens,
                    api=profile.api,
                )
            ),
        )

    async def _at(self, due_ns: int, act: Callable[[], object]) -> None:
        """Do something at a time, in the timer's own call: a task woken by it would queue first."""
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        handle = None

        def look() -> None:
            nonlocal handle
            wait_ns = due_ns - self.clock.now_ns()
            if wait_ns > 0:
                handle = loop.call_later(wait_ns / _NS, look)
            elif not done.done():
                act()
                done.set_result(None)

        look()
        try:
            await done
        finally:
            if handle is not None:
                handle.cancel()

    async def _sleep_until(self, due_ns: int) -> None:
        while (wait_ns := due_ns - self.clock.now_ns()) > 0:
            await asyncio.sleep(wait_ns / _NS)

    async def _one(self, client: Client, request: Request) -> None:
        record = await client.perform(request)
        self.writer.write(record)
        self.progress.finished(record)

    async def _show(self, start_ns: int) -> None:
        duration_s = self.schedule.duration_s
        total_s = 0.0 if duration_s is None else self.profile.warmup_s + duration_s
        while True:
            await asyncio.sleep(1)
            self.progress.tick((self.clock.now_ns() - start_ns) / _NS, total_s)

    async def _flush(self) -> None:
        """Bound what a kill can lose to half a second."""
        while True:
            await asyncio.sleep(_FLUSH_S)
            self.writer.flush()


@contextmanager
def _no_collections() -> Iterator[None]:
    """Keep the garbage collector from looking at what was there before the run."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _first_of(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _all_done(tasks: set[asyncio.Task[None]]) -> None:
    while tasks:
        await asyncio.wait(set(tasks))
