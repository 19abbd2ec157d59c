# SPDX-License-Identifier: Apache-2.0
"""Continuous batching: what an engine's scheduler may and may not do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rca_engine.simulator.engine import Engine
from rca_engine.simulator.network import Link
from rca_engine.simulator.spec import EngineSpec, LoadSpec
from rca_engine.simulator.workload import Load, Request

SPEC = EngineSpec(max_num_seqs=4, max_batched_tokens=512, kv_tokens=2_000)


def requests(count: int, *, prompt: int = 200, output: int = 20, prefix: int = 0) -> list[Request]:
    load = Load(
        due=np.zeros(count),
        prefix=np.full(count, prefix),
        prompt=np.full(count, prompt),
        output=np.full(count, output),
        cancel=np.full(count, np.inf),
    )
    return [Request(load, index, LoadSpec()) for index in range(count)]


def play(engine: Engine, waiting: list[Request]) -> list[Request]:
    """Run until everything is done; return the requests in the order in which they were."""
    now, done = 0.0, []
    for request in waiting:
        engine.submit(request, now)
    while engine.busy:
        now += engine.begin(now)
        assert len(engine.running) <= engine.spec.max_num_seqs
        assert engine.kv_used <= engine.kv_capacity.value or len(engine.running) == 1
        assert sum(size for _, size in engine._chunks) <= engine.spec.max_batched_tokens
        done += engine.complete(now).done
    return done


def engine(spec: EngineSpec = SPEC) -> Engine:
    return Engine(spec, np.random.default_rng(0))


def test_batch_budget_and_cache_are_kept_and_everything_finishes_in_order():
    done = play(engine(), requests(12))
    assert [each.index for each in done] == list(range(12))
    assert all(each.generated == 20 for each in done)
    assert done[-1].scheduled > done[0].scheduled


def test_a_full_cache_preempts_the_youngest_which_still_finishes():
    small = engine(replace(SPEC, kv_tokens=650))
    done = play(small, requests(3, output=120))
    assert sorted(each.index for each in done) == [0, 1, 2]
    assert done[0].preemptions == 0
    assert sum(each.preemptions for each in done) > 0
    assert all(each.generated == 120 for each in done)
    counted = small.log.counter("preemptions", np.array([1e9]))
    assert counted.item() == sum(each.preemptions for each in done)


def test_a_request_larger_than_the_cache_runs_alone_rather_than_never():
    assert len(play(engine(replace(SPEC, kv_tokens=100)), requests(2))) == 2


def test_a_long_prompt_is_prefilled_in_chunks_beside_decodes():
    one = engine()
    [short], [long] = requests(1, output=40), requests(1, prompt=1500)
    one.submit(short, 0.0)
    now = one.begin(0.0)
    one.complete(now)
    one.submit(long, now)
    now += one.begin(now)
    one.complete(now)
    assert (short.generated, long.generated) == (2, 0)
    assert 0 < long.left < 1500


def test_a_cached_prefix_is_not_computed_and_counts_once_in_the_cache():
    warm, cold = engine(), engine()
    cold.prefix_caching.set(0.0, 0.0)
    for each in (warm, cold):
        play(each, requests(2, prompt=100, prefix=400))
    prompt = [each.log.counter("prompt_tokens", np.array([1e9])).item() for each in (warm, cold)]
    assert prompt == [200, 1000]
    assert warm.log.counter("prefix_hits", np.array([1e9])).item() == 800


def test_a_quota_bounds_the_average_cpu_time():
    starved = engine()
    starved.speed.cpu_quota.set(0.0, 0.2)
    done = play(starved, requests(8, output=60))
    end = max(each.engine_end for each in done)
    used = starved.log.counter("cpu_s", np.array([end])).item()
    assert used / end == pytest.approx(0.2, rel=0.02)
    assert starved.log.counter("throttled_s", np.array([end])).item() > 0


def test_the_same_work_takes_the_cpu_time_and_the_gpu_time_and_no_more():
    free = engine()
    end = max(each.engine_end for each in play(free, requests(8, output=60)))
    spent = sum(free.log.counter(part, np.array([end])).item() for part in ("cpu_s", "gpu_s"))
    assert spent == pytest.approx(end, rel=1e-6)


def test_a_lost_segment_is_late_by_doubling_timeouts():
    link = Link("link/a--b", np.random.default_rng(0))
    assert link.send(0.0, 10.0) == link.delay_s.value
    link.loss.set(1.0, 1.0)
    assert link.send(1.0, 10.0, segments=1) == pytest.approx(0.2 * (2**6 - 1), rel=0.01)
    assert len(link.retransmits) == 6
