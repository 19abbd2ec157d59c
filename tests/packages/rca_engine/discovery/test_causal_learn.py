# SPDX-License-Identifier: Apache-2.0
"""Our discoveries beside causal-learn's, and what happens where it is missing."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from rca_engine.discovery import fci, ges, lingam, pc
from rca_engine.errors import MethodError

STRICT = 0.001


@pytest.fixture
def oracle():
    pytest.importorskip("causallearn")


@pytest.mark.usefixtures("oracle")
@pytest.mark.parametrize("seed", range(5))
def test_pc_finds_the_links_of_causal_learn(linear, seed):
    values = linear(seed, 10, 2, 10000).values
    own = pc.discover(values, alpha=STRICT, max_order=8)
    theirs = pc.discover(values, alpha=STRICT, backend="causal-learn")
    assert ((own.marks != 0) == (theirs.marks != 0)).all()


@pytest.mark.usefixtures("oracle")
def test_pc_points_as_causal_learn_does_where_no_two_colliders_contradict(linear):
    values = linear(6, 10, 2, 20000).values
    own = pc.discover(values, alpha=STRICT, max_order=8)
    theirs = pc.discover(values, alpha=STRICT, backend="causal-learn")
    assert (own.marks == theirs.marks).all()


@pytest.mark.usefixtures("oracle")
@pytest.mark.parametrize("seed", range(4))
def test_ges_finds_the_class_of_causal_learn(linear, seed):
    values = linear(seed, 7, 2.5, 3000).values
    own = ges.discover(values)
    theirs = ges.discover(values, backend="causal-learn")
    assert (own.marks == theirs.marks).all()


@pytest.mark.usefixtures("oracle")
@pytest.mark.parametrize("seed", [1, 7, 12])
def test_fci_finds_the_pag_of_causal_learn(linear, seed):
    values = linear(seed, 9, 2.5, 20000, hidden=2).values
    own = fci.discover(values, alpha=STRICT, max_order=7)
    theirs = fci.discover(values, alpha=STRICT, backend="causal-learn")
    assert (own.marks == theirs.marks).all()


@pytest.mark.usefixtures("oracle")
@pytest.mark.parametrize("algorithm", ["ica", "direct"])
def test_lingam_finds_the_causes_of_causal_learn(linear, algorithm):
    made = linear(1, 8, 2, 5000, gaussian=False)
    own = lingam.discover(made.values, algorithm=algorithm, alpha=STRICT)
    theirs = lingam.discover(made.values, algorithm=algorithm, backend="causal-learn")
    assert (own.causes() == (made.effects != 0)).all()
    assert (theirs.causes() >= own.causes()).all()
    assert np.allclose(own.weights, theirs.weights, atol=0.1)


@pytest.mark.usefixtures("oracle")
def test_data_that_causal_learn_refuses_are_a_reason():
    values = np.random.default_rng(0).normal(size=(50, 3))
    with pytest.raises(MethodError, match="causal-learn refuses these metrics"):
        pc.discover(values[:, [0, 1, 2, 2]], backend="causal-learn")


@pytest.mark.parametrize("module", [pc, fci, ges, lingam])
def test_a_missing_causal_learn_names_the_extra_to_install(module, monkeypatch):
    for name in [each for each in sys.modules if each.startswith("causallearn")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "causallearn", None)
    values = np.random.default_rng(0).normal(size=(50, 3))
    with pytest.raises(MethodError, match=r"pip install 'rcalab-llm\[causal\]'"):
        module.discover(values, backend="causal-learn")
