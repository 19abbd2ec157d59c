# SPDX-License-Identifier: Apache-2.0
"""Layouts of other people's data sets: one file each, found by looking, listed nowhere else.

A module of this package whose name does not begin with ``_`` registers its reader::

    @reader("petshop", summary="Amazon's PetShop: 5-minute statistics and a call graph")
    def entries(root: Path) -> Iterator[Entry]: ...

Layouts that can be written too are in ``WRITERS``.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rca_engine.case import Case
from rca_engine.errors import CaseError


@dataclass(frozen=True)
class Entry:
    """One case of a data set, not yet read.

    Parameters
    ----------
    case_id
        Its name in the data set; unique there.
    system, fault
        What results are grouped by. ``fault`` is empty for a case without one.
    load
        Reads it; a function of a module with its arguments bound, so that worker processes can
        have it.
    """

    case_id: str
    system: str
    fault: str
    load: Callable[[], Case]


Entries = Callable[[Path], Iterator[Entry]]


@dataclass(frozen=True)
class Format:
    """A layout that can be read."""

    name: str
    summary: str
    entries: Entries


_registry: dict[str, Format] = {}


def write(name: str, case: Case, folder: Path) -> Path:
    """Write a case in the layout ``name`` and return where it is.

    Raises
    ------
    CaseError
        If that layout can't be written, or can't hold this case.
    """
    if name not in WRITERS:
        raise CaseError(f"format {name!r} can't be written; these can: {', '.join(WRITERS)}")
    module, function = WRITERS[name]
    written: Path = getattr(importlib.import_module(f"{__name__}.{module}"), function)(case, folder)
    return written


WRITERS = {
    "case": ("_write_case", "write_case"),
    "rcaeval": ("_write_rcaeval", "write_rcaeval"),
}
"""Layouts that can be written: name to the module and the function, imported when needed."""


def reader(name: str, *, summary: str) -> Callable[[Entries], Entries]:
    """Register a function that lists the cases below a folder."""

    def register(entries: Entries) -> Entries:
        if name in _registry:
            raise ValueError(f"two formats are called {name!r}")
        _registry[name] = Format(name, summary, entries)
        return entries

    return register


@functools.cache
def available() -> Mapping[str, Format]:
    """Return every format by its name, in order of names."""
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"{__name__}.{module.name}")
    return dict(sorted(_registry.items()))


def get(name: str) -> Format:
    """Return a format.

    Raises
    ------
    CaseError
        If there is none of that name; lists those there are.
    """
    if name not in available():
        raise CaseError(f"no format {name!r}; there are {', '.join(available())}")
    return available()[name]
