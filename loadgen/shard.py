# SPDX-License-Identifier: Apache-2.0
"""One machine's part of a load that several share: which requests of the one schedule are its own.

Requests go by index, as those of a machine's several processes do: every machine computes the whole
schedule, so that nothing has to be handed out and equal hashes show that all computed the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from loadgen.checks import check_number
from loadgen.errors import ProfileError

MAX_SHARDS = 1000
"""Most machines that share a load."""


@dataclass(frozen=True, slots=True)
class Shard:
    """The requests whose index leaves ``index`` when divided by ``count``.

    Raises
    ------
    ProfileError
        If there is no such shard.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        check_number("shards", self.count, least=1)
        check_number("shard", self.index, least=0, most=self.count - 1)

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``INDEX/COUNT``: ``0/4`` to ``3/4``.

        Raises
        ------
        ProfileError
            If the text is no shard.
        """
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        if match is None:
            raise ProfileError(f"a shard is INDEX/COUNT, such as 0/4, got {text!r}")
        check_number("shards", int(match[2]), least=1, most=MAX_SHARDS)
        return cls(int(match[1]), int(match[2]))

    def part(self, process: int, processes: int) -> Shard:
        """Return what one of this machine's processes sends."""
        return Shard(self.index + self.count * process, self.count * processes)

    def of(self, requests: int, since: int = 0) -> range:
        """Return the indices of this shard's requests, of ``requests``, from ``since`` on."""
        return range(since + (self.index - since) % self.count, requests, self.count)


WHOLE = Shard()
"""All requests."""
