# SPDX-License-Identifier: Apache-2.0
"""What every discovery must get right; each test runs for each of them."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from rca_engine.discovery import fci, ges, granger, lingam, pc
from rca_engine.errors import MethodError

STRICT = 0.001
DISCOVERIES = {
    "pc": functools.partial(pc.discover, alpha=STRICT),
    "fci": functools.partial(fci.discover, alpha=STRICT),
    "ges": ges.discover,
    "granger": functools.partial(granger.discover, alpha=STRICT),
    "lingam-ica": functools.partial(lingam.discover, alpha=STRICT),
    "lingam-direct": functools.partial(lingam.discover, algorithm="direct", alpha=STRICT),
}
A, B, C, D, ALONE = range(5)


@pytest.fixture(params=DISCOVERIES)
def name(request):
    return request.param


def discover(name, values):
    return DISCOVERIES[name](values)


def collider(name, seed=0, steps=1500):
    """A -> C <- B, C -> D, and a metric of its own; Granger sees causes in the past only."""
    rng = np.random.default_rng(seed)
    late = 1 if name == "granger" else 0
    a, b, c, d, alone = rng.uniform(-1, 1, (5, steps))
    c += np.roll(a, late) + np.roll(b, late)
    d += np.roll(c, late)
    return np.stack([a, b, c, d, alone], axis=1)[2:]


def test_two_causes_and_the_effect_of_their_effect_are_told_apart(name):
    causes = discover(name, collider(name)).causes()
    into_c, into_d = causes[:, C], causes[:, D]
    assert into_c.tolist() == [True, True, False, False, False]
    assert into_d[C]
    assert not causes[D].any()
    assert not causes[:, A].any()
    assert not causes[:, B].any()


def test_a_metric_of_its_own_keeps_its_place_without_links(name):
    graph = discover(name, collider(name))
    assert graph.size == 5
    assert not graph.marks[ALONE].any()


def test_the_order_of_columns_changes_nothing(name, linear):
    if name == "granger":
        values = np.concatenate([collider(name, seed) for seed in range(3)], axis=1)
    else:
        values = linear(5, 12, 3, 900, gaussian=False).values
    order = np.random.default_rng(1).permutation(values.shape[1])
    plain, shuffled = discover(name, values), discover(name, values[:, order])
    assert (shuffled.marks == plain.marks[np.ix_(order, order)]).all()


def test_units_and_levels_change_nothing(name):
    values = collider(name)
    scaled = values * [1e9, 1e-6, 3.0, -20.0, 1.0] + [1e9, 0.0, -7.0, 1e3, 5.0]
    assert (discover(name, scaled).marks == discover(name, values).marks).all()


def test_a_constant_metric_has_no_links_and_disturbs_none(name):
    values = collider(name)
    with_constant = np.insert(values, 1, 7.0, axis=1)
    graph = discover(name, with_constant)
    assert not graph.marks[1].any()
    rest = np.delete(np.delete(graph.marks, 1, axis=0), 1, axis=1)
    assert (rest == discover(name, values).marks).all()


def test_a_duplicated_metric_is_no_error(name):
    values = collider(name)
    graph = discover(name, np.column_stack([values, values[:, C]]))
    assert graph.size == 6


@pytest.mark.parametrize("module", [pc, fci, granger])
def test_too_few_steps_are_a_reason(module):
    with pytest.raises(MethodError, match="steps are too few"):
        module.discover(np.random.default_rng(0).normal(size=(3, 3)))


@pytest.mark.parametrize("module", [pc, fci, granger, lingam])
def test_a_level_that_is_no_probability_is_refused(module):
    with pytest.raises(MethodError, match="alpha must be between 0 and 1"):
        module.discover(np.random.default_rng(0).normal(size=(50, 3)), alpha=1.5)


@pytest.mark.parametrize("module", [pc, fci, ges, lingam])
def test_an_unknown_backend_is_refused(module):
    with pytest.raises(MethodError, match="backend is one of own, causal-learn"):
        module.discover(np.random.default_rng(0).normal(size=(50, 3)), backend="r")
