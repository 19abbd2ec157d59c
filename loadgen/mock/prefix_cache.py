# SPDX-License-Identifier: Apache-2.0
"""Which tokens of a prompt an engine with prefix caching would have kept: whole blocks, as vLLM."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence

BLOCK_TOKENS = 16


class PrefixCache:
    """The blocks of earlier prompts; the one that nobody asked for the longest goes first.

    Parameters
    ----------
    blocks
        How many it holds.
    """

    def __init__(self, blocks: int) -> None:
        self._most = blocks
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def take(self, words: Sequence[str]) -> int:
        """Return how many tokens of a prompt are there already, and keep all of its blocks."""
        hits = 0
        found = True
        for block in _chain(words):
            found = found and block in self._blocks
            hits += found
            self._blocks[block] = None
            self._blocks.move_to_end(block)
        while len(self._blocks) > self._most:
            self._blocks.popitem(last=False)
        return hits * BLOCK_TOKENS


def _chain(words: Sequence[str]) -> Iterator[int]:
    """Yield what tells each whole block, and all before it, from every other."""
    parent = 0
    for start in range(0, len(words) - BLOCK_TOKENS + 1, BLOCK_TOKENS):
        parent = hash((parent, *words[start : start + BLOCK_TOKENS]))
        yield parent
