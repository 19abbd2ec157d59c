# SPDX-License-Identifier: Apache-2.0
"""PCMCI, cMLP and DAG-GNN: what they find, and that gradients are the slopes they should be."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from rca_engine.discovery import cmlp, dag_gnn, pcmci
from rca_engine.discovery._order import OrderSearch
from rca_engine.discovery.independence import correlation
from rca_engine.errors import MethodError

A, B, C, D, ALONE = range(5)


def discover(name, values, **options):
    if name == "pcmci":
        return pcmci.discover(values, alpha=0.001, **options)
    module = {"cmlp": cmlp, "dag_gnn": dag_gnn}[name]
    graph, finished = module.discover(values, rng=np.random.default_rng(0), **options)
    assert finished
    return graph


def collider(name, seed=0, steps=600):
    """A -> C <- B, C -> D, and a metric of its own; all but DAG-GNN see causes in the past only."""
    rng = np.random.default_rng(seed)
    late = 0 if name == "dag_gnn" else 1
    a, b, c, d, alone = rng.normal(size=(5, steps))
    c = 0.7 * c + np.roll(a, late) + np.roll(b, late)
    d = 0.7 * d + np.roll(c, late)
    return np.stack([a, b, c, d, alone], axis=1)[2:]


@pytest.fixture(params=["pcmci", "cmlp", "dag_gnn"])
def name(request):
    return request.param


@pytest.mark.parametrize("seed", range(3))
def test_two_causes_and_the_effect_of_their_effect_are_told_apart(name, seed):
    graph = discover(name, collider(name, seed))
    strength = graph.causes() * graph.weights
    strong = strength > 0.5 * strength.max()
    assert np.argwhere(strong).tolist() == [[A, C], [B, C], [C, D]]


def test_the_order_of_columns_changes_not_a_bit(name):
    values = np.concatenate([collider(name, seed) for seed in range(2)], axis=1)
    order = np.random.default_rng(1).permutation(values.shape[1])
    plain, shuffled = discover(name, values), discover(name, values[:, order])
    assert (shuffled.marks == plain.marks[np.ix_(order, order)]).all()
    assert (shuffled.weights == plain.weights[np.ix_(order, order)]).all()


def test_units_and_levels_change_nothing(name):
    values = collider(name)
    scaled = values * [1e9, 1e-6, 3.0, 20.0, 1.0] + [1e9, 0.0, -7.0, 1e3, 5.0]
    plain, other = discover(name, values), discover(name, scaled)
    # The first column's value, not its unit, gives the canonical order and so the random start.
    assert np.allclose(other.weights, plain.weights, atol=0.1)


def test_a_constant_metric_has_no_links(name):
    graph = discover(name, np.insert(collider(name), 1, 7.0, axis=1))
    assert not graph.marks[1].any()


def test_a_duplicated_metric_is_no_error(name):
    values = collider(name)
    graph = discover(name, np.column_stack([values, values[:, C]]))
    assert np.isfinite(graph.weights).all()


def test_too_few_steps_are_a_reason(name):
    with pytest.raises(MethodError, match="needs at least"):
        discover(name, np.random.default_rng(0).normal(size=(8, 3)))


@pytest.mark.parametrize("module", [cmlp, dag_gnn])
def test_a_deadline_ends_training_and_is_told(module):
    values = collider(module.__name__.rpartition(".")[2])
    graph, finished = module.discover(
        values, rng=np.random.default_rng(0), deadline=time.monotonic()
    )
    assert not finished
    assert graph.size == 5


def test_series_that_move_together_have_an_undirected_link():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(500, 3))
    values[:, 1] += values[:, 0]
    causes = pcmci.discover(values, alpha=0.001).causes()
    assert causes[0, 1]
    assert causes[1, 0]
    assert not pcmci.discover(values, alpha=0.001, contemporaneous=False).causes().any()


def test_a_common_past_is_no_link():
    rng = np.random.default_rng(1)
    driver = np.zeros(800)
    for step in range(1, 800):
        driver[step] = 0.9 * driver[step - 1] + rng.normal()
    noise = rng.normal(size=(800, 2))
    values = np.column_stack(
        [driver, np.roll(driver, 1) + noise[:, 0], np.roll(driver, 2) + noise[:, 1]]
    )
    causes = pcmci.discover(values[5:], alpha=0.001).causes()
    assert causes[0, 1]
    assert causes[0, 2]
    assert not causes[1, 2]
    assert not causes[2, 1]


def test_p_values_are_adjusted_as_benjamini_and_hochberg_do():
    adjusted = pcmci.adjusted(np.array([[0.01, 0.04], [0.03, 0.5]]))
    assert np.allclose(adjusted, [[0.04, 0.16 / 3], [0.16 / 3, 0.5]])


def slopes(function, at, step=1e-6):
    return np.array(
        [(function(at + step * e) - function(at - step * e)) / (2 * step) for e in np.eye(at.size)]
    )


def test_the_gradient_of_cmlp_is_the_slope_of_its_loss():
    rng = np.random.default_rng(0)
    inputs, outputs = cmlp.lagged(rng.normal(size=(30, 3)), 2)
    nets = cmlp.start(rng, inputs.shape[1], outputs.shape[1], 2)
    nets = replace(nets, first=rng.normal(size=nets.first.shape), offset=rng.normal(size=3))
    _, gradient = cmlp.loss_and_gradient(nets, inputs, outputs, 0.1)
    for part in ("first", "bias", "last", "offset"):
        value = getattr(nets, part)

        def loss(flat, part=part, value=value):
            moved = replace(nets, **{part: flat.reshape(value.shape)})
            return cmlp.loss_and_gradient(moved, inputs, outputs, 0.1)[0].sum()

        found = slopes(loss, value.ravel())
        assert np.allclose(found, getattr(gradient, part).ravel(), atol=1e-7), part


def test_the_gradient_of_dag_gnn_is_the_slope_of_its_loss():
    rng = np.random.default_rng(0)
    values, noise = rng.normal(size=(2, 30, 4))
    model = dag_gnn.start(rng, 4, 3)
    model = model.shaped(model.flat() + 0.1 * rng.normal(size=model.flat().size))
    _, gradient = dag_gnn.loss_and_gradient(model, values, noise, 0.05)
    found = slopes(
        lambda flat: dag_gnn.loss_and_gradient(model.shaped(flat), values, noise, 0.05)[0],
        model.flat(),
    )
    assert np.allclose(found, gradient.flat(), atol=1e-7)


def test_acyclicity_is_zero_without_a_cycle_and_its_gradient_is_its_slope():
    rng = np.random.default_rng(0)
    assert dag_gnn.cycles(np.triu(rng.normal(size=(5, 5)), 1))[0] == pytest.approx(0, abs=1e-12)
    graph = 0.5 * rng.normal(size=(4, 4))
    left, gradient = dag_gnn.cycles(graph)
    assert left > 0.01
    found = slopes(lambda flat: dag_gnn.cycles(flat.reshape(4, 4))[0], graph.ravel())
    assert np.allclose(found, gradient.ravel(), atol=1e-7)


def test_what_dag_gnn_finds_has_no_cycle():
    values = np.concatenate([collider("dag_gnn", seed) for seed in range(3)], axis=1)
    causes = discover("dag_gnn", values).causes().astype(float)
    assert not np.linalg.matrix_power(causes, causes.shape[0]).any()


@pytest.mark.parametrize("order", [[A, B, D, ALONE, C], [D, A, ALONE, B, C]])
def test_an_order_that_is_wrong_in_part_is_put_right_by_moves(order):
    values = collider("dag_gnn")
    search = OrderSearch(correlation(values), values.shape[0])
    causes = search.causes(search.improved(np.array(order)))
    assert np.argwhere(causes).tolist() == [[A, C], [B, C], [C, D]]


def test_the_largest_penalty_leaves_no_cause():
    assert not discover("cmlp", collider("cmlp"), sparsity=1.0).causes().any()


@pytest.mark.parametrize(
    ("module", "options"),
    [
        (cmlp, {"lags": 0}),
        (cmlp, {"sparsity": 2.0}),
        (dag_gnn, {"rate": 0.0}),
        (dag_gnn, {"hidden": 0}),
    ],
)
def test_an_option_out_of_range_is_refused(module, options):
    with pytest.raises(MethodError, match=next(iter(options))):
        module.discover(collider("cmlp"), rng=np.random.default_rng(0), **options)


def test_a_lag_of_none_is_refused():
    with pytest.raises(MethodError, match="a lag of 1 or more"):
        pcmci.discover(collider("pcmci"), max_lag=0)
