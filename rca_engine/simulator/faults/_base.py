# SPDX-License-Identifier: Apache-2.0
"""What every simulated fault says of itself, and the three places at which it may act."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rca_engine.errors import CaseError
from rca_engine.simulator import spec as names
from rca_engine.simulator.cluster import Cluster
from rca_engine.simulator.spec import ClusterSpec, LoadSpec
from rca_engine.simulator.workload import Load, draw_load


@dataclass(frozen=True)
class Draft:
    """What a fault of the workload starts from: a load of ``rate`` requests a second, and when."""

    load: Load
    spec: LoadSpec
    rate: float
    window_s: tuple[float, float]
    rng: np.random.Generator

    def more(self, rate: float) -> Load:
        """Return the load with ``rate`` requests a second more in the window."""
        return self.load.merged(draw_load(self.rng, self.spec, rate, self.window_s))


class Fault:
    """One fault on one target. Ids, names and physics are those of the catalogue of faults.

    Parameters
    ----------
    spec
        The cluster that it will meet.
    target
        Component id; the fault's default if None.
    parameters
        Values that replace the defaults.

    Raises
    ------
    CaseError
        If the target is not of a kind that the fault can hit or not in the cluster, or a parameter
        is unknown.
    """

    id: ClassVar[str]
    name: ClassVar[str]
    layer: ClassVar[str]
    summary: ClassVar[str]
    """What is done, in one sentence."""
    symptoms: ClassVar[str]
    """What is to be seen, most diagnostic first."""
    targets: ClassVar[tuple[str, ...]]
    """Kinds of component that it can hit."""
    metrics: ClassVar[tuple[str, ...]]
    """Root-cause metrics, from the one vocabulary."""
    defaults: ClassVar[Mapping[str, float]] = {}
    sham: ClassVar[bool] = False

    def __init__(
        self,
        spec: ClusterSpec,
        target: str | None = None,
        parameters: Mapping[str, float] | None = None,
    ) -> None:
        self.target = target or self.default_target(spec)
        self.parameters = {**self.defaults, **(parameters or {})}
        unknown = self.parameters.keys() - self.defaults.keys()
        if unknown:
            raise CaseError(
                f"{self.id} has no parameter {', '.join(sorted(unknown))}; "
                f"it has {', '.join(self.defaults) or 'none'}"
            )
        known = components(spec)
        if self.target.split("/")[0] not in self.targets or self.target not in known:
            fitting = [each for each in known if each.split("/")[0] in self.targets]
            raise CaseError(f"{self.id} can hit {', '.join(fitting)}, not {self.target!r}")

    @classmethod
    def cluster(cls, spec: ClusterSpec) -> ClusterSpec:
        """Return the cluster that the fault needs; most take any."""
        return spec

    @classmethod
    def default_target(cls, spec: ClusterSpec) -> str:
        """Return what is hit if nobody says what: the first component of the first kind."""
        return next(each for each in components(spec) if each.split("/")[0] == cls.targets[0])

    def shape(self, draft: Draft) -> Load:
        """Return the load under the fault; only faults of the workload change it."""
        return draft.load

    def begin(self, cluster: Cluster, now: float) -> None:
        """Give the dose."""
        self._give(cluster, now)

    def end(self, cluster: Cluster, now: float) -> None:
        """Take it back."""
        self._revert(cluster, now)

    def _give(self, cluster: Cluster, now: float) -> None:
        """Do what gives the dose; nothing where the load alone is the fault."""

    def _revert(self, cluster: Cluster, now: float) -> None:
        """Undo it; nothing where it ends of itself."""


def components(spec: ClusterSpec) -> tuple[str, ...]:
    """Return the components of a cluster that a fault may hit."""
    numbers = range(spec.replicas)
    return (
        *spec.replica_ids(),
        *spec.node_ids(),
        *(gpu for number in numbers for gpu in spec.gpus_of(number)),
        *map(spec.link_of, numbers),
        names.FRONT_LINK,
        names.HEAD,
        names.GATEWAY,
        names.SERVICE,
        "client/loadgen",
        names.POD_EXPORTER,
        names.GPU_EXPORTER,
    )
