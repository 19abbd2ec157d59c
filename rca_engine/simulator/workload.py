# SPDX-License-Identifier: Apache-2.0
"""The requests: drawn before anything happens, so that a fault meets the load of its sham."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from rca_engine.simulator.spec import LoadSpec, Timing
from rca_engine.telemetry.samples import Floats, Ints

_QUIET_END_S = 10.0
"""Seconds at the end of a run in which nothing new is due, so that most requests can finish."""
_NEVER = np.inf


@dataclass(frozen=True)
class Load:
    """Requests in order of ``due``; shape (requests,) each, times in seconds since the start.

    ``prefix`` tokens are shared with all others, ``prompt`` are the request's own; ``cancel`` is
    how long after its due time the client gives up of its own will (infinity: never).
    """

    due: Floats
    prefix: Ints
    prompt: Ints
    output: Ints
    cancel: Floats

    def within(self, window_s: tuple[float, float]) -> Ints:
        """Return the indices of the requests that are due in a window."""
        inside: Ints = np.flatnonzero((self.due >= window_s[0]) & (self.due < window_s[1]))
        return inside

    def changed(self, indices: Ints, **columns: Floats | Ints | float) -> Load:
        """Return the load with columns of some requests set."""
        new = {}
        for name, values in columns.items():
            column = getattr(self, name).copy()
            column[indices] = values
            new[name] = column
        return replace(self, **new)

    def merged(self, other: Load) -> Load:
        """Return the requests of both, in order of due time."""
        order = np.argsort(np.concatenate([self.due, other.due]), kind="stable")
        columns = {
            item.name: np.concatenate([getattr(self, item.name), getattr(other, item.name)])[order]
            for item in fields(self)
        }
        return Load(**columns)


def draw_load(
    rng: np.random.Generator,
    spec: LoadSpec,
    rate: float,
    window_s: tuple[float, float],
) -> Load:
    """Draw requests at a constant rate (open loop, evenly spaced, as loadgen's) in a window."""
    due = np.arange(window_s[0], window_s[1], 1 / rate)

    def tokens(median: float, spread: float) -> Ints:
        drawn = median * rng.lognormal(0.0, spread, due.size)
        return np.maximum(drawn, 2).astype(np.int64)

    return Load(
        due=due,
        prefix=np.full(due.size, spec.prefix_tokens, dtype=np.int64),
        prompt=tokens(spec.prompt_tokens, 0.3),
        output=tokens(spec.output_tokens, 0.15),
        cancel=np.full(due.size, _NEVER),
    )


def base_load(rng: np.random.Generator, spec: LoadSpec, replicas: int, timing: Timing) -> Load:
    """Draw the load of a whole run."""
    return draw_load(rng, spec, spec.rate * replicas, (0.5, timing.length_s - _QUIET_END_S))


class Request:
    """One request on its way; times in seconds since the start, NaN where it did not get there."""

    __slots__ = (
        "at_head",
        "cancel_at",
        "client_end",
        "client_first",
        "due",
        "engine_end",
        "enqueued",
        "error",
        "first",
        "generated",
        "head_end",
        "index",
        "kv",
        "left",
        "max_gap",
        "outcome",
        "output",
        "preemptions",
        "prefix",
        "prompt",
        "replica",
        "routed",
        "scheduled",
        "status",
        "timeout_at",
    )

    def __init__(self, load: Load, index: int, spec: LoadSpec) -> None:
        self.index = index
        self.due = float(load.due[index])
        self.prefix, self.prompt = int(load.prefix[index]), int(load.prompt[index])
        self.output = int(load.output[index])
        self.cancel_at = self.due + float(load.cancel[index])
        self.timeout_at = self.due + spec.first_byte_timeout_s
        self.replica = -1
        self.generated = self.left = self.kv = self.preemptions = 0
        self.max_gap = 0.0
        self.at_head = self.routed = self.enqueued = self.scheduled = np.nan
        self.first = self.engine_end = self.head_end = np.nan
        self.client_first = self.client_end = np.nan
        self.outcome = ""
        self.status: int | None = None
        self.error: str | None = None

    @property
    def tokens_in(self) -> int:
        """Tokens of the prompt, with the shared prefix."""
        return self.prefix + self.prompt

    @property
    def over(self) -> bool:
        """Whether the client has its answer, or has given up."""
        return bool(self.outcome)
