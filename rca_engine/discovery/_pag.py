# SPDX-License-Identifier: Apache-2.0
"""Which ends of a PAG's links can be told: Zhang's rules 1 to 4 and 8 to 10.

Rules 5 to 7 speak of selection bias, which telemetry does not have: every step of a window is
kept. Each rule acts on all links at once, so that the order of columns can't matter; a circle for
which two applications contradict each other stays one.

Source: J. Zhang, On the completeness of orientation rules for causal discovery in the presence of
latent confounders and selection bias, Artificial Intelligence 172, 2008.
"""

from __future__ import annotations

import numpy as np

from rca_engine.discovery._bits import Bits, members, rows
from rca_engine.discovery.graph import Mark, Marks
from rca_engine.methods._scores import Mask

Proposal = tuple[Mask, Mask]
"""Where an arrow and where a tail follows, laid out as the marks."""


def close(marks: Marks, separators: Mask) -> Marks:
    """Return the marks with all that the rules say of their circles.

    Parameters
    ----------
    marks
        Shape (n, n), as in :class:`rca_engine.discovery.graph.CausalGraph`.
    separators
        Shape (n, n, n): ``separators[i, j, k]`` where ``k`` helped to separate ``i`` and ``j``.
    """
    marks = marks.copy()
    rules = (
        _away_from_collider,
        _along_directed,
        _double_triangle,
        lambda marks: _discriminating(marks, separators),
        _no_cycle,
        _uncovered,
    )
    while any(_apply(marks, rule(marks)) for rule in rules):
        pass
    return marks


def _apply(marks: Marks, proposal: Proposal) -> bool:
    """Put the proposed marks in place of circles; return whether there were any."""
    arrows, tails = proposal
    circles = marks == Mark.CIRCLE
    new_arrows, new_tails = circles & arrows & ~tails, circles & tails & ~arrows
    marks[new_arrows], marks[new_tails] = Mark.ARROW, Mark.TAIL
    return bool(new_arrows.any() or new_tails.any())


def _none(marks: Marks) -> Mask:
    return np.zeros(marks.shape, dtype=bool)


def _apart(marks: Marks) -> Mask:
    apart: Mask = marks == Mark.NONE
    np.fill_diagonal(apart, val=False)
    return apart


def _directed(marks: Marks) -> Mask:
    directed: Mask = (marks == Mark.ARROW) & (marks.T == Mark.TAIL)
    return directed


def _some(left: Mask, right: Mask) -> Mask:
    """Return where some k has ``left[i, k]`` and ``right[k, j]``."""
    found: Mask = (left.astype(np.float32) @ right.astype(np.float32)) > 0.5
    return found


def _away_from_collider(marks: Marks) -> Proposal:
    """R1: ``a *-> b o-* c`` with ``a`` and ``c`` apart makes ``b -> c``."""
    out = _some((marks == Mark.ARROW).T, _apart(marks)) & (marks.T == Mark.CIRCLE)
    return out, out.T


def _along_directed(marks: Marks) -> Proposal:
    """R2: ``a -> b *-> c`` or ``a *-> b -> c`` makes an arrow at ``c`` of ``a *-o c``."""
    arrow, directed = marks == Mark.ARROW, _directed(marks)
    return _some(directed, arrow) | _some(arrow, directed), _none(marks)


def _double_triangle(marks: Marks) -> Proposal:
    """R3: ``a *-> b <-* c``, ``a *-o d o-* c``, ``a`` and ``c`` apart: an arrow at ``b`` of d's."""
    arrows, apart = _none(marks), _apart(marks)
    circle = marks == Mark.CIRCLE
    for b in range(marks.shape[0]):
        into = np.flatnonzero(marks[:, b] == Mark.ARROW)
        if into.size >= 2:
            open_ = circle[into]
            arrows[:, b] = (_some(apart[np.ix_(into, into)], open_) & open_).any(axis=0)
    return arrows, _none(marks)


def _discriminating(marks: Marks, separators: Mask) -> Proposal:
    """R4: a path ``d ... a b c`` that discriminates for ``b`` settles the end of ``b o-* c``."""
    arrows, tails = _none(marks), _none(marks)
    directed, apart = _directed(marks), _apart(marks)
    for c, b in np.argwhere(marks == Mark.CIRCLE):
        for a in np.flatnonzero(directed[:, c] & (marks[b] == Mark.ARROW)):
            for d in _far_ends(marks, directed, apart, int(a), int(c), int(b)):
                if separators[d, c, b]:
                    tails[c, b] = arrows[b, c] = True
                else:
                    arrows[a, b] = arrows[c, b] = arrows[b, c] = True
    return arrows, tails


def _far_ends(marks: Marks, directed: Mask, apart: Mask, a: int, c: int, b: int) -> list[int]:
    """Return each ``d`` that a path discriminating between ``a`` and ``c`` may begin with."""
    seen, front, ends = {a, b, c}, [a], []
    while front:
        near = front.pop()
        for each in np.flatnonzero(marks[:, near] == Mark.ARROW):
            if int(each) in seen:
                continue
            seen.add(int(each))
            if apart[each, c]:
                ends.append(int(each))
            elif directed[each, c] and marks[near, each] == Mark.ARROW:
                front.append(int(each))
    return ends


def _no_cycle(marks: Marks) -> Proposal:
    """R8: ``a -> b -> c`` or ``a -o b -> c`` makes ``a -> c`` of ``a o-> c``."""
    tailed = (marks.T == Mark.TAIL) & ((marks == Mark.ARROW) | (marks == Mark.CIRCLE))
    found = _some(tailed, _directed(marks)) & (marks == Mark.ARROW)
    return _none(marks), found.T


def _uncovered(marks: Marks) -> Proposal:
    """R9 and R10: ``a o-> c`` is ``a -> c`` if uncovered, potentially directed paths demand it.

    R9: such a path leads from ``a`` to ``c``, and its second metric and ``c`` are apart. R10: two
    of them lead to different parents of ``c``, and their second metrics differ and are apart.
    """
    tails = _none(marks)
    half = (marks == Mark.ARROW) & (marks.T == Mark.CIRCLE)
    apart, directed = rows(_apart(marks)), rows(_directed(marks).T)
    onward = rows((marks.T != Mark.ARROW) & (marks != Mark.TAIL) & (marks != Mark.NONE))
    for a in np.flatnonzero(half.any(axis=1)):
        reached = {b: _reached(int(a), b, onward, apart) for b in members(onward[a])}
        for c in np.flatnonzero(half[a]):
            tails[c, a] = _demanded(reached, int(c), directed[c], apart)
    return _none(marks), tails


def _demanded(reached: dict[int, Bits], c: int, parents: Bits, apart: list[Bits]) -> bool:
    if any(apart[c] >> b & 1 and through >> c & 1 for b, through in reached.items()):
        return True
    return any(
        apart[one] >> other & 1
        and reached[one] & parents
        and reached[other] & parents
        and ((reached[one] | reached[other]) & parents).bit_count() >= 2
        for one in reached
        for other in reached
        if one < other
    )


def _reached(a: int, b: int, onward: list[Bits], apart: list[Bits]) -> Bits:
    """Return what uncovered, potentially directed paths reach that begin ``a b``."""
    seen, front, reached = {(a, b)}, [(a, b)], 1 << b
    while front:
        before, here = front.pop()
        for each in members(onward[here] & apart[before] & ~(1 << a)):
            if (here, each) not in seen:
                seen.add((here, each))
                front.append((here, each))
                reached |= 1 << each
    return reached
