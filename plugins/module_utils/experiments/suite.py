# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person writes: a scenario (one load with one fault or none), and a suite of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from .errors import ExperimentError
from .fields import Fields

# A name is a folder of the results. These are there already.
RESERVED = ("evaluation", "quarantine")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
ORDERS = ("random", "listed")
# What says when requests come; one of them at a time.
_SHAPES = ("rate_per_s", "curve", "bursts", "closed")
_LOAD = (*_SHAPES, "arrivals", "burstiness", "prompt_tokens", "prompts", "output_tokens", "outputs")


@dataclass(frozen=True)
class Times:
    """The parts of a run, in seconds."""

    warmup_s: int
    steady_state_s: int
    baseline_s: int
    fault_s: int
    recovery_s: int


@dataclass(frozen=True)
class Scenario:
    """One load with one fault, or none, on one target; None is what the suite says instead."""

    name: str
    fault: str | None
    target: str | None
    confirm: str | None
    parameters: Mapping[str, Any]
    load: Mapping[str, Any]
    times: Mapping[str, int]
    repetitions: int | None


@dataclass(frozen=True)
class FaultChoice:
    """A fault to cross the scenarios with; ``name`` is None where it has only the catalogue's."""

    fault: str
    parameters: Mapping[str, Any]
    name: str | None
    confirm: str | None


@dataclass(frozen=True)
class Suite:
    """Scenarios x faults x targets x replicas x repetitions, and shams."""

    where: str
    seed: int | None
    order: str
    repetitions: int
    scenarios: tuple[Scenario, ...]
    faults: tuple[FaultChoice, ...]
    targets: tuple[str, ...]
    replicas: tuple[int, ...]
    shams: int
    limit_minutes: int


# A name as a suite writes it, to its content and what to call it in a complaint.
Find = Callable[[str], tuple[Any, str, str]]


def read_suite(data: object, where: str, find: Find) -> Suite:
    """Read a suite.

    Parameters
    ----------
    data
        What its file holds.
    where
        What to call it in a complaint.
    find
        Returns content, default name and place of a scenario that is named and not written out.

    Raises
    ------
    ExperimentError
        If a key is unknown, or a value is none that it takes.
    """
    keys = Fields(data, where)
    keys.text("description")
    suite = Suite(
        where=where,
        seed=keys.integer("seed", 0),
        order=keys.choice("order", "random", ORDERS),
        repetitions=keys.integer("repetitions", 1) or 1,
        scenarios=tuple(_scenario(each, where, find) for each in keys.items("scenarios")),
        faults=tuple(_fault(each, where) for each in keys.items("faults")),
        targets=tuple(_texts(keys, "targets")),
        replicas=tuple(_counts(keys, "replicas")),
        shams=keys.integer("shams", 0) or 0,
        limit_minutes=keys.integer("limit_minutes", 1) or 12 * 60,
    )
    keys.end()
    if not suite.scenarios:
        raise ExperimentError(f"{where}: no scenarios: list at least one")
    return suite


def check_name(name: str, where: str) -> str:
    """Return a name that can be a folder of the results.

    Raises
    ------
    ExperimentError
        If it can't.
    """
    if not _NAME.fullmatch(name) or name in RESERVED:
        raise ExperimentError(
            f"{where}: a name must be lower-case letters, digits, '.', '_' and '-', at most 80, "
            f"and not {' or '.join(RESERVED)}; this one is {name!r}"
        )
    return name


def _scenario(data: object, where: str, find: Find) -> Scenario:
    name = None
    if isinstance(data, str):
        data, name, where = find(data)
    else:
        where = f"{where}: scenarios"
    keys = Fields(data, where)
    keys.text("description")
    name = keys.text("name") or name
    if name is None:
        raise ExperimentError(f"{where}: a scenario that is written out needs a name")
    keys.where = f"{where}: {name}"
    fault, target = keys.text("fault"), keys.text("target")
    parameters = keys.mapping("parameters")
    if fault is None and (target or parameters):
        raise ExperimentError(f"{keys.where}: a target or parameters, and no fault")
    times = {each.name: keys.integer(each.name, 0) for each in fields(Times)}
    scenario = Scenario(
        name=check_name(name, keys.where),
        fault=fault,
        target=target,
        confirm=keys.text("confirm"),
        parameters=parameters,
        load=_load(keys.mapping("load"), keys.where),
        times={name: value for name, value in times.items() if value is not None},
        repetitions=keys.integer("repetitions", 1),
    )
    keys.end()
    return scenario


def _load(load: dict[str, Any], where: str) -> dict[str, Any]:
    unknown = sorted(set(load) - set(_LOAD))
    if unknown:
        raise ExperimentError(
            f"{where}: the load has no {', '.join(unknown)}; it has {', '.join(_LOAD)}"
        )
    shapes = [name for name in _SHAPES if name in load]
    if len(shapes) > 1:
        raise ExperimentError(f"{where}: the load can't have {' and '.join(shapes)} at once")
    for name in ("rate_per_s", "prompt_tokens", "output_tokens"):
        value = load.get(name, 1)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            raise ExperimentError(f"{where}: {name} must be a number above 0, not {value!r}")
    return load


def with_defaults(load: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return a load, what it does not say taken from ``defaults``; a shape replaces the rate."""
    shaped = any(name in load for name in _SHAPES)
    kept = {key: each for key, each in defaults.items() if not (shaped and key in _SHAPES)}
    return {**kept, **load}


def _fault(data: object, where: str) -> FaultChoice:
    if isinstance(data, str):
        return FaultChoice(data, {}, None, None)
    keys = Fields(data, f"{where}: faults")
    fault = keys.text("fault")
    parameters, name, confirm = keys.mapping("parameters"), keys.text("name"), keys.text("confirm")
    choice = FaultChoice(fault or "", parameters, name, confirm)
    keys.end()
    if fault is None:
        raise ExperimentError(f"{where}: an entry of faults must name its fault, such as F01")
    return choice


def _texts(keys: Fields, key: str) -> list[str]:
    values = keys.items(key)
    for value in values:
        if not isinstance(value, str):
            raise ExperimentError(f"{keys.where}: {key} must be texts, not {value!r}")
    return values


def _counts(keys: Fields, key: str) -> list[int]:
    values = keys.items(key)
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ExperimentError(f"{keys.where}: {key} must be counts from 1 on, not {value!r}")
    return values
