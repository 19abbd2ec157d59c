# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make every run of a suite, check it against the catalogue of faults and the lab, and order them.

The order is drawn in blocks: each repetition goes through all scenarios once, in an order of its
own, so that a machine that drifts during the night disturbs all of them alike. A place is drawn by
hashing seed, block and name, not by a generator: the same on every machine and with every Python,
whatever stands where in the file.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ansible_collections.rcalab.llm.plugins.module_utils.faults.contract import (
    ANY_ISOLATION,
    DURATION,
    MECHANISM,
    Fault,
)
from ansible_collections.rcalab.llm.plugins.module_utils.faults.errors import RefusedError

from .errors import ExperimentError
from .plan import Plan, Run, duration, seconds_left
from .suite import FaultChoice, Scenario, Suite, Times, check_name, with_defaults

SHAM = "F00"
_DURATION = DURATION.name


@dataclass(frozen=True)
class Lab:
    """What a lab has: its components, its isolation, and how many replicas it can serve with."""

    components: tuple[str, ...]
    isolation: str
    replicas: tuple[int, ...]


@dataclass(frozen=True)
class Defaults:
    """What a suite or scenario that does not say it gets."""

    seed: int
    load: Mapping[str, Any]
    times: Times


@dataclass(frozen=True)
class _Cell:
    """A scenario as it is run: its place in the suite's product, with a name of its own."""

    name: str
    scenario: Scenario
    replicas: int | None
    blocks: tuple[int, ...]
    """In which block each repetition is."""


def expand(
    suite: Suite,
    experiment: str,
    lab: Lab,
    defaults: Defaults,
    catalogue: Mapping[str, type[Fault]],
) -> Plan:
    """Return the plan of a suite.

    Raises
    ------
    ExperimentError
        If a fault, a target or a parameter is unknown or out of bounds, two runs would have one
        name, or all of it takes longer than the suite allows.
    """
    sizes, notes = _sizes(suite, lab)
    seed = defaults.seed if suite.seed is None else suite.seed
    cells = [*_product(suite, sizes, catalogue), *_shams(suite, sizes)]
    twice = [name for name, count in Counter(cell.name for cell in cells).items() if count > 1]
    if twice:
        raise ExperimentError(
            f"{suite.where}: more than one scenario would be called {', '.join(sorted(twice))}; "
            f"give them, or their entries of faults, a name of their own"
        )
    placed = [
        (block, cell, repetition)
        for cell in cells
        for repetition, block in enumerate(cell.blocks, start=1)
    ]
    if suite.order == "random":
        placed.sort(key=lambda each: (each[0], _draw(seed, each[0], each[1].name)))
    else:
        placed.sort(key=lambda each: each[0])
    known = {cell.name: _resolve(suite, cell, lab, defaults, catalogue) for cell in cells}
    runs = tuple(
        replace(
            known[cell.name],
            id=f"{cell.name}/run-{repetition:02d}",
            repetition=repetition,
            # Runs of one repetition share their load, so that they differ in the fault alone.
            seed=seed + repetition,
        )
        for _block, cell, repetition in placed
    )
    needed_s = seconds_left(runs)
    if needed_s > suite.limit_minutes * 60:
        raise ExperimentError(
            f"{suite.where}: {len(runs)} runs take about {duration(needed_s)}, and limit_minutes "
            f"is {suite.limit_minutes}: raise it, or ask for less"
        )
    return Plan(experiment, seed, suite.order, runs, notes)


def _draw(seed: int, block: int, name: str) -> str:
    return hashlib.sha256(f"{seed}:{block}:{name}".encode()).hexdigest()


def _sizes(suite: Suite, lab: Lab) -> tuple[tuple[int | None, ...], tuple[str, ...]]:
    """Return the numbers of replicas to run with, and a note of those that this lab can't have."""
    if not suite.replicas:
        return (None,), ()
    fitting = tuple(count for count in suite.replicas if count in lab.replicas)
    have = " or ".join(map(str, lab.replicas))
    if not fitting:
        raise ExperimentError(
            f"{suite.where}: replicas {', '.join(map(str, suite.replicas))}, and this lab serves "
            f"with {have}"
        )
    left_out = [str(count) for count in suite.replicas if count not in fitting]
    note = f"not run with {', '.join(left_out)} replicas: this lab serves with {have}"
    return fitting, (note,) if left_out else ()


def _product(
    suite: Suite, sizes: tuple[int | None, ...], catalogue: Mapping[str, type[Fault]]
) -> Iterator[_Cell]:
    for base in suite.scenarios:
        for choice in suite.faults or (None,):
            scenario = base if choice is None else _with_fault(suite, base, choice)
            for target in suite.targets or (None,):
                aimed = scenario if target is None else _with_target(suite, scenario, target)
                for size in sizes:
                    yield _Cell(
                        _name(suite, base, choice, target, size, catalogue),
                        aimed,
                        size,
                        tuple(range(aimed.repetitions or suite.repetitions)),
                    )


def _with_fault(suite: Suite, base: Scenario, choice: FaultChoice) -> Scenario:
    if base.fault is not None:
        raise ExperimentError(
            f"{suite.where}: the scenario {base.name} has a fault of its own ({base.fault}), "
            f"and the suite has faults too"
        )
    return replace(base, fault=choice.fault, parameters=choice.parameters, confirm=choice.confirm)


def _with_target(suite: Suite, scenario: Scenario, target: str) -> Scenario:
    if scenario.fault is None:
        raise ExperimentError(f"{suite.where}: {scenario.name} has no fault, so it needs no target")
    if scenario.target is not None:
        raise ExperimentError(
            f"{suite.where}: the scenario {scenario.name} has a target of its own "
            f"({scenario.target}), and the suite has targets too"
        )
    return replace(scenario, target=target)


def _name(
    suite: Suite,
    base: Scenario,
    choice: FaultChoice | None,
    target: str | None,
    size: int | None,
    catalogue: Mapping[str, type[Fault]],
) -> str:
    """Join what tells a scenario from the suite's others; a single base need not be told."""
    parts = [base.name] if choice is None or len(suite.scenarios) > 1 else []
    if choice is not None:
        fault = _find(choice.fault, suite.where, catalogue)
        parts.append(choice.name or fault.name.replace("_", "-"))
    if target is not None:
        parts.append(target.partition("/")[2] or target)
    if size is not None:
        parts.append(f"replicas-{size}")
    return check_name("-".join(parts), suite.where)


def _shams(suite: Suite, sizes: tuple[int | None, ...]) -> Iterator[_Cell]:
    """Yield the shams, spread over bases, targets and blocks as evenly as they come."""
    if not suite.shams:
        return
    own = (scenario.target for scenario in suite.scenarios if scenario.target is not None)
    targets = suite.targets or tuple(dict.fromkeys(own))
    if not targets:
        raise ExperimentError(f"{suite.where}: shams need targets, as the faults do")
    blocks: dict[str, list[int]] = {}
    cells: dict[str, tuple[Scenario, int | None]] = {}
    for number in range(suite.shams):
        target = targets[number % len(targets)]
        base = suite.scenarios[number // len(targets) % len(suite.scenarios)]
        size = sizes[number // (len(targets) * len(suite.scenarios)) % len(sizes)]
        parts = [base.name] if len(suite.scenarios) > 1 else []
        parts += ["sham", target.partition("/")[2] or target]
        parts += [] if size is None else [f"replicas-{size}"]
        name = check_name("-".join(parts), suite.where)
        blocks.setdefault(name, []).append(number * suite.repetitions // suite.shams)
        cells[name] = (replace(base, fault=SHAM, target=target, parameters={}, confirm=None), size)
    for name, (scenario, size) in cells.items():
        yield _Cell(name, scenario, size, tuple(blocks[name]))


def _resolve(
    suite: Suite,
    cell: _Cell,
    lab: Lab,
    defaults: Defaults,
    catalogue: Mapping[str, type[Fault]],
) -> Run:
    """Return a cell's run, all but what its repetition decides."""
    scenario, where = cell.scenario, f"{suite.where}: {cell.name}"
    times = replace(defaults.times, **scenario.times)
    parameters = dict(scenario.parameters)
    fault = None if scenario.fault is None else _find(scenario.fault, where, catalogue)
    target = scenario.target
    if fault is not None:
        target = target or _only_target(fault, lab)
        if _DURATION in {parameter.name for parameter in fault.parameters}:
            parameters = {_DURATION: times.fault_s, **parameters}
        _check(fault, target, parameters, lab, where)
        if fault.needs_confirmation and scenario.confirm != target:
            raise ExperimentError(
                f"{where}: {fault.id} {fault.name} acts on more than one pod: name its target "
                f"once more (confirm: {target})"
            )
        held_s = parameters.get(_DURATION, times.fault_s)
        times = replace(times, fault_s=round(held_s))
    if not times.baseline_s or not times.steady_state_s:
        raise ExperimentError(f"{where}: baseline_s and steady_state_s must be 1 at least")
    return Run(
        id="",
        scenario=cell.name,
        repetition=0,
        seed=0,
        fault=scenario.fault,
        sham=fault is not None and fault.sham,
        target=target,
        confirm=scenario.confirm,
        parameters=parameters,
        load=with_defaults(scenario.load, defaults.load),
        replicas=cell.replicas,
        **asdict(times),
    )


def _find(fault_id: str, where: str, catalogue: Mapping[str, type[Fault]]) -> type[Fault]:
    fault = catalogue.get(fault_id)
    if fault is None:
        raise ExperimentError(
            f"{where}: there is no fault {fault_id!r}; there are {', '.join(catalogue)}"
        )
    return fault


def _fitting(fault: type[Fault], lab: Lab) -> list[str]:
    """Return the components of a lab that a fault can be done to."""
    return [each for each in lab.components if each.partition("/")[0] in fault.kinds]


def _only_target(fault: type[Fault], lab: Lab) -> str | None:
    """Return what a fault must be done to where the lab leaves no choice."""
    fitting = _fitting(fault, lab)
    return fitting[0] if len(fitting) == 1 else None


def _check(
    fault: type[Fault], target: str | None, parameters: Mapping[str, Any], lab: Lab, where: str
) -> None:
    """Refuse what the catalogue or the lab refuses; what only the target knows is its agent's."""
    fitting = _fitting(fault, lab)
    if target not in fitting:
        asked = "no target" if target is None else f"target {target}"
        raise ExperimentError(
            f"{where}: {asked}; {fault.id} {fault.name} can be done to "
            f"{', '.join(fitting) or f'no component of this lab (a {fault.kinds[0]} it needs)'}"
        )
    known = {parameter.name: parameter for parameter in fault.parameters}
    unknown = sorted(set(parameters) - set(known) - {MECHANISM})
    if unknown:
        raise ExperimentError(
            f"{where}: {fault.id} has no parameter {', '.join(unknown)}; it has {MECHANISM}, "
            f"{', '.join(known)}"
        )
    for name, value in parameters.items():
        if name in known:
            try:
                known[name].check(value)
            except RefusedError as error:
                raise ExperimentError(f"{where}: {error}") from error
    mechanism = parameters.get(MECHANISM)
    if mechanism is not None and mechanism not in fault.mechanisms:
        raise ExperimentError(
            f"{where}: {fault.id} has no mechanism {mechanism!r}; it has "
            f"{', '.join(fault.mechanisms)}"
        )
    usual = (lab.isolation, ANY_ISOLATION)
    if mechanism is None and not set(usual) & set(fault.mechanisms.values()):
        raise ExperimentError(
            f"{where}: {fault.id} can't be done with lab_isolation={lab.isolation}: "
            f"{fault.requirements}"
        )
