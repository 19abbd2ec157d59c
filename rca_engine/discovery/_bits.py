# SPDX-License-Identifier: Apache-2.0
"""Small sets of metrics as the bits of an integer: what a graph search does most is intersect."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rca_engine.methods._scores import Mask

Bits = int
"""A set: bit ``i`` is set if metric ``i`` is a member."""


def members(bits: Bits) -> Iterator[int]:
    """Yield the members of a set, lowest first."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


def rows(mask: Mask) -> list[Bits]:
    """Return each row of a mask, shape (n, n), as a set."""
    return [sum(1 << int(place) for place in np.flatnonzero(row)) for row in mask]


def is_clique(bits: Bits, adjacent: list[Bits]) -> bool:
    """Return whether every two members are adjacent."""
    return all(not (bits & ~adjacent[each] & ~(1 << each)) for each in members(bits))


def cliques(seed: Bits, extra: Bits, adjacent: list[Bits]) -> Iterator[Bits]:
    """Yield every set of members of ``extra``, the empty one first, that is a clique with ``seed``.

    Yields nothing if ``seed`` is none itself.
    """
    if is_clique(seed, adjacent):
        fitting = sum(1 << each for each in members(extra) if not (seed & ~adjacent[each]))
        yield from _grow(0, fitting, adjacent)


def _grow(chosen: Bits, fitting: Bits, adjacent: list[Bits]) -> Iterator[Bits]:
    yield chosen
    while fitting:
        lowest = fitting & -fitting
        fitting ^= lowest
        yield from _grow(chosen | lowest, fitting & adjacent[lowest.bit_length() - 1], adjacent)
