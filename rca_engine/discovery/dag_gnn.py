# SPDX-License-Identifier: Apache-2.0
"""DAG-GNN: a variational autoencoder whose latent noises meet in one weighted acyclic graph.

Source: Yu, Chen, Gao, Yu, DAG-GNN: DAG Structure Learning with Graph Neural Networks, ICML 2019:
encoder ``Z = m_e(X) (I - A)`` and decoder ``X = m_d(Z (I - A)^-1)`` (equations 5 and 6, rows are
samples here), evidence lower bound (8) to (11), acyclicity ``h(A) = tr[(I + A*A / n)^n] - n``
(13) by an augmented Lagrangian (section 3.4).

numpy and not torch: the model has n^2 + 6 * hidden + n weights, torch weighs some hundred MB.

Departures:

- Each noise has a variance of its own, as has each metric's reconstruction, both at their best
  value for the present weights (GOLEM-NV does the same). The paper's variance of 1 for all makes a
  direction a matter of units (Reisach et al., Beware of the Simulated DAG, NeurIPS 2021).
- The networks ``m`` add to the identity, so that training starts from a linear model.
- Gradients from an empty graph end in a local optimum in which A -> C <- B, C -> D is a denser
  graph with D -> C, whatever the penalty. So the order that they lead to is improved by moves
  of one metric (``_order``), and the weights are trained once more within that graph.
- An L1 penalty on ``A``: without one a likelihood prefers the densest graph that is acyclic.
- The whole data are one batch, Adam steps, and training ends early where nothing moves.
"""

from __future__ import annotations

import time as clock
from dataclasses import dataclass, fields, replace

import numpy as np

from rca_engine.discovery._canonical import in_canonical_order
from rca_engine.discovery._order import OrderSearch
from rca_engine.discovery.graph import CausalGraph
from rca_engine.discovery.independence import correlation, standardised
from rca_engine.errors import MethodError
from rca_engine.methods._scores import Floats, Ints, Mask

_LEAST_ROWS = 20
_LEAST_VARIANCE = 1e-3
"""Floor of a metric's reconstruction variance: a duplicate could be reconstructed without error."""
_CYCLES_LEFT = 1e-6
_PENALTY_GROWTH, _PENALTY_MOST = 10.0, 1e8
_DIVERGED = "DAG-GNN diverged; lower rate, or look for outliers in the metrics"
_PROGRESS = 0.25
"""``h`` must fall to this share of itself, else the penalty grows (the paper's gamma)."""


@dataclass(frozen=True)
class Weights:
    """All that is learned, or its gradient.

    Parameters
    ----------
    graph
        Shape (n, n): ``graph[i, j]`` is the weight of ``i -> j``; its diagonal is 0.
    encoder, decoder
        Shape (3, hidden): input weights, biases and output weights of ``m``, shared by all metrics.
    log_noise
        Shape (n,): log standard deviation of the latent noise given the data.
    """

    graph: Floats
    encoder: Floats
    decoder: Floats
    log_noise: Floats

    def flat(self) -> Floats:
        """Return all weights in one vector."""
        return np.concatenate([getattr(self, each.name).ravel() for each in fields(self)])

    def shaped(self, flat: Floats) -> Weights:
        """Return the weights of a vector, in the shapes of these."""
        arrays = [getattr(self, each.name) for each in fields(self)]
        parts = np.split(flat, np.cumsum([each.size for each in arrays])[:-1])
        return Weights(
            *(part.reshape(each.shape) for part, each in zip(parts, arrays, strict=True))
        )


def start(rng: np.random.Generator, size: int, hidden: int) -> Weights:
    """Return the weights before training: no edges, and networks near the identity."""
    network = rng.normal(0.0, 1.0, (2, 3, hidden))
    network[:, 2] *= 0.1 / np.sqrt(hidden)
    return Weights(np.zeros((size, size)), network[0], network[1], np.full(size, -1.0))


def loss_and_gradient(
    weights: Weights, values: Floats, noise: Floats, sparsity: float
) -> tuple[float, Weights]:
    """Return the negative evidence lower bound a sample, plus the L1 penalty, and its gradient.

    Parameters
    ----------
    weights
        The model.
    values
        Shape (steps, n), standardised.
    noise
        Shape (steps, n), standard normal: the draw of the latent noise.
    sparsity
        Weight of the sum of ``|A|``.
    """
    rows, size = values.shape
    through = np.eye(size) - weights.graph
    inverse = np.linalg.inv(through)
    encoded, encoder_units = _network(weights.encoder, values)
    mean = encoded @ through
    deviation = np.exp(weights.log_noise)
    latent = mean + deviation * noise
    mixed = latent @ inverse
    decoded, decoder_units = _network(weights.decoder, mixed)

    error = decoded - values
    variance = (error**2).mean(axis=0) + _LEAST_VARIANCE
    prior = (mean**2).mean(axis=0) + deviation**2
    loss = 0.5 * np.log(variance).sum() + 0.5 * np.log(prior).sum() - weights.log_noise.sum()
    loss += sparsity * np.abs(weights.graph).sum()

    d_mixed, d_decoder = _network_gradient(
        weights.decoder, mixed, decoder_units, error / (rows * variance)
    )
    d_latent = d_mixed @ inverse.T
    d_mean = d_latent + mean / (rows * prior)
    d_log_noise = (d_latent * noise).sum(axis=0) * deviation + deviation**2 / prior - 1.0
    _, d_encoder = _network_gradient(weights.encoder, values, encoder_units, d_mean @ through.T)
    d_graph = inverse.T @ (latent.T @ d_mixed) @ inverse.T - encoded.T @ d_mean
    d_graph += sparsity * np.sign(weights.graph)
    return float(loss), Weights(d_graph, d_encoder, d_decoder, d_log_noise)


def cycles(graph: Floats) -> tuple[float, Floats]:
    """Return ``h(A)``, 0 if and only if the graph has no cycle, and its gradient (equation 13)."""
    size = graph.shape[0]
    step = np.eye(size) + graph * graph / size
    walks = np.linalg.matrix_power(step, size - 1)
    return float(np.einsum("ij,ji->", walks, step)) - size, walks.T * 2.0 * graph


def causal_order(strength: Floats) -> Ints:
    """Return an order, causes first, that the fewest weights contradict, chosen greedily.

    Parameters
    ----------
    strength
        Shape (n, n), at least 0: ``strength[i, j]`` for ``i -> j``.
    """
    left = list(range(strength.shape[0]))
    order = []
    while left:
        within = strength[np.ix_(left, left)]
        order.append(left.pop(int((within.sum(axis=0) - 1e-9 * within.sum(axis=1)).argmin())))
    return np.array(order, dtype=np.int64)


def discover(
    values: Floats,
    *,
    rng: np.random.Generator,
    hidden: int = 8,
    sparsity: float = 0.03,
    rounds: int = 8,
    epochs: int = 150,
    rate: float = 0.01,
    tolerance: float = 1e-4,
    threshold: float = 0.1,
    deadline: float | None = None,
) -> tuple[CausalGraph, bool]:
    """Discover a weighted acyclic graph.

    Parameters
    ----------
    values
        Shape (steps, metrics), no NaN.
    rng
        Draws the weights at the start and the latent noise.
    hidden
        Units of the two networks.
    sparsity
        Weight of the L1 penalty on the graph.
    rounds, epochs
        Updates of the Lagrangian, and most passes over the data in each.
    rate
        Adam's step size.
    tolerance
        A round ends where the loss falls by less than this in ten passes.
    threshold
        Edges of a smaller absolute weight are left out.
    deadline
        On the clock of :func:`time.monotonic`; training ends there.

    Returns
    -------
    graph, finished
        Edges weighted by ``|A|``; ``finished`` is False at the deadline.

    Raises
    ------
    MethodError
        If there are too few steps, an option is out of range, or training diverges.
    """
    if hidden < 1 or rounds < 1 or epochs < 1 or rate <= 0 or sparsity < 0:
        raise MethodError(
            "DAG-GNN needs hidden, rounds and epochs of at least 1, rate above 0, "
            "and sparsity of at least 0"
        )
    if values.shape[0] < _LEAST_ROWS:
        raise MethodError(
            f"DAG-GNN needs at least {_LEAST_ROWS} steps, got {values.shape[0]}; widen the windows"
        )
    finished = True

    def run(ordered: Floats) -> CausalGraph:
        nonlocal finished
        schedule = Schedule(sparsity, rounds, epochs, rate, tolerance, deadline)
        model = start(rng, ordered.shape[1], hidden)
        scaled = standardised(ordered)
        model, finished = train(model, scaled, rng, schedule)
        search = OrderSearch(correlation(ordered), ordered.shape[0])
        allowed = search.causes(search.improved(causal_order(np.abs(model.graph))))
        if finished:
            model = _minimise(model, scaled, rng, schedule, allowed, 0.0, 0.0)
            finished = not schedule.over
        weights = np.abs(model.graph) * allowed
        weights[weights < threshold] = 0.0
        return CausalGraph.directed(weights > 0, weights)

    return in_canonical_order(values, run), finished


@dataclass(frozen=True)
class Schedule:
    """How to train; each field as the option of :func:`discover`."""

    sparsity: float
    rounds: int
    epochs: int
    rate: float
    tolerance: float
    deadline: float | None

    @property
    def over(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and clock.monotonic() > self.deadline


def train(
    weights: Weights, values: Floats, rng: np.random.Generator, schedule: Schedule
) -> tuple[Weights, bool]:
    """Minimise the loss subject to ``h(A) = 0`` by the augmented Lagrangian (equations 14, 15)."""
    multiplier, penalty, last = 0.0, 1.0, np.inf
    anywhere = ~np.eye(weights.graph.shape[0], dtype=bool)
    for _ in range(schedule.rounds):
        weights = _minimise(weights, values, rng, schedule, anywhere, multiplier, penalty)
        if schedule.over:
            return weights, False
        left, _ = cycles(weights.graph)
        if left < _CYCLES_LEFT:
            break
        multiplier += penalty * left
        if left > _PROGRESS * last:
            penalty = min(penalty * _PENALTY_GROWTH, _PENALTY_MOST)
        last = left
    return weights, True


def _minimise(
    weights: Weights,
    values: Floats,
    rng: np.random.Generator,
    schedule: Schedule,
    allowed: Mask,
    multiplier: float,
    penalty: float,
) -> Weights:
    """Take Adam steps (Kingma, Ba 2015) until the loss stays where it is.

    Only the edges ``allowed``, shape (n, n), get weights.
    """
    weights = replace(weights, graph=weights.graph * allowed)
    flat = weights.flat()
    first, second = np.zeros_like(flat), np.zeros_like(flat)
    window: list[float] = []
    for epoch in range(1, schedule.epochs + 1):
        noise = rng.standard_normal(values.shape)
        try:
            loss, gradient = loss_and_gradient(weights, values, noise, schedule.sparsity)
        except np.linalg.LinAlgError:
            raise MethodError(_DIVERGED) from None
        left, d_left = cycles(weights.graph)
        loss += multiplier * left + 0.5 * penalty * left**2
        if not np.isfinite(loss):
            raise MethodError(_DIVERGED)
        slope = gradient.flat()
        slope[: d_left.size] += ((multiplier + penalty * left) * d_left).ravel()
        slope[: d_left.size] *= allowed.ravel()
        first = 0.9 * first + 0.1 * slope
        second = 0.999 * second + 0.001 * slope**2
        scale = np.sqrt(second / (1 - 0.999**epoch)) + 1e-8
        flat = flat - schedule.rate * first / (1 - 0.9**epoch) / scale
        weights = weights.shaped(flat)
        window.append(loss)
        if schedule.over or _settled(window, schedule.tolerance):
            break
    return weights


def _settled(losses: list[float], tolerance: float, length: int = 10) -> bool:
    """Whether the mean of the last losses is no better than that of those before them."""
    if len(losses) < 2 * length:
        return False
    before, now = np.mean(losses[-2 * length : -length]), np.mean(losses[-length:])
    return bool(before - now < tolerance * max(abs(float(before)), 1.0))


def _network(weights: Floats, values: Floats) -> tuple[Floats, list[Floats]]:
    """Return ``x + sum of w2 tanh(w1 x + b)``, and each unit, shape (steps, n).

    Unit by unit: arrays of one unit stay in the processor's cache, those of all of them do not.
    """
    units = [np.tanh(values * scale + bias) for scale, bias in zip(*weights[:2], strict=True)]
    output = values.copy()
    for unit, last in zip(units, weights[2], strict=True):
        output += last * unit
    return output, units


def _network_gradient(
    weights: Floats, values: Floats, units: list[Floats], d_output: Floats
) -> tuple[Floats, Floats]:
    """Return the gradient at the input and at the weights."""
    d_values, d_weights = d_output.copy(), np.empty_like(weights)
    for at, unit in enumerate(units):
        d_weights[2, at] = np.vdot(d_output, unit)
        d_inside = (1.0 - unit * unit) * d_output
        d_inside *= weights[2, at]
        d_weights[0, at] = np.vdot(d_inside, values)
        d_weights[1, at] = d_inside.sum()
        d_values += weights[0, at] * d_inside
    return d_values, d_weights
