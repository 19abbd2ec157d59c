# SPDX-License-Identifier: Apache-2.0
"""What is to be run: each case with each method, on its fault and on the quiet time before it.

A run's key is a hash of all that its result depends on: the data, the case, the method with its
options and its code, what it is told, and the seed. A result under that key is the answer, whoever
computed it and when; so an evaluation that was killed goes on where it was.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import rca_engine
from rca_engine import formats, methods
from rca_engine.errors import MethodError
from rca_engine.formats import Entry
from rca_engine.methods import Method
from rca_engine.model import TimeSource

Part = Literal["incident", "normal"]
"""What a run is asked about: the fault, or the time before it, where there is nothing to find."""

_KEY_FORMAT = 1
_NOT_DATA = {"diagnosis", "report.html", "index.html"}
_NO_ANSWER = ("cli.py", "commands", "report", "telemetry", "simulator", "simulate.py")
"""Parts of the package on which no answer depends."""


@dataclass(frozen=True)
class Options:
    """How to evaluate.

    Parameters
    ----------
    time
        What the methods are told of the time.
    late_s
        Seconds by which the time told is late; with ``time="none"`` only 0 makes sense.
    specificity
        Whether each method is also asked about the normal part of each case.
    seed, budget_s
        See :func:`rca_engine.diagnosis.diagnose`.
    method_options
        Method to its options; the others keep their defaults.
    """

    time: TimeSource = "alert"
    late_s: tuple[float, ...] = (0.0,)
    specificity: bool = True
    seed: int = 0
    budget_s: float | None = None
    method_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """One question to one method."""

    method: str
    time: TimeSource
    late_s: float
    part: Part
    seed: int
    budget_s: float | None
    options: Mapping[str, Any]
    key: str


@dataclass(frozen=True)
class Task:
    """What one worker does at a time: a case, and the questions about it."""

    entry: Entry
    facts_key: str
    runs: tuple[Run, ...]


def plan(
    dataset: Path, format_name: str, names: Sequence[str], options: Options, ignore: Path
) -> list[Task]:
    """List the cases of a data set with the runs of each.

    Parameters
    ----------
    dataset
        Where it lies.
    format_name
        Its layout, of ``rca_engine.formats``.
    names
        Methods.
    options
        What to ask.
    ignore
        A folder that is no data, should it lie in the data set: where results go.

    Raises
    ------
    CaseError
        If there is no such format or no case.
    MethodError
        If there is no such method or option.
    """
    chosen = [methods.get(name) for name in dict.fromkeys(names)]
    for name, values in options.method_options.items():
        if name not in names:
            raise MethodError(f"options for {name}, which is not among the methods to evaluate")
        methods.get(name).check(values)
    entries = list(formats.get(format_name).entries(dataset))
    data = data_fingerprint(dataset, ignore)
    return [
        Task(
            entry,
            _hash("facts", data, format_name, entry.case_id, code_fingerprint()),
            tuple(_runs(entry, chosen, options, f"{data}/{format_name}")),
        )
        for entry in entries
    ]


def data_fingerprint(dataset: Path, ignore: Path) -> str:
    """Return a hash of names, sizes and modification times of the data set's files."""
    paths = [dataset] if dataset.is_file() else sorted(dataset.rglob("*"))
    ignored = ignore.resolve()
    seen = []
    for path in paths:
        inner = path.relative_to(dataset)
        if path.is_file() and not _NOT_DATA.intersection(inner.parts):
            if path.resolve().is_relative_to(ignored):
                continue
            status = path.stat()
            seen.append((inner.as_posix(), status.st_size, status.st_mtime_ns))
    return _hash(seen)


@functools.cache
def code_fingerprint(method: str | None = None) -> str:
    """Return a hash of the code that a method's answer can depend on, without other methods'.

    None for what all methods share.
    """
    root = Path(inspect.getfile(rca_engine)).parent
    own = None if method is None else Path(inspect.getfile(methods.get(method).rank))
    seen = []
    for path in sorted(root.rglob("*.py")):
        inner = path.relative_to(root)
        other = inner.parent.name == "methods" and not inner.name.startswith("_") and path != own
        if not other and inner.parts[0] not in _NO_ANSWER:
            seen.append((inner.as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()))
    return _hash(seen)


def _runs(entry: Entry, chosen: Iterable[Method], options: Options, data: str) -> Iterable[Run]:
    questions: list[tuple[TimeSource, float, Part]] = [
        (options.time, late, "incident")
        for late in (options.late_s if options.time != "none" else (0.0,))
    ]
    if options.specificity:
        questions.append((options.time, 0.0, "normal"))
        if options.time != "none":
            questions.append(("none", 0.0, "normal"))
    for method in chosen:
        values = dict(options.method_options.get(method.name, {}))
        for time, late_s, part in questions:
            yield Run(
                method.name,
                time,
                late_s,
                part,
                options.seed,
                options.budget_s,
                values,
                _hash(
                    _KEY_FORMAT,
                    data,
                    entry.case_id,
                    method.name,
                    {**method.options, **values},
                    code_fingerprint(method.name),
                    (time, late_s, part, options.seed, options.budget_s),
                ),
            )


def _hash(*parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
