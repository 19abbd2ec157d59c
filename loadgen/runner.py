# SPDX-License-Identifier: Apache-2.0
"""A run: look at the target, send what the schedule says when it says so, write what came of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from loadgen.audit import SelfWatch, Verdict
from loadgen.client import Client, Clock, Request, open_session
from loadgen.errors import OutputError, ProfileError, TargetError
from loadgen.profile import Profile
from loadgen.progress import PlainProgress, Progress
from loadgen.prompts import identity, prompt
from loadgen.provider import Provider, providers
from loadgen.records import MEASURED, WARMUP, RecordWriter, read_records
from loadgen.schedule import Schedule, constant_rate
from loadgen.summary import summarise
from rcalab_common.files import write_json

REQUESTS, SUMMARY = "requests.jsonl", "summary.json"

_FLUSH_S = 0.5
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
        If the API key can't be sent as an HTTP header.
    """
    requests_path, summary_path = out_dir / REQUESTS, out_dir / SUMMARY
    if api_key is not None and not (api_key.isascii() and api_key.isprintable() and api_key):
        raise ProfileError("the API key must be printable ASCII on one line, and not empty")
    if summary_path.exists() and not force:
        raise OutputError(
            f"{out_dir} holds a finished run: give another folder, or force (--force) to replace it"
        )
    schedule = constant_rate(profile)
    async with open_session(profile.timeouts, api_key) as session:
        await check_target(session, profile)
        try:
            out_dir.mkdir(parents=True, exist_ok=True)
            summary_path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"can't write to {out_dir}: {error.strerror or error}") from error
        with RecordWriter(requests_path) as writer:
            issue = _Issue(
                profile=profile,
                provider=providers()[profile.provider],
                schedule=schedule,
                writer=writer,
                progress=progress or PlainProgress(lambda _: None),
                stop=stop or asyncio.Event(),
            )
            facts = await issue.perform(session, api_key)
    summary = summarise(read_records(requests_path), profile=profile, schedule=schedule, **facts)
    write_json(summary_path, summary)
    return Result(summary=summary, requests_path=requests_path, summary_path=summary_path)


async def check_target(session: aiohttp.ClientSession, profile: Profile) -> None:
    """Ask the service for its models, so that a wrong address or name fails before the run.

    Raises
    ------
    TargetError
        If there is no good answer, or the model is not in it.
    """
    url = f"{profile.base_url}/v1/models"
    hint = f"Is the service up, and is this its address? Try: curl {url}"
    wait = aiohttp.ClientTimeout(total=profile.timeouts.connect_s + 10)
    try:
        async with session.get(url, timeout=wait) as response:
            body = await response.read()
            status = response.status
    except TimeoutError as error:
        raise TargetError(f"no answer from {url} within {wait.total:g} s. {hint}") from error
    except (aiohttp.ClientError, OSError) as error:
        raise TargetError(f"can't reach {url}: {error}. {hint}") from error
    if status != 200:
        raise TargetError(f"{url} answered with HTTP status {status}. {hint}")
    try:
        models = [str(model["id"]) for model in orjson.loads(body)["data"]]
    except (ValueError, KeyError, TypeError) as error:
        raise TargetError(f"{url} gave no list of models. {hint}") from error
    if profile.model not in models:
        raise TargetError(
            f"{profile.base_url} doesn't serve {profile.model!r}; "
            f"it serves {', '.join(map(repr, models)) or 'no model'}"
        )


@dataclass(slots=True, kw_only=True)
class _Issue:
    """The run itself."""

    profile: Profile
    provider: Provider
    schedule: Schedule
    writer: RecordWriter
    progress: Progress
    stop: asyncio.Event

    async def perform(self, session: aiohttp.ClientSession, api_key: str | None) -> dict[str, Any]:
        """Send everything, wait for the answers; return the facts that the records don't hold."""
        clock = Clock()
        client = Client(
            session, self.profile, self.provider, clock, api_key, stopping=self.stop.is_set
        )
        watch = SelfWatch()
        start_ns = clock.now_ns() + round(_LEAD_S * _NS)
        in_flight: set[asyncio.Task[None]] = set()
        try:
            async with asyncio.TaskGroup() as group:
                stopped = group.create_task(self.stop.wait())
                sender = group.create_task(self._send(client, clock, start_ns, group, in_flight))
                helpers = [
                    group.create_task(work)
                    for work in (watch.sample(), self._show(clock, start_ns), self._flush())
                ]
                await asyncio.wait({sender, stopped}, return_when=asyncio.FIRST_COMPLETED)
                drained = group.create_task(_all_done(in_flight))
                await asyncio.wait(
                    {drained, stopped},
                    timeout=self.profile.drain_s,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                # A task that is cancelled before its first step would leave no record.
                await asyncio.sleep(0)
                for task in (*in_flight, stopped, sender, drained, *helpers):
                    task.cancel()
        except BaseExceptionGroup as group_error:
            raise group_error.exceptions[0] from None
        return {
            "start_ns": start_ns,
            "end_ns": clock.now_ns(),
            "audit": watch.audit(client.own_errors),
            "interrupted": self.stop.is_set(),
        }

    async def _send(
        self,
        client: Client,
        clock: Clock,
        start_ns: int,
        group: asyncio.TaskGroup,
        in_flight: set[asyncio.Task[None]],
    ) -> None:
        """Start a task for each request at its time, whatever became of those before it."""
        for index, offset_ns in enumerate(self.schedule.offsets_ns):
            request = self._request(index, start_ns + offset_ns)
            while (wait_ns := request.scheduled_ns - clock.now_ns()) > 0:
                await asyncio.sleep(wait_ns / _NS)
            task = group.create_task(self._one(client, request))
            in_flight.add(task)
            task.add_done_callback(in_flight.discard)
            self.progress.sent()
            # Where several are overdue, each still leaves before the next is made.
            await asyncio.sleep(0)

    def _request(self, index: int, scheduled_ns: int) -> Request:
        profile = self.profile
        return Request(
            index=index,
            phase=WARMUP if index < self.schedule.warmup else MEASURED,
            scheduled_ns=scheduled_ns,
            identity=identity(profile.seed, index),
            body=self.provider.body(
                model=profile.model,
                prompt=prompt(profile.seed, index, profile.prompt_tokens),
                output_tokens=profile.output_tokens,
            ),
        )

    async def _one(self, client: Client, request: Request) -> None:
        record = await client.perform(request)
        self.writer.write(record)
        self.progress.finished(record)

    async def _show(self, clock: Clock, start_ns: int) -> None:
        total_s = self.profile.warmup_s + self.profile.duration_s
        while True:
            await asyncio.sleep(1)
            self.progress.tick((clock.now_ns() - start_ns) / _NS, total_s)

    async def _flush(self) -> None:
        """Bound what a kill can lose to half a second."""
        while True:
            await asyncio.sleep(_FLUSH_S)
            self.writer.flush()


async def _all_done(tasks: set[asyncio.Task[None]]) -> None:
    while tasks:
        await asyncio.wait(set(tasks))
