# SPDX-License-Identifier: Apache-2.0
"""Two runs side by side: how much slower or worse the second was, and how sure that is.

Latencies compare as ratios of their quantiles, a failed request counted as infinitely slow; shares
as differences. The intervals come from a bootstrap of blocks of neighbouring requests (Carlstein
1986, non-overlapping blocks), as neighbours share a queue: single requests drawn at random would
make every interval too narrow.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from loadgen.errors import OutputError
from loadgen.records import Record
from loadgen.result import Result

RESAMPLES = 1000
CONFIDENCE = 0.95

_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_LATENCIES = ("response_ttft_ms", "response_latency_ms", "tpot_ms")
_SHARES = ("attainment", "availability")
_FEW_BEYOND = 10
_INFINITE = math.inf


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of both runs.

    Parameters
    ----------
    name
        ``p95 response_ttft_ms``, for example.
    kind
        ``ratio`` of the second to the first, or ``difference`` between them.
    first, second
        The figure; infinite where failures made it so, ``None`` where a run has none.
    change, low, high
        Ratio or difference, and the ends of its interval.
    few
        Whether so few requests lie beyond the quantile that no interval can be trusted.
    """

    name: str
    kind: str
    first: float | None
    second: float | None
    change: float | None
    low: float | None
    high: float | None
    few: bool

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, or ``no difference shown`` where the interval holds equality."""
        if self.low is None or self.high is None or self.few:
            return "not known" if self.low is None else "too few requests"
        same = 1.0 if self.kind == "ratio" else 0.0
        if self.low <= same <= self.high:
            return "no difference shown"
        # More latency is worse; a larger share is better.
        return "worse" if (self.low > same) == (self.kind == "ratio") else "better"

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it, infinity as a word."""
        numbers = ("first", "second", "change", "low", "high")
        values = {name: _plain(getattr(self, name)) for name in numbers}
        kind = {"figure": self.name, "kind": self.kind}
        return kind | values | {"few": self.few, "verdict": self.verdict}


@dataclass(slots=True)
class _Sample:
    """A run's values in the order of size, each with the block that it is of."""

    values: dict[str, list[float]] = field(default_factory=dict)
    blocks: dict[str, list[int]] = field(default_factory=dict)
    due: list[int] = field(default_factory=list)
    kept: dict[str, list[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, result: Result) -> _Sample:
        records = result.measured()
        if not records:
            raise OutputError(f"{result.folder} has no measured request to compare")
        length = max(1, round(len(records) ** (1 / 3)))
        count = max(1, len(records) // length)
        # What doesn't fill a block of its own is the last one's.
        place = [min(index // length, count - 1) for index in range(len(records))]
        sample = cls(due=_tally(place, [True] * len(records), count))
        for name in _LATENCIES:
            pairs = sorted(
                (value, block)
                for record, block in zip(records, place, strict=True)
                if (value := _value(record, name)) is not None
            )
            sample.values[name] = [value for value, _ in pairs]
            sample.blocks[name] = [block for _, block in pairs]
        slo = result.asked.slo
        met = [
            slo.met(success=r.success, ttft_ms=r.response_ttft_ms, latency_ms=r.response_latency_ms)
            for r in records
        ]
        sample.kept["attainment"] = _tally(place, met, count)
        sample.kept["availability"] = _tally(place, [r.success for r in records], count)
        return sample

    def figures(self, weights: Sequence[int]) -> dict[str, float | None]:
        """Return all figures of the sample with each block taken so many times."""
        found: dict[str, float | None] = {}
        for name, values in self.values.items():
            ranks = list(accumulate(map(weights.__getitem__, self.blocks[name])))
            total = ranks[-1] if ranks else 0
            for label, share in _QUANTILES.items():
                rank = max(1, math.ceil(share * total))
                found[f"{label} {name}"] = values[bisect_left(ranks, rank)] if total else None
        due = sum(map(int.__mul__, weights, self.due))
        for name in _SHARES:
            found[name] = sum(map(int.__mul__, weights, self.kept[name])) / due if due else None
        return found

    def few(self, name: str) -> bool:
        """Say whether too few values lie beyond a quantile."""
        label, _, latency = name.partition(" ")
        if label not in _QUANTILES:
            return False
        return len(self.values[latency]) * (1 - _QUANTILES[label]) < _FEW_BEYOND


def compare(
    first: Result, second: Result, *, seed: int = 0, resamples: int = RESAMPLES
) -> list[Row]:
    """Compare two runs.

    Parameters
    ----------
    first, second
        Ratios are of the second to the first.
    seed
        Of the bootstrap.
    resamples
        How often it draws; each costs about ten milliseconds a run of 100,000 requests.

    Raises
    ------
    OutputError
        If a run has no records.
    """
    samples = _Sample.of(first), _Sample.of(second)
    seen = [sample.figures([1] * len(sample.due)) for sample in samples]
    rng = random.Random(f"compare/{seed}")  # noqa: S311 - a bootstrap, no secret
    drawn = [
        [sample.figures(_weights(rng, len(sample.due))) for sample in samples]
        for _ in range(resamples)
    ]
    rows = []
    for name in seen[0]:
        change: Callable[[float | None, float | None], float | None]
        kind, change = ("difference", _minus) if name in _SHARES else ("ratio", _over)
        changes = [value for a, b in drawn if (value := change(a[name], b[name])) is not None]
        low, high = _interval(changes)
        rows.append(
            Row(
                name=name,
                kind=kind,
                first=seen[0][name],
                second=seen[1][name],
                change=change(seen[0][name], seen[1][name]),
                low=low,
                high=high,
                few=any(sample.few(name) for sample in samples),
            )
        )
    return rows


def cautions(first: Result, second: Result) -> list[str]:
    """Return what makes two runs hard to compare, one sentence each."""
    found = []
    a, b = first.summary, second.summary
    if a["schedule"]["sha256"] != b["schedule"]["sha256"]:
        found.append("the two loads differ: their schedules have different hashes")
    if a["profile"]["slo"] != b["profile"]["slo"]:
        found.append("the two runs have different SLOs: attainment counts by each run's own")
    for result in (first, second):
        audit = result.summary["audit"]
        if audit["verdict"] != "valid":
            reasons = "; ".join(audit["reasons"])
            found.append(f"{result.folder} is {audit['verdict']} by its own audit: {reasons}")
        if result.summary["interrupted"]:
            found.append(f"{result.folder} was ended before its time: only what was sent counts")
    return found


def _value(record: Record, name: str) -> float | None:
    """Return a latency; that of a failed request is infinite, but it has no time per token."""
    if record.success or name == "tpot_ms":
        value: float | None = getattr(record, name) if record.success else None
        return value
    return _INFINITE


def _tally(place: Sequence[int], marks: Sequence[bool], count: int) -> list[int]:
    tally = [0] * count
    for block, mark in zip(place, marks, strict=True):
        tally[block] += mark
    return tally


def _weights(rng: random.Random, blocks: int) -> list[int]:
    weights = [0] * blocks
    for block in rng.choices(range(blocks), k=blocks):
        weights[block] += 1
    return weights


def _over(first: float | None, second: float | None) -> float | None:
    if first is None or second is None or first == second == _INFINITE:
        return None
    if first == 0:
        return None
    return second / first


def _minus(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else second - first


def _interval(values: list[float]) -> tuple[float | None, float | None]:
    if not values:
        return None, None
    ordered = sorted(values)
    tail = (1 - CONFIDENCE) / 2
    low = ordered[max(0, math.ceil(tail * len(ordered)) - 1)]
    return low, ordered[math.ceil((1 - tail) * len(ordered)) - 1]


def _plain(value: float | None) -> float | str | None:
    return "infinite" if value == _INFINITE else value
