# SPDX-License-Identifier: Apache-2.0
"""Neural Granger causality by component-wise multilayer perceptrons (cMLP).

Source: Tank, Covert, Foti, Shojaie, Fox, Neural Granger Causality, IEEE TPAMI 2021 (section 3.1 the
networks, 3.2 the penalties, 4 proximal gradient descent with line search). One network a series
predicts its next value from the last ``lags`` values of all; the group lasso on the first layer
sets a cause's weights to exactly zero, and the causes that are left are the Granger causes.

numpy and not torch: the nets have some thousand weights each, torch weighs some hundred MB.

All networks are trained at once, each with its own step size, line search and end. Departures: the
penalty is a share of the one that keeps the first layer at zero, found per target, so that no unit
or length of the data matters; the group penalty is over all lags of a cause at once (``GROUP``).
"""

from __future__ import annotations

import time as clock
from dataclasses import dataclass

import numpy as np

from rca_engine.discovery._canonical import in_canonical_order
from rca_engine.discovery.graph import CausalGraph
from rca_engine.discovery.independence import standardised
from rca_engine.errors import MethodError
from rca_engine.methods._scores import Floats, Mask

_SHRINK, _GROW = 0.5, 1.3
_LEAST_ROWS = 20
_PATIENCE = 5
"""Epochs in a row with next to no progress after which a network is done."""
_TINY = 1e-12


@dataclass(frozen=True)
class Nets:
    """Networks side by side, one a target: ``inputs -> hidden units (tanh) -> 1``.

    Parameters
    ----------
    first
        Shape (inputs, targets, hidden); an input is ``(lag - 1) * series + i``.
    bias, last
        Shape (targets, hidden).
    offset
        Shape (targets,).
    """

    first: Floats
    bias: Floats
    last: Floats
    offset: Floats

    def down(self, gradient: Nets, step: Floats) -> Nets:
        """Return the networks a step, shape (targets,), down their gradients."""
        wide = step[:, None]
        return Nets(
            self.first - wide * gradient.first,
            self.bias - wide * gradient.bias,
            self.last - wide * gradient.last,
            self.offset - step * gradient.offset,
        )

    def inner(self, other: Nets) -> Floats:
        """Return the inner product of each target's weights, shape (targets,)."""
        dot: Floats = (
            np.einsum("ijh,ijh->j", self.first, other.first)
            + np.einsum("jh,jh->j", self.bias, other.bias)
            + np.einsum("jh,jh->j", self.last, other.last)
            + self.offset * other.offset
        )
        return dot

    def choose(self, chosen: Mask, other: Nets) -> Nets:
        """Return these networks for the targets chosen, shape (targets,), else ``other``'s."""
        wide = chosen[:, None]
        return Nets(
            np.where(wide, self.first, other.first),
            np.where(wide, self.bias, other.bias),
            np.where(wide, self.last, other.last),
            np.where(chosen, self.offset, other.offset),
        )


def discover(
    values: Floats,
    *,
    rng: np.random.Generator,
    lags: int = 3,
    hidden: int = 5,
    sparsity: float = 0.3,
    ridge: float = 0.01,
    epochs: int = 400,
    tolerance: float = 1e-3,
    deadline: float | None = None,
) -> tuple[CausalGraph, bool]:
    """Discover which series help to predict which.

    Parameters
    ----------
    values
        Shape (steps, metrics), no NaN, at one step.
    rng
        Draws the weights at the start.
    lags
        Past values that a network sees of each series.
    hidden
        Units of a network.
    sparsity
        Share, from 0 to 1, of the penalty that would leave no cause at all.
    ridge
        Penalty on the last layer; without one the first could shrink for free.
    epochs, tolerance
        Training ends after so many passes, or where a network's loss falls by less than this share
        of itself for some epochs.
    deadline
        On the clock of :func:`time.monotonic`; training ends there.

    Returns
    -------
    graph, finished
        ``i -> j`` where ``i`` has weights in the network of ``j``, weighted by their norm; series
        that predict each other have an undirected edge. ``finished`` is False at the deadline.

    Raises
    ------
    MethodError
        If there are too few steps or an option is out of range.
    """
    if lags < 1 or hidden < 1 or not 0 <= sparsity <= 1:
        raise MethodError("cMLP needs lags and hidden of at least 1 and sparsity from 0 to 1")
    if values.shape[0] - lags < _LEAST_ROWS:
        raise MethodError(
            f"cMLP with {lags} lags needs at least {_LEAST_ROWS + lags} steps, "
            f"got {values.shape[0]}; widen the windows"
        )
    finished = True

    def run(ordered: Floats) -> CausalGraph:
        nonlocal finished
        scaled = standardised(ordered)
        inputs, outputs = lagged(scaled, lags)
        nets, finished = train(
            inputs,
            outputs,
            start(rng, inputs.shape[1], outputs.shape[1], hidden),
            sparsity=sparsity,
            ridge=ridge,
            epochs=epochs,
            tolerance=tolerance,
            deadline=deadline,
        )
        varies = scaled.any(axis=0)
        weights = _norms(nets.first) * np.outer(varies, varies)
        np.fill_diagonal(weights, 0.0)
        return CausalGraph.directed(weights > 0, weights)

    return in_canonical_order(values, run), finished


def lagged(values: Floats, lags: int) -> tuple[Floats, Floats]:
    """Return what networks see, shape (rows, lags * series), and predict, (rows, series)."""
    steps = values.shape[0]
    past = [values[lags - lag : steps - lag] for lag in range(1, lags + 1)]
    return np.concatenate(past, axis=1), values[lags:]


def start(rng: np.random.Generator, inputs: int, targets: int, hidden: int) -> Nets:
    """Return networks before training: the same small random weights for each target."""
    first = rng.normal(0.0, 0.1 / np.sqrt(inputs), (inputs, 1, hidden))
    bias = rng.normal(0.0, 0.1, (1, hidden))
    last = rng.normal(0.0, 1.0 / np.sqrt(hidden), (1, hidden))
    return Nets(
        np.repeat(first, targets, axis=1),
        np.repeat(bias, targets, axis=0),
        np.repeat(last, targets, axis=0),
        np.zeros(targets),
    )


def loss_and_gradient(
    nets: Nets, inputs: Floats, outputs: Floats, ridge: float
) -> tuple[Floats, Nets]:
    """Return the smooth part of the loss and its gradient.

    Half the mean squared error plus ``ridge / 2`` times the squared last layer.

    Parameters
    ----------
    nets
        The networks.
    inputs, outputs
        Shapes (rows, inputs) and (rows, targets).
    ridge
        See :func:`discover`.

    Returns
    -------
    loss, gradient
        Shape (targets,); as the networks.
    """
    rows = inputs.shape[0]
    count, targets, hidden = nets.first.shape
    units = inputs @ nets.first.reshape(count, -1)
    units = np.tanh(units.reshape(rows, targets, hidden) + nets.bias)
    error = np.einsum("tjh,jh->tj", units, nets.last) + nets.offset - outputs
    loss = 0.5 * (error**2).mean(axis=0) + 0.5 * ridge * (nets.last**2).sum(axis=1)
    error /= rows
    last = np.einsum("tjh,tj->jh", units, error) + ridge * nets.last
    # The units' array becomes the gradient at their inputs: it is by far the largest one here.
    np.multiply(units, units, out=units)
    np.subtract(1.0, units, out=units)
    units *= error[:, :, None]
    units *= nets.last
    first = (inputs.T @ units.reshape(rows, -1)).reshape(nets.first.shape)
    return loss, Nets(first, units.sum(axis=0), last, error.sum(axis=0))


def train(
    inputs: Floats,
    outputs: Floats,
    nets: Nets,
    *,
    sparsity: float,
    ridge: float,
    epochs: int,
    tolerance: float,
    deadline: float | None,
) -> tuple[Nets, bool]:
    """Train by proximal gradient descent; options as for :func:`discover`.

    Each epoch tries one step of every network. Where the loss lies above its quadratic bound the
    network stays and its next step is shorter, elsewhere it moves and its next step is longer.
    """
    targets = outputs.shape[1]
    penalty = sparsity * _emptying_penalty(nets, inputs, outputs)
    loss, gradient = loss_and_gradient(nets, inputs, outputs, ridge)
    total = loss + penalty * _norms(nets.first).sum(axis=0)
    step, idle = np.ones(targets), np.zeros(targets, dtype=np.int64)
    for _ in range(epochs):
        if deadline is not None and clock.monotonic() > deadline:
            return nets, False
        tried = _shrunk(nets.down(gradient, step), step * penalty)
        new_loss, new_gradient = loss_and_gradient(tried, inputs, outputs, ridge)
        change = tried.down(nets, np.ones(targets))
        bound = loss + gradient.inner(change) + change.inner(change) / (2 * step)
        better = new_loss <= bound + _TINY
        new_total = new_loss + penalty * _norms(tried.first).sum(axis=0)
        little = better & (total - new_total < tolerance * np.maximum(total, _TINY))
        idle = np.where(little, idle + 1, np.where(better, 0, idle))
        nets, gradient = tried.choose(better, nets), new_gradient.choose(better, gradient)
        loss, total = np.where(better, new_loss, loss), np.where(better, new_total, total)
        step *= np.where(better, _GROW, _SHRINK)
        if (idle >= _PATIENCE).all():
            break
    return nets, True


def _norms(first: Floats) -> Floats:
    """Return the norm of each cause's weights in each target's network, shape (causes, targets)."""
    inputs, targets, hidden = first.shape
    by_cause = first.reshape(inputs // targets, targets, targets, hidden)
    norms: Floats = np.sqrt(np.einsum("lijh,lijh->ij", by_cause, by_cause))
    return norms


def _shrunk(nets: Nets, amount: Floats) -> Nets:
    """Return the networks with each cause's norm less by ``amount``: the proximal map."""
    norms = _norms(nets.first)
    keep = np.maximum(1.0 - amount / np.maximum(norms, _TINY), 0.0)
    lags = nets.first.shape[0] // norms.shape[0]
    return Nets(
        nets.first * np.tile(keep, (lags, 1))[:, :, None], nets.bias, nets.last, nets.offset
    )


def _emptying_penalty(nets: Nets, inputs: Floats, outputs: Floats) -> Floats:
    """Return the least penalty that keeps a zero first layer at zero, shape (targets,)."""
    empty = Nets(np.zeros_like(nets.first), np.zeros_like(nets.bias), nets.last, nets.offset)
    _, gradient = loss_and_gradient(empty, inputs, outputs, ridge=0.0)
    largest: Floats = _norms(gradient.first).max(axis=0)
    return largest
