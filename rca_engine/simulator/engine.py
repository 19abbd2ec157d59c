# SPDX-License-Identifier: Apache-2.0
"""One engine replica: continuous batching over a KV cache, step by step.

Each step decodes one token of every running request, prefills prompts in chunks within the token
budget, and admits waiting requests while batch, budget and KV cache allow. When decoding needs
more KV cache than there is, the youngest running request is preempted: its cache is dropped and
computed again later.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from rca_engine.simulator.settings import Setting
from rca_engine.simulator.spec import EngineSpec
from rca_engine.simulator.workload import Request
from rca_engine.telemetry.samples import Floats

GAUGES = ("running", "waiting", "kv_tokens")
COUNTERS = (
    "gpu_s", "prefill_gpu_s", "cpu_s", "throttled_s", "throttled_periods", "cpu_waited_s",
    "prompt_tokens", "generation_tokens", "prefix_queries", "prefix_hits", "preemptions",
    "itl_sum", "itl_count", "ttft_sum", "ttft_count",
    "queue_sum", "prefill_sum", "decode_sum", "e2e_sum", "done", "prompt_length_sum",
)  # fmt: skip
_PERIOD_S = 0.1
"""The kernel's CFS period, over which a CPU quota is given."""
_JITTERS = 4096


@dataclass
class Speed:
    """What the world leaves of an engine's speed; each is 1 (or without limit) in peace.

    Parameters
    ----------
    cpu_quota
        Cores that its cgroup may use.
    cpu_share
        Share of a core that it gets when it asks for one, on a crowded node less than 1.
    compute, memory
        Speed of its GPU where bound by compute (prefill) and by memory (decode).
    rank
        Speed of its slowest tensor-parallel rank, for which all others wait.
    """

    cpu_quota: Setting = field(default_factory=lambda: Setting(np.inf))
    cpu_share: Setting = field(default_factory=lambda: Setting(1.0))
    compute: Setting = field(default_factory=lambda: Setting(1.0))
    memory: Setting = field(default_factory=lambda: Setting(1.0))
    rank: Setting = field(default_factory=lambda: Setting(1.0))


@dataclass(frozen=True)
class Produced:
    """What came out of a step: requests with their first token, and finished ones."""

    first: list[Request]
    done: list[Request]


class Engine:
    """The scheduler and the executor of one replica; who calls it keeps the time."""

    def __init__(self, spec: EngineSpec, rng: np.random.Generator) -> None:
        self.spec, self.speed = spec, Speed()
        self.kv_capacity = Setting(spec.kv_tokens)
        self.prefix_caching = Setting(1.0)
        self.waiting: deque[Request] = deque()
        self.running: list[Request] = []
        self.log = EngineLog()
        self._jitter: list[float] = rng.lognormal(0.0, 0.04, _JITTERS).tolist()
        self._step = 0
        self._decoding: list[Request] = []
        self._chunks: list[tuple[Request, int]] = []
        self._row: dict[str, float] = {}
        self._last_end = self._noted = 0.0

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.running or self.waiting)

    @property
    def kv_used(self) -> int:
        """Tokens in the KV cache of running requests; the shared prefix counts once."""
        shared = max((r.prefix for r in self.running if r.kv), default=0)
        own = sum(r.kv for r in self.running)
        return own + (shared if self.prefix_caching.value else 0)

    def submit(self, request: Request, now: float) -> None:
        """Queue a request."""
        request.enqueued = now
        request.left = self._to_prefill(request)
        self.waiting.append(request)
        self._note(now)

    def drop(self, request: Request, now: float) -> None:
        """Forget a request whose client has gone."""
        if request in self.running:
            self.running.remove(request)
        elif request in self.waiting:
            self.waiting.remove(request)
        request.kv = 0
        request.engine_end = now
        self._note(now)

    def drop_all(self, now: float) -> list[Request]:
        """Forget everything, as a process that dies does; return what was lost."""
        lost = [*self.running, *self.waiting]
        self.running, self.waiting = [], deque()
        self._decoding, self._chunks = [], []
        self._note(now)
        return lost

    def begin(self, now: float) -> float:
        """Schedule a step and return how long it takes, in seconds."""
        if now > self._noted:
            # What the step adds must not be spread over the idle time before it.
            self._note(now)
        preempted = self._make_room()
        self._decoding = [r for r in self.running if r.left == 0]
        budget = self.spec.max_batched_tokens - len(self._decoding)
        self._chunks = []
        for request in [r for r in self.running if r.left > 0]:
            budget -= self._take(request, budget)
        hits = queries = 0
        while self.waiting and budget > 0 and self._admissible(self.waiting[0]):
            request = self.waiting.popleft()
            if np.isnan(request.scheduled):
                request.scheduled = now
            queries += request.tokens_in
            hits += request.prefix if self.prefix_caching.value else 0
            self.running.append(request)
            budget -= self._take(request, budget)
        self._row = {
            "preemptions": preempted,
            "prefix_queries": queries,
            "prefix_hits": hits,
        }
        return self._duration()

    def complete(self, now: float) -> Produced:
        """End the step that was begun: tokens come out, finished requests go."""
        row, produced = self._row, Produced([], [])
        # Whose client went away during the step is no longer there.
        present = set(map(id, self.running))
        decoding = [r for r in self._decoding if id(r) in present]
        for request in decoding:
            request.generated += 1
            request.kv += 1
        tokens = len(decoding)
        for request, size in self._chunks:
            if id(request) not in present:
                continue
            request.left -= size
            request.kv += size
            if request.left == 0:
                tokens += 1
                request.generated += 1
                if np.isnan(request.first):
                    request.first = now
                    produced.first.append(request)
        row["generation_tokens"] = tokens
        row["itl_sum"] = (now - self._last_end) * len(decoding)
        row["itl_count"] = len(decoding)
        row["ttft_sum"] = sum(r.first - r.enqueued for r in produced.first)
        row["ttft_count"] = len(produced.first)
        produced.done.extend(r for r in self.running if r.generated >= r.output and r.left == 0)
        if produced.done:
            self._finish(produced.done, now)
        self._last_end = now
        self._note(now, **row)
        return produced

    def _finish(self, done: list[Request], now: float) -> None:
        row = self._row
        for request in done:
            request.engine_end = now
            request.kv = 0
        gone = set(map(id, done))
        self.running = [r for r in self.running if id(r) not in gone]
        row["done"] = len(done)
        row["queue_sum"] = sum(r.scheduled - r.enqueued for r in done)
        row["prefill_sum"] = sum(r.first - r.scheduled for r in done)
        row["decode_sum"] = sum(now - r.first for r in done)
        row["e2e_sum"] = sum(now - r.enqueued for r in done)
        row["prompt_length_sum"] = sum(r.tokens_in for r in done)

    def _make_room(self) -> int:
        """Preempt the youngest until the running requests' next tokens fit; return how many."""
        preempted = 0
        capacity = self.kv_capacity.value
        while len(self.running) > 1 and self.kv_used + len(self.running) > capacity:
            victim = self.running.pop()
            victim.preemptions += 1
            victim.kv = 0
            victim.left = self._to_prefill(victim)
            self.waiting.appendleft(victim)
            preempted += 1
        return preempted

    def _admissible(self, request: Request) -> bool:
        if len(self.running) >= self.spec.max_num_seqs:
            return False
        promised = sum(r.left for r in self.running)
        fits = self.kv_used + promised + request.left <= self.kv_capacity.value
        return fits or not self.running

    def _to_prefill(self, request: Request) -> int:
        cached = request.prefix if self.prefix_caching.value else 0
        return request.tokens_in - cached + request.generated

    def _take(self, request: Request, budget: int) -> int:
        size = min(request.left, budget)
        if size > 0:
            self._chunks.append((request, size))
        return max(size, 0)

    def _duration(self) -> float:
        spec, speed, row = self.spec, self.speed, self._row
        prompt = sum(size for _, size in self._chunks)
        jitter = self._jitter[self._step % _JITTERS]
        self._step += 1
        cpu = (spec.cpu_s + spec.cpu_per_sequence_s * len(self.running)) * jitter
        decode = spec.decode_s + spec.decode_per_sequence_s * len(self._decoding)
        prefill = prompt * spec.prefill_per_token_s / speed.compute.value * jitter
        gpu = prefill + decode / speed.memory.value * jitter
        waited = cpu / speed.cpu_share.value - cpu
        free = cpu + waited + gpu / speed.rank.value
        # A quota holds the average over many steps: a step is as long as its CPU time takes to be
        # granted, unless the rest of it is longer anyway.
        granted = cpu / speed.cpu_quota.value
        length = max(free, granted)
        row["prompt_tokens"] = prompt
        row["gpu_s"], row["prefill_gpu_s"], row["cpu_s"] = gpu, prefill, cpu
        row["cpu_waited_s"] = waited
        if granted > free:
            row["throttled_s"] = granted - free
            row["throttled_periods"] = length / _PERIOD_S
        return length

    def _note(self, now: float, **row: float) -> None:
        self._noted = now
        self.log.add(now, (len(self.running), len(self.waiting), self.kv_used), row)


class EngineLog:
    """What an engine counted and showed: a row whenever anything changed."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._gauges: list[tuple[float, ...]] = []
        self._rows: list[tuple[float, ...]] = []
        self._packed: tuple[Floats, Floats, Floats] | None = None

    def add(self, now: float, gauges: tuple[float, ...], row: dict[str, float]) -> None:
        """Note gauges and what the counters grew by since the last row."""
        self._times.append(now)
        self._gauges.append(gauges)
        self._rows.append(tuple([row.get(name, 0.0) for name in COUNTERS]) if row else _NOTHING)

    def gauge(self, name: str, times: Floats) -> Floats:
        """Return a gauge's last value at each of ``times``."""
        when, gauges, _ = self._arrays()
        values: Floats = gauges[np.searchsorted(when, times, "right") - 1, GAUGES.index(name)]
        return values

    def counter(self, name: str, times: Floats) -> Floats:
        """Return a counter at each of ``times``; it grows evenly over a step."""
        when, _, totals = self._arrays()
        grown: Floats = np.interp(times, when, totals[:, COUNTERS.index(name)])
        return grown

    def _arrays(self) -> tuple[Floats, Floats, Floats]:
        if self._packed is None:
            self._packed = (
                np.array([_LONG_AGO, *self._times]),
                np.array([(0.0,) * len(GAUGES), *self._gauges]),
                np.cumsum(np.array([_NOTHING, *self._rows]), axis=0),
            )
        return self._packed


_NOTHING = (0.0,) * len(COUNTERS)
_LONG_AGO = -1e9
"""When nothing had happened yet: finite, for a step's growth is spread from the row before it."""
