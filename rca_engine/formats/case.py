# SPDX-License-Identifier: Apache-2.0
"""The project's own layout, case format 1: a directory a case, anywhere below the root."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

from rca_engine import schemas
from rca_engine.case import Case, read_truth
from rca_engine.errors import CaseError
from rca_engine.formats import Entry, reader


@reader("case", summary="case format 1, as harvest, simulate and convert write it")
def entries(root: Path) -> Iterator[Entry]:
    """List the complete cases at or below ``root``, in order of path; its experiment is the system.

    Raises
    ------
    CaseError
        If there is none, or a ``case.json`` or ``ground_truth.json`` can't be read.
    """
    found = sorted(path.parent for path in root.glob("**/case.json"))
    if not found:
        raise CaseError(f"{root}: no case here or below it (no case.json)")
    for folder in found:
        truth = read_truth(folder / "ground_truth.json")
        yield Entry(
            case_id=folder.relative_to(root).as_posix() if folder != root else folder.name,
            system=str(schemas.read_json(folder / "case.json").get("experiment") or "unnamed"),
            fault="" if truth is None else truth.fault,
            load=functools.partial(Case.load, folder),
        )
