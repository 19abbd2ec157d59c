# SPDX-License-Identifier: Apache-2.0
"""Checks of a profile's values; their messages name the field, the range and the value."""

from __future__ import annotations

import math
from collections.abc import Iterable

from loadgen.errors import ProfileError


def check_number(
    name: str,
    value: float,
    *,
    above: float | None = None,
    least: float | None = None,
    most: float | None = None,
) -> None:
    """Raise unless ``value`` is finite and ``above`` < or ``least`` <= value <= ``most``."""
    allowed = " and ".join(
        f"{word} {bound:g}"
        for word, bound in (("above", above), ("at least", least), ("at most", most))
        if bound is not None
    )
    if (
        not math.isfinite(value)
        or (above is not None and value <= above)
        or (least is not None and value < least)
        or (most is not None and value > most)
    ):
        raise ProfileError(f"{name} must be {allowed}, got {value!r}")


def check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """Raise unless ``value`` is one of ``choices``."""
    allowed = sorted(choices)
    if value not in allowed:
        raise ProfileError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
