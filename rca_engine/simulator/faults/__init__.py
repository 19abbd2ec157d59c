# SPDX-License-Identifier: Apache-2.0
"""The faults that can be simulated: one a file, found by being there."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping

from rca_engine.errors import CaseError
from rca_engine.simulator.faults._base import Draft, Fault

__all__ = ["Draft", "Fault", "faults", "find"]


@functools.cache
def faults() -> Mapping[str, type[Fault]]:
    """Return the faults by id, in the order of their ids."""
    found: dict[str, type[Fault]] = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        for each in vars(module).values():
            if (
                isinstance(each, type)
                and issubclass(each, Fault)
                and each.__module__ == module.__name__
                and not info.name.startswith("_")
            ):
                if each.id in found:
                    raise TypeError(f"two simulated faults have the id {each.id}")
                found[each.id] = each
    return dict(sorted(found.items()))


def find(fault: str) -> type[Fault]:
    """Return the fault with the id.

    Raises
    ------
    CaseError
        If there is none.
    """
    known = faults()
    if fault not in known:
        raise CaseError(f"no simulated fault {fault!r}; there are {', '.join(known)}")
    return known[fault]
