# SPDX-License-Identifier: Apache-2.0
"""What an output of a finished run is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from loadgen.result import Result


@dataclass(frozen=True, slots=True)
class Output:
    """A form in which a run can be written.

    Parameters
    ----------
    kind
        What people call it.
    file
        Name of the file, in the run's folder.
    check
        Raises if something is not installed that it needs: asked before a run, not after it.
    write
        Writes it.
    """

    kind: str
    file: str
    check: Callable[[], None]
    write: Callable[[Result], Path]
