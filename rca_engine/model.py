# SPDX-License-Identifier: Apache-2.0
"""The facts of a case as frozen values. Times are UTC nanoseconds since the epoch (``*_ns``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from rca_engine.errors import CaseError
from rcalab_common.slo import Slo
from rcalab_common.times import format_utc, parse_utc

Direction = Literal["up", "down", "both"]
TimeSource = Literal["alert", "none", "oracle"]
Status = Literal["ok", "degraded", "failed"]

NS = 1_000_000_000


@dataclass(frozen=True)
class Window:
    """A closed interval of time."""

    start_ns: int
    end_ns: int

    def __post_init__(self) -> None:
        if self.end_ns <= self.start_ns:
            raise CaseError(
                f"the window ends ({format_utc(self.end_ns)}) before it starts "
                f"({format_utc(self.start_ns)})"
            )

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return (self.end_ns - self.start_ns) / NS


@dataclass(frozen=True)
class Alert:
    """The client's first breach of its SLO; ``observed`` and ``threshold`` in the metric's unit."""

    time_ns: int
    component: str
    metric: str
    observed: float
    threshold: float


@dataclass(frozen=True)
class Component:
    """One thing that can be guilty; ``id`` is ``kind/name``."""

    kind: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The component's name in every table: ``kind/name``."""
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True)
class Edge:
    """``source`` calls, runs on, or is part of ``target`` (component ids)."""

    source: str
    target: str
    type: Literal["calls", "runs_on", "part_of"]


@dataclass(frozen=True)
class Topology:
    """Components and their typed edges."""

    components: tuple[Component, ...]
    edges: tuple[Edge, ...]

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Topology:
        """Read ``topology.json``."""
        return cls(
            tuple(Component(**component) for component in document["components"]),
            tuple(Edge(edge["from"], edge["to"], edge["type"]) for edge in document["edges"]),
        )

    def to_json(self) -> dict[str, Any]:
        """Write ``topology.json``."""
        return {
            "format": 1,
            "components": [
                {"kind": each.kind, "name": each.name, "labels": dict(each.labels)}
                for each in self.components
            ],
            "edges": [
                {"from": each.source, "to": each.target, "type": each.type} for each in self.edges
            ],
        }


@dataclass(frozen=True)
class Metric:
    """What is known of one derived metric.

    ``resolution`` is the smallest change in its unit that means anything: the floor of every
    scale, so that a metric that was constant before a fault can be scored at all. None where the
    unit is unknown. ``source`` names what the metric was made from.
    """

    name: str
    kind: Literal["gauge", "rate", "mean", "quantile"]
    unit: str
    direction: Direction = "both"
    scope: Literal["internal", "external"] = "internal"
    resolution: float | None = None
    description: str = ""
    source: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CaseInfo:
    """``case.json``: what was run, when, on what, and what a reader must know (``notes``)."""

    run_id: str
    experiment: str
    scenario: str
    run: int
    seed: int
    window: Window
    step_s: float = 1.0
    platform: str = "host"
    engine: str = "vllm"
    sources: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    slo: Slo | None = None
    alert: Alert | None = None
    clock_offsets_ms: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> CaseInfo:
        """Read ``case.json``, which fits its schema."""
        values = {key: value for key, value in document.items() if key in cls.__annotations__}
        window, slo, alert = document["window"], document["slo"], document["alert"]
        values["window"] = Window(parse_utc(window["start"]), parse_utc(window["end"]))
        if slo is not None:
            values["slo"] = Slo(**{item.name: slo[item.name] for item in fields(Slo)})
        if alert is not None:
            values["alert"] = Alert(
                parse_utc(alert["time"]),
                alert["component"],
                alert["metric"],
                alert["observed"],
                alert["threshold"],
            )
        values["notes"] = tuple(document["notes"])
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """Write ``case.json``."""
        document = {"format": 1, **asdict(self)}
        document["window"] = {
            "start": format_utc(self.window.start_ns),
            "end": format_utc(self.window.end_ns),
        }
        if self.alert is not None:
            alert = asdict(self.alert)
            document["alert"] = {"time": format_utc(alert.pop("time_ns")), **alert}
        document["notes"] = list(self.notes)
        return document


@dataclass(frozen=True)
class GroundTruth:
    """The fault contract's record, as far as a reader needs it; ``record`` is all of it."""

    fault: str
    name: str
    sham: bool
    outcome: str
    root_causes: Mapping[str, tuple[str, ...]]
    """Component to its root-cause metrics; empty for a sham."""
    times: Mapping[str, int | None]
    """Name of the step to its time in ns, null where it did not come."""
    record: Mapping[str, Any]

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> GroundTruth:
        """Read ``ground_truth.json``.

        Raises
        ------
        CaseError
            If a field that this reader needs is absent or malformed.
        """
        try:
            if document["format"] != 1:
                raise CaseError(f"format {document['format']!r}, this version reads format 1")
            return cls(
                fault=document["fault"],
                name=document["name"],
                sham=document["sham"],
                outcome=document["outcome"],
                root_causes={
                    cause["component"]: tuple(cause["metrics"]) for cause in document["root_causes"]
                },
                times={
                    step: None if text is None else parse_utc(text)
                    for step, text in document["times"].items()
                },
                record=document,
            )
        except (KeyError, TypeError, ValueError, CaseError) as error:
            raise CaseError(f"not a ground truth of format 1: {error}") from None

    @property
    def fault_window(self) -> tuple[int, int | None] | None:
        """``(effect_first_seen, revert_verified)`` in ns; None where no effect was seen."""
        start = self.times.get("effect_first_seen")
        return None if start is None else (start, self.times.get("revert_verified"))
