# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A catalogue: every public `Fault` in a module of its package, found by being there."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from types import ModuleType

from . import catalogue
from .contract import Fault
from .errors import RefusedError


@functools.cache
def faults(package: ModuleType = catalogue) -> Mapping[str, type[Fault]]:
    """Return the faults of a catalogue by id, in the order of their ids."""
    found: dict[str, type[Fault]] = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        for name, fault in inspect.getmembers(module, inspect.isclass):
            if name.startswith("_") or fault.__module__ != module.__name__:
                continue
            if issubclass(fault, Fault):
                if fault.id in found:
                    raise TypeError(f"two faults have the id {fault.id}")
                found[fault.id] = fault
    return dict(sorted(found.items()))


def find(fault_id: str, package: ModuleType = catalogue) -> type[Fault]:
    """Return the fault with the id.

    Raises
    ------
    RefusedError
        If there is none.
    """
    known = faults(package)
    fault = known.get(fault_id)
    if fault is None:
        raise RefusedError(f"there is no fault {fault_id!r}; there are {', '.join(known)}")
    return fault
