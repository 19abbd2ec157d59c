# SPDX-License-Identifier: Apache-2.0
"""Which way links point: colliders, and Meek's rules for what follows from them.

Every rule acts on all links at once, so that the order of columns can't matter; where two
applications contradict each other the link stays undirected.

Source: C. Meek, Causal inference and causal explanation with background knowledge, UAI 1995.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rca_engine.discovery.skeleton import Skeleton
from rca_engine.methods._scores import Ints, Mask


def unshielded(found: Skeleton) -> Ints:
    """Return the colliders ``i *-> k <-* j``, the surest separation of ``i`` and ``j`` first.

    Returns
    -------
    Shape (colliders, 3): ``i, k, j`` with ``i < j``, linked to ``k`` and not to each other, where
    ``k`` was not needed to separate them.
    """
    linked = found.adjacent
    apart = np.triu(~linked, k=1)
    # Axes: i, j, k.
    colliders = apart[:, :, None] & linked[:, None, :] & linked[None, :, :] & ~found.separators
    i, j, k = np.nonzero(colliders)
    order = np.argsort(found.statistics[i, j], kind="stable")
    return np.stack([i, k, j], axis=1)[order]


def directed_by_colliders(found: Skeleton) -> Mask:
    """Return ``directed[i, j]``: ``i -> j`` follows from a collider; shape (n, n).

    Colliders that contradict each other are settled for the surer separation.
    """
    directed = np.zeros_like(found.adjacent)
    for i, k, j in unshielded(found):
        if not (directed[k, i] or directed[k, j]):
            directed[i, k] = directed[j, k] = True
    return directed


def close(adjacent: Mask, directed: Mask) -> Mask:
    """Return ``directed`` with all that Meek's rules 1 to 4 add to it.

    Parameters
    ----------
    adjacent
        Shape (n, n), symmetric.
    directed
        Shape (n, n): ``directed[i, j]`` where ``i -> j``; a link without is undirected.
    """
    directed = directed.copy()
    while True:
        undirected = adjacent & ~directed & ~directed.T
        for implied in _implied(adjacent, directed, undirected):
            new = implied & undirected
            new &= ~new.T
            if new.any():
                directed |= new
                break
        else:
            return directed


def _implied(adjacent: Mask, directed: Mask, undirected: Mask) -> Iterator[Mask]:
    apart = ~adjacent & ~np.eye(adjacent.shape[0], dtype=bool)
    yield _product(directed.T, apart)
    yield _product(directed, directed)
    yield _two_chains(apart, directed, undirected)
    yield _long_chain(adjacent, apart, directed, undirected)


def _two_chains(apart: Mask, directed: Mask, undirected: Mask) -> Mask:
    """Rule 3: ``a - c -> b`` and ``a - d -> b`` with ``c`` and ``d`` apart make ``a -> b``."""
    implied = np.zeros_like(directed)
    for b in np.flatnonzero(directed.sum(axis=0) >= 2):
        parents = np.flatnonzero(directed[:, b])
        through = undirected[:, parents]
        implied[:, b] = (_product(through, apart[np.ix_(parents, parents)]) & through).any(axis=1)
    return implied


def _long_chain(adjacent: Mask, apart: Mask, directed: Mask, undirected: Mask) -> Mask:
    """Rule 4: ``a - c -> d -> b`` with ``c`` and ``b`` apart, ``a`` linked to ``d``: ``a -> b``."""
    implied = np.zeros_like(directed)
    for b in np.flatnonzero(directed.any(axis=0)):
        parents = np.flatnonzero(directed[:, b])
        far = np.flatnonzero(apart[:, b])
        reached = _product(undirected[:, far], directed[np.ix_(far, parents)])
        implied[:, b] = (reached & adjacent[:, parents]).any(axis=1)
    return implied


def _product(left: Mask, right: Mask) -> Mask:
    """Return where some k has ``left[i, k]`` and ``right[k, j]``."""
    reached: Mask = (left.astype(np.float32) @ right.astype(np.float32)) > 0.5
    return reached
