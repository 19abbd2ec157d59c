# SPDX-License-Identifier: Apache-2.0
"""Events as they come: the end of a growing file, or a URL that is asked again and again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from loadgen.errors import OutputError, ProfileError
from loadgen.events import Events

_POLL_S = 0.5
_URL_WAIT_S = 5.0
_MAX_BYTES = 16 << 20


@dataclass(slots=True)
class EventFeed:
    """Reads an events source while a run goes on; nothing that is wrong with it ends the run.

    Parameters
    ----------
    source
        Path of a file, which may come into being later, or an ``http`` or ``https`` URL, which
        answers with all lines so far.
    seen
        What has been read.

    Raises
    ------
    ProfileError
        If the source can never be read: no folder, no URL.
    """

    source: str
    seen: Events = field(init=False)
    _read: int = 0

    def __post_init__(self) -> None:
        self.seen = Events(self.source)
        if self.is_url:
            parts = urlsplit(self.source)
            if not parts.hostname or parts.username is not None or parts.password is not None:
                raise ProfileError(
                    f"events must be a file or a URL without a user, got {self.source!r}"
                )
        elif Path(self.source).is_dir() or not Path(self.source).absolute().parent.is_dir():
            raise ProfileError(
                f"events file {self.source}: it must be a file in a folder that is there, even "
                "where others write it only later"
            )

    @property
    def is_url(self) -> bool:
        """Whether events come from a server."""
        return urlsplit(self.source).scheme in ("http", "https")

    async def follow(self) -> AsyncIterator[Events]:
        """Read again and again; yield each time all that was read."""
        while True:
            await self.read()
            yield self.seen
            await asyncio.sleep(_POLL_S)

    async def read(self, *, last: bool = False) -> None:
        """Read what is new.

        ``last`` takes a last line without its end too: it is no longer being written.
        """
        try:
            text = await (self._from_url() if self.is_url else asyncio.to_thread(self._from_file))
        except (OSError, aiohttp.ClientError, TimeoutError, OutputError) as error:
            # Only what is still so at the end is a problem: a file may come late.
            if last:
                self.seen.complain(f"can't read {self.source}: {error or type(error).__name__}")
            return
        whole = text if last else text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        self.seen.add_lines(whole.splitlines())

    async def finish(self) -> Events:
        """Read for the last time; return all that was read."""
        await self.read(last=True)
        return self.seen

    def _from_file(self) -> bytes:
        with Path(self.source).open("rb") as file:
            if file.seek(0, 2) < self._read:
                raise OutputError("it became shorter: events must be appended")
            file.seek(self._read)
            return file.read(_MAX_BYTES)

    async def _from_url(self) -> bytes:
        wait = aiohttp.ClientTimeout(total=_URL_WAIT_S)
        # A session of its own: the load's sends the service's key.
        async with (
            aiohttp.ClientSession(timeout=wait) as session,
            session.get(self.source, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise OutputError(f"HTTP status {response.status}")
            body = await response.content.read(_MAX_BYTES)
            while not response.content.at_eof() and len(body) < _MAX_BYTES:
                body += await response.content.read(_MAX_BYTES - len(body))
        if len(body) < self._read:
            raise OutputError("it became shorter: events must be appended")
        return body[self._read :]


def read_events(path: Path) -> Events:
    """Read a file of events that is whole.

    Raises
    ------
    OutputError
        If it can't be read.
    """
    events = Events(str(path))
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise OutputError(f"can't read {path}: {error.strerror or error}") from error
    events.add_lines(lines)
    return events
