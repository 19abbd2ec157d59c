# SPDX-License-Identifier: Apache-2.0
"""What a discovery answers: a graph over metrics whose edges have a mark at each end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from rca_engine.methods._scores import Floats, Mask

Marks = npt.NDArray[np.int8]


class Mark(IntEnum):
    """What stands at one end of an edge (Spirtes et al., Causation, Prediction, and Search, 6)."""

    NONE = 0
    TAIL = 1
    ARROW = 2
    CIRCLE = 3


@dataclass(frozen=True)
class CausalGraph:
    """A causal graph, whatever discovered it: a DAG, a CPDAG or a PAG.

    Parameters
    ----------
    marks
        Shape (n, n): ``marks[i, j]`` is the mark at the end of ``j`` of the edge between ``i`` and
        ``j``; ``NONE`` on both sides where there is none. ``i -> j`` is ``marks[i, j] == ARROW``
        and ``marks[j, i] == TAIL``.
    weights
        Shape (n, n): how strongly ``i`` drives ``j``, at least 0; None where the discovery gives
        no strengths.
    """

    marks: Marks
    weights: Floats | None = None

    def __post_init__(self) -> None:
        if self.marks.ndim != 2 or self.marks.shape[0] != self.marks.shape[1]:
            raise ValueError(f"marks must be square, got shape {self.marks.shape}")
        if ((self.marks == Mark.NONE) != (self.marks.T == Mark.NONE)).any():
            raise ValueError("an edge needs a mark at both of its ends")

    @classmethod
    def directed(cls, causes: Mask, weights: Floats | None = None) -> CausalGraph:
        """Make a graph of ``causes[i, j]``: ``i -> j``; two opposite ones make an undirected."""
        marks = np.zeros(causes.shape, dtype=np.int8)
        marks[causes] = Mark.ARROW
        marks[causes.T & ~causes] = Mark.TAIL
        marks[causes & causes.T] = Mark.TAIL
        return cls(marks, weights)

    @property
    def size(self) -> int:
        """Number of metrics."""
        return int(self.marks.shape[0])

    def causes(self) -> Mask:
        """Return where ``i`` may be a cause of ``j``, shape (n, n).

        ``i -> j`` and ``i o-> j`` are one way, ``i - j`` and ``i o-o j`` both ways, and ``i <-> j``
        (a hidden common cause) neither way.
        """
        into = (self.marks == Mark.ARROW) & (self.marks.T != Mark.ARROW)
        open_ends = (self.marks != Mark.NONE) & (self.marks != Mark.ARROW)
        either: Mask = into | (open_ends & open_ends.T)
        return either
