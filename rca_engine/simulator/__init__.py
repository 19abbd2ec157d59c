# SPDX-License-Identifier: Apache-2.0
"""A simulated LLM-inference cluster with faults: for tests, documentation and a first look.

A client, a gateway, a head that routes, engine replicas with continuous batching and a KV cache,
nodes, GPUs and links are played event by event from one seed; the case is made from what scrapes
of them would show, by the harvest's own code. It stands in for faults that no laptop has, such as
a GPU's locked clock. It shows what each fault's physics look like; no claim of a method's accuracy
rests on it alone, for methods and simulator share their author's idea of how faults show.
"""

from rca_engine.simulator.run import simulate
from rca_engine.simulator.spec import ClusterSpec, EngineSpec, LoadSpec, Timing

__all__ = ["ClusterSpec", "EngineSpec", "LoadSpec", "Timing", "simulate"]
