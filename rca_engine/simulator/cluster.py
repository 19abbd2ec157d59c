# SPDX-License-Identifier: Apache-2.0
"""The cluster in motion: an event queue, and what happens to each request on its way.

client -> gateway -> head (router) -> link -> replica -> engine, and the tokens back. Faults act on
what is public here: settings of the parts, and the verbs ``crash``, ``freeze``, ``cut`` and so on.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from functools import partial

import numpy as np

from rca_engine.simulator.devices import Gpu, Node
from rca_engine.simulator.engine import Engine
from rca_engine.simulator.network import Link
from rca_engine.simulator.replica import Replica
from rca_engine.simulator.router import Router
from rca_engine.simulator.settings import Setting
from rca_engine.simulator.spec import (
    FRONT_LINK,
    GPU_EXPORTER,
    HEAD,
    POD_EXPORTER,
    ClusterSpec,
    LoadSpec,
    Timing,
)
from rca_engine.simulator.workload import Load, Request

_PROMPT_BYTES, _TOKEN_BYTES = 4.0, 180.0
"""What a prompt token and a streamed token cost on the wire."""
_LATE_TOKENS = 8
"""A stall among so many last tokens delays the end of a stream."""
_HEALTH_PERIOD_S = 2.0

Happening = tuple[float, str, str, str]
"""(time, component, reason, message) of an event."""


class Cluster:
    """A cluster and its load; :meth:`run` plays it."""

    def __init__(
        self,
        spec: ClusterSpec,
        load_spec: LoadSpec,
        load: Load,
        timing: Timing,
        rng: np.random.Generator,
    ) -> None:
        self.spec, self.timing, self.rng = spec, timing, rng
        self.requests = [Request(load, index, load_spec) for index in range(load.due.size)]
        self._total_timeout_s = load_spec.total_timeout_s
        self.nodes = {name: Node(name, spec.cores_per_node) for name in spec.node_ids()}
        self.gpus = {
            name: Gpu(name, number, rank)
            for number in range(spec.replicas)
            for rank, name in enumerate(spec.gpus_of(number))
        }
        self.replicas = [
            Replica(
                number,
                name,
                spec.node_of(number),
                spec.gpus_of(number),
                Engine(spec.engine, rng),
                Link(spec.link_of(number), rng),
                starts=[-np.inf],
            )
            for number, name in enumerate(spec.replica_ids())
        ]
        self.front = Link(FRONT_LINK, rng)
        self.router = Router(self.replicas, spec.max_ongoing, spec.max_queued, rng)
        self.max_prompt_tokens = Setting(np.inf)
        self.generation, self.desired = Setting(1), Setting(spec.replicas)
        self.exporters = {POD_EXPORTER: Setting(1.0), GPU_EXPORTER: Setting(1.0)}
        self.events: list[Happening] = []
        self.logs: list[tuple[float, str, str, str | None, str]] = []
        """(time, component, stream, level, message)."""
        self._agenda: list[tuple[float, int, Callable[[float], None]]] = []
        self._count = 0
        self._held: dict[str, list[Callable[[float], None]]] = {}

    def replica(self, component: str) -> Replica:
        """Return the replica with the component id."""
        return next(each for each in self.replicas if each.id == component)

    def link(self, component: str) -> Link:
        """Return the link with the component id."""
        return next(
            each
            for each in (self.front, *(replica.link for replica in self.replicas))
            if each.id == component
        )

    def replica_of_gpu(self, component: str) -> Replica:
        """Return the replica that runs on a GPU."""
        return next(each for each in self.replicas if component in each.gpus)

    def on_node(self, component: str) -> list[Replica]:
        """Return the replicas that run on a node."""
        return [each for each in self.replicas if each.node == component]

    def at(self, time: float, action: Callable[[float], None]) -> None:
        """Do something at a time; of equal times, in the order of the calls."""
        heapq.heappush(self._agenda, (time, self._count, action))
        self._count += 1

    def run(self) -> None:
        """Play the whole run; what is still open at its end is censored."""
        for request in self.requests:
            self.at(request.due, partial(self._arrive, request))
        while self._agenda and self._agenda[0][0] <= self.timing.length_s:
            now, _, action = heapq.heappop(self._agenda)
            action(now)
        for request in self.requests:
            if not request.over:
                self._end(request, self.timing.length_s, "censored", None, "the run ended")

    def log(self, now: float, component: str, level: str, message: str) -> None:
        """Write a line into a component's log."""
        self.logs.append((now, component, "stderr", level, message))

    def event(self, now: float, component: str, reason: str, message: str) -> None:
        """Note an event, as Kubernetes does."""
        self.events.append((now, component, reason, message))

    # What may befall the parts.

    def crash(self, replica: Replica, now: float, *, why: str, down_s: float | None) -> None:
        """Kill a replica's process; it is ready again after ``down_s``, never if None."""
        replica.life += 1
        replica.stepping = False
        replica.alive.set(now, 0.0)
        self.event(now, replica.id, "Killing", f"Container engine died: {why}")
        for request in replica.engine.drop_all(now):
            broken = np.isfinite(request.client_first)
            self._fail(
                request,
                now + 0.01,
                "reset_midstream" if broken else "http_5xx",
                200 if broken else 500,
                f"ActorDiedError: {replica.id} died",
            )
        self.at(now + self.spec.unhealthy_after_s, partial(self._unlist, replica, replica.life))
        if down_s is not None:
            self.at(now + down_s, partial(self.start, replica))

    def start(self, replica: Replica, now: float) -> None:
        """Bring a replica's process up again, with empty caches and counters at zero."""
        if replica.alive.value:
            return
        replica.life += 1
        replica.alive.set(now, 1.0)
        replica.starts.append(now)
        replica.restarts.append(now)
        replica.listed.set(now, 1.0)
        self.event(now, replica.id, "Started", "Started container engine")
        self.log(now, replica.id, "info", "engine started, capturing CUDA graphs done")
        self.dispatch(now)

    def freeze(self, replica: Replica, now: float) -> None:
        """Stop a replica's engine core, as SIGSTOP does."""
        replica.frozen.set(now, 1.0)
        self.at(now + 5 * _HEALTH_PERIOD_S, partial(self._check_health, replica))

    def thaw(self, replica: Replica, now: float) -> None:
        """Let it go on."""
        replica.frozen.set(now, 0.0)
        unread, replica.unread = replica.unread, []
        for request, arrived, new in unread:
            if not new:
                replica.engine.drop(request, now)
            elif not request.over:
                replica.engine.submit(request, now)
                request.enqueued = arrived
        self._kick(replica, now)

    def retire(self, replica: Replica, now: float) -> None:
        """Take a replica out of service: no new requests, and gone when it is empty."""
        replica.listed.set(now, 0.0)
        self.event(now, replica.id, "Killing", "Stopping container engine")
        self.at(now + 1.0, partial(self._gone_when_empty, replica))

    def cut(self, link: Link, now: float) -> None:
        """Partition a link; the router learns of it by its health checks."""
        link.up.set(now, 0.0)
        for replica in self.replicas:
            if replica.link is link:
                self.at(now + 10.0, partial(self._unlist, replica, replica.life))

    def heal(self, link: Link, now: float) -> None:
        """Mend a link; what was held back arrives."""
        link.up.set(now, 1.0)
        for replica in self.replicas:
            if replica.link is link and replica.alive.value:
                replica.listed.set(now, 1.0)
        for action in self._held.pop(link.id, []):
            action(now + 0.2)
        self.dispatch(now)

    def dispatch(self, now: float) -> None:
        """Give queued requests to replicas that may have them."""
        while (pair := self.router.next(now)) is not None:
            self._route(*pair, now)

    # The way of a request.

    def _arrive(self, request: Request, now: float) -> None:
        self.at(request.timeout_at, partial(self._give_up, request, "first_byte_timeout"))
        whole = request.due + self._total_timeout_s
        self.at(whole, partial(self._give_up, request, "total_timeout"))
        if request.cancel_at < whole:
            self.at(request.cancel_at, partial(self._give_up, request, "cancelled"))
        if self.front.up.value:
            late = now + self._overhead(0.001) + self.front.send(now, self._size(request))
            self.at(late, partial(self._accept, request))

    def _accept(self, request: Request, now: float) -> None:
        request.at_head = now
        if request.tokens_in > self.max_prompt_tokens.value:
            limit = int(self.max_prompt_tokens.value)
            self.log(
                now,
                HEAD,
                "error",
                f"prompt of {request.tokens_in} tokens exceeds max_model_len {limit}",
            )
            self._fail(request, now, "http_4xx", 400, f"maximum context length is {limit} tokens")
        elif self.router.admit(request, now):
            self.dispatch(now)
        else:
            self.log(now, HEAD, "warning", "BackPressureError: request queue is full")
            self._fail(request, now, "http_5xx", 503, "the router's queue is full")

    def _route(self, request: Request, replica: Replica, now: float) -> None:
        request.replica, request.routed = replica.number, now
        late = now + self._overhead(0.004) + replica.link.send(now, self._size(request))
        if replica.link.up.value:
            self.at(late, partial(self._enqueue, request, replica))
        else:
            self.log(now + 5.0, HEAD, "warning", f"connection to {replica.id} timed out")
            self.at(now + 5.0, lambda then: self._fail(
                request, then, "http_5xx", 504, f"upstream timed out: {replica.id}"
            ))  # fmt: skip

    def _enqueue(self, request: Request, replica: Replica, now: float) -> None:
        if request.over:
            return
        if not replica.alive.value:
            self.log(now, HEAD, "error", f"connection refused by {replica.id}")
            self._fail(request, now, "http_5xx", 503, f"connection refused: {replica.id}")
            return
        if replica.frozen.value:
            replica.unread.append((request, now, True))
            return
        replica.engine.submit(request, now)
        self._kick(replica, now)

    def _kick(self, replica: Replica, now: float) -> None:
        """Begin the engine's next step, unless one is under way or it can't."""
        ready = replica.alive.value and not replica.frozen.value
        if replica.stepping or not ready or not replica.engine.busy:
            return
        replica.stepping = True
        self.at(now + replica.engine.begin(now), partial(self._step, replica, replica.life))

    def _step(self, replica: Replica, life: int, now: float) -> None:
        if replica.life != life:
            return
        replica.stepping = False
        produced = replica.engine.complete(now)
        for request in produced.first:
            self._send_back(replica, now, partial(self._first, request))
        for request in produced.done:
            self._send_back(replica, now, partial(self._last, request, replica))
        self._kick(replica, now)

    def _send_back(self, replica: Replica, now: float, action: Callable[[float], None]) -> None:
        if replica.link.up.value:
            self.at(now + replica.link.send(now, _TOKEN_BYTES, 1), action)
        else:
            self._held.setdefault(replica.link.id, []).append(action)

    def _first(self, request: Request, now: float) -> None:
        if not request.over:
            request.client_first = now + self._overhead(0.001) + self.front.send(now, 0.0, 1)

    def _last(self, request: Request, replica: Replica, now: float) -> None:
        if request.over:
            return
        tokens = request.generated
        replica.link.messages.append((now, _TOKEN_BYTES * tokens))
        request.max_gap = replica.link.stream_gap(now, tokens)
        now += replica.link.stream_gap(now, _LATE_TOKENS)
        request.head_end = now
        later = now + self._overhead(0.001) + self.front.send(now, _TOKEN_BYTES * tokens, 1)
        self.at(later, lambda then: self._end(request, then, "success", 200, None))

    def _fail(self, request: Request, now: float, outcome: str, status: int, error: str) -> None:
        if not request.over:
            request.head_end = now
            self._end(request, now + 0.002, outcome, status, error)

    def _give_up(self, request: Request, outcome: str, now: float) -> None:
        if request.over or (outcome == "first_byte_timeout" and request.client_first <= now):
            return
        request.head_end = now
        self._end(request, now, outcome, None, "the client gave up")

    def _end(
        self, request: Request, now: float, outcome: str, status: int | None, error: str | None
    ) -> None:
        if request.over:
            return
        request.outcome, request.status, request.error = outcome, status, error
        request.client_end = now
        if request.replica < 0:
            self.router.forget(request, now)
            return
        replica = self.replicas[request.replica]
        replica.outstanding -= 1
        # A partition keeps the news from the engine, which goes on for nobody.
        if outcome != "success" and replica.link.up.value and replica.alive.value:
            if replica.frozen.value:
                replica.unread.append((request, now, False))
            else:
                replica.engine.drop(request, now)
        if outcome != "censored":
            self.dispatch(now)

    def _unlist(self, replica: Replica, life: int, now: float) -> None:
        if replica.life == life and not (replica.alive.value and replica.link.up.value):
            replica.listed.set(now, 0.0)
            replica.unhealthy.append(now)
            self.log(now, HEAD, "warning", f"health check failed for {replica.id}, stopping it")

    def _check_health(self, replica: Replica, now: float) -> None:
        if replica.frozen.value:
            replica.unhealthy.append(now)
            self.log(now, HEAD, "warning", f"health check of {replica.id} timed out")
            self.at(now + _HEALTH_PERIOD_S, partial(self._check_health, replica))

    def _gone_when_empty(self, replica: Replica, now: float) -> None:
        if replica.engine.busy:
            self.at(now + 1.0, partial(self._gone_when_empty, replica))
        elif not replica.listed.value:
            replica.life += 1
            replica.alive.set(now, 0.0)

    def _overhead(self, median_s: float) -> float:
        share = self.nodes[self.replicas[0].node].cpu_share.value
        return median_s / share * float(self.rng.lognormal(0.0, 0.2))

    @staticmethod
    def _size(request: Request) -> float:
        return _PROMPT_BYTES * request.tokens_in
