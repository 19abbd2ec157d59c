# SPDX-License-Identifier: Apache-2.0
"""A small data set of synthetic cases, two with a fault and one sham, and methods for tests."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from rca_engine import methods
from rca_engine.errors import MethodError
from rca_engine.ranking import Candidate, Ranking
from rca_engine.simulate import simulate


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dataset")
    for seed in (1, 2):
        simulate(root / "cpu" / f"run-0{seed}", seed=seed)
    simulate(root / "sham" / "run-01", seed=3, sham=True)
    return root


def right(case, context):
    """Name the guilty replica, always."""
    return Ranking((Candidate("replica/llm-0", 1.0),))


def silent(case, context):
    """Never find anything."""
    return Ranking(())


def tied(case, context):
    """Name every component with one score, the guilty first in order."""
    names = ["replica/llm-0", "replica/llm-1", "replica/llm-2", "head/ray"]
    return Ranking(tuple(Candidate(name, 1.0) for name in names))


def broken(case, context):
    """Fail in a way that no method should."""
    raise RuntimeError("not foreseen")


def unfit(case, context):
    """Say what is missing."""
    raise MethodError("the case has no traces; give it some")


def drawn(case, context):
    """Order components by the seed alone."""
    names = sorted({each.id for each in case.topology.components})
    context.rng().shuffle(names)
    return Ranking(tuple(Candidate(name, -float(at)) for at, name in enumerate(names)))


def deadly(case, context):
    """Kill the worker, as memory's end would."""
    os.kill(os.getpid(), signal.SIGKILL)


KNOWN = (right, silent, tied, broken, unfit, drawn, deadly)


@pytest.fixture
def known_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the methods above into the registry of this process."""
    registry = {
        each.__name__: methods.Method(each.__name__, "", frozenset({"metrics"}), "", {}, each)
        for each in KNOWN
    }
    monkeypatch.setattr(methods, "available", lambda: registry)
