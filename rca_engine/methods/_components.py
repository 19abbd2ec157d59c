# SPDX-License-Identifier: Apache-2.0
"""What can be guilty in a case."""

from __future__ import annotations

from rca_engine.case import CaseView
from rca_engine.errors import MethodError


def components(case: CaseView) -> list[str]:
    """Return every component that has metrics or is in the topology, in order of names.

    Raises
    ------
    MethodError
        If there is none.
    """
    measured = case.table("metrics")["component"].dropna().unique()
    names = sorted({*map(str, measured), *(each.id for each in case.topology.components)})
    if not names:
        raise MethodError("the case has no components: neither metrics nor a topology name any")
    return names
