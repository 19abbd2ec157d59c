# SPDX-License-Identifier: Apache-2.0
"""Each fault shows as its physics say, and so that it can be told from its neighbours."""

from __future__ import annotations

import pandas as pd
import pytest

HIT, OTHERS = "replica/llm-0", ("replica/llm-1", "replica/llm-2")
ALL = (HIT, *OTHERS)
GPU = "gpu/simulated.0"
CLIENT, HEAD = "client/loadgen", "head/ray"


def test_nothing_moves_in_a_sham(play):
    run = play("F00")
    assert run.case.alert is None
    assert run.outcomes() == {"success": len(run.case.table("requests"))}
    for replica in ALL:
        assert run.ratio(replica, "engine_itl_mean_s") == pytest.approx(1.0, abs=0.1)


def test_tokens_at_zero_while_requests_run_is_a_hang(play):
    run = play("F12")
    assert run.during(HIT, "engine_requests_running") > 0
    assert run.during(HIT, "engine_generation_tokens_rate") == 0
    assert run.during(GPU, "gpu_utilisation_percent") == 0
    assert run.during(HIT, "health_check_failures_rate") > 0
    assert run.during(HIT, "up") == 1
    assert min(run.during(each, "engine_generation_tokens_rate") for each in OTHERS) > 50


def test_a_hang_makes_no_error_before_clients_time_out(play):
    requests = play("F12").case.table("requests")
    failed = requests[requests["outcome"] != "success"]
    assert set(failed["outcome"]) == {"first_byte_timeout", "total_timeout"}
    assert ((failed["end_ns"] - failed["scheduled_ns"]) >= 10e9).all()


def test_utilisation_down_with_throttling_is_cpu(play):
    run = play("F01")
    assert run.during(HIT, "cpu_throttled_periods_rate") > 5
    assert run.during(HIT, "cpu_usage_cores") == pytest.approx(0.2 + 0.03, abs=0.02)
    assert run.ratio(GPU, "gpu_utilisation_percent") < 0.7
    assert run.during(GPU, "gpu_sm_clock_mhz") == pytest.approx(1410, rel=0.02)
    assert run.ratio(HIT, "engine_itl_mean_s") > 1.8
    assert run.during(HIT, "engine_requests_running") >= run.before(HIT, "engine_requests_running")


def test_pressure_on_a_node_without_throttling_is_a_noisy_neighbour(play):
    run = play("F02")
    assert run.during("node/simulated", "node_pressure_cpu_waiting_rate") > 0.5
    assert run.during("node/simulated", "node_cpu_utilisation") > 0.95
    assert run.during(HIT, "cpu_throttled_periods_rate") == 0
    on_node, elsewhere = ALL[:2], ALL[2]
    assert min(run.ratio(each, "engine_itl_mean_s") for each in on_node) > 1.8
    assert run.ratio(elsewhere, "engine_itl_mean_s") < 1.5


def test_clock_down_at_full_use_is_throttling(play):
    run = play("F17")
    assert run.ratio(GPU, "gpu_sm_clock_mhz") < 0.3
    assert run.ratio(GPU, "gpu_utilisation_percent") > 1
    assert run.ratio(GPU, "gpu_power_w") < 0.8
    assert run.ratio(HIT, "engine_itl_mean_s") > 1.8
    assert run.during(HIT, "cpu_throttled_periods_rate") == 0


def test_full_use_and_power_at_the_normal_clock_is_contention(play):
    run = play("F16")
    assert run.during(GPU, "gpu_utilisation_percent") == 100
    assert run.ratio(GPU, "gpu_power_w") > 1.5
    assert run.during(GPU, "gpu_sm_clock_mhz") == pytest.approx(1410, rel=0.02)
    assert run.ratio(HIT, "engine_itl_mean_s") > 1.8
    assert run.ratio(HIT, "engine_generation_tokens_rate") < 0.95


def test_a_power_cap_slows_prefill_and_hardly_decode(play):
    run = play("F18")
    assert run.during(GPU, "gpu_power_limit_w") < run.before(GPU, "gpu_power_w")
    assert run.during(GPU, "gpu_clocks_event_reasons") == 4
    assert run.ratio(HIT, "engine_prefill_time_mean_s") > 1.3
    # Only what prefill takes from the shared steps reaches decode.
    assert run.ratio(HIT, "engine_itl_mean_s") < 1.2


def test_one_slow_rank_shows_as_uneven_gpus(play):
    run = play("F13")
    assert run.during(GPU, "gpu_utilisation_percent") < 30
    assert run.during("gpu/simulated.1", "gpu_utilisation_percent") > 75
    assert run.during(GPU, "gpu_power_w") < run.during("gpu/simulated.1", "gpu_power_w")
    assert run.ratio(HIT, "engine_itl_mean_s") > 1.8


def test_proxy_latency_up_with_the_engine_flat_is_network(play):
    run = play("F06")
    assert run.during("link/ray--llm-0", "link_rtt_s") == pytest.approx(0.8, rel=0.05)
    assert (
        run.during(HEAD, "serve_http_latency_mean_ms")
        > run.before(HEAD, "serve_http_latency_mean_ms") + 100
    )
    for replica in ALL:
        assert run.ratio(replica, "engine_e2e_mean_s") == pytest.approx(1.0, abs=0.12)
        assert run.ratio(replica, "engine_itl_mean_s") == pytest.approx(1.0, abs=0.1)
    ttft = run.case.table("requests").query("replica == 'llm-0'")["response_ttft_ms"]
    assert ttft.max() - ttft.min() == pytest.approx(800, rel=0.2)


def test_loss_shows_as_retransmissions_and_gaps_in_streams(play):
    run = play("F07")
    assert run.during("link/ray--llm-0", "link_retransmits_rate") > 5
    assert run.during("node/simulated", "node_tcp_retransmits_rate") > 5
    requests = run.case.table("requests").query("outcome == 'success'")
    gaps = requests.groupby("replica")["max_gap_ms"].quantile(0.9)
    assert gaps["llm-0"] > 5 * gaps["llm-1"]
    assert run.ratio(HIT, "engine_e2e_mean_s") == pytest.approx(1.0, abs=0.15)


def test_a_partitioned_replica_is_well_and_idle(play):
    run = play("F09")
    assert run.during("link/ray--llm-0", "link_up") == 0
    assert run.during(HIT, "up") == 1
    assert run.during(HIT, "engine_requests_running", 85, 105) == 0
    assert {"http_5xx", "total_timeout"} <= run.outcomes().keys()


@pytest.mark.parametrize("fault", ["F04", "F11"])
def test_a_killed_replica_is_down_comes_back_and_fails_what_it_had(play, fault):
    run = play(fault)
    assert run.during(HIT, "up", 70, 90) == 0
    assert run.during(HIT, "up", 120, 150) == 1
    assert run.peak(HIT, "restarts_rate") > 0
    assert (run.peak(HIT, "oom_kills_rate") > 0) == (fault == "F04")
    assert {"http_5xx", "reset_midstream"} <= run.outcomes().keys()
    # Its counters began at zero again, which is no negative rate.
    assert run.matrix.xs("engine_generation_tokens_rate", axis=1, level=1).min().min() >= 0
    assert run.ratio(OTHERS[0], "engine_requests_running") > 1


def test_memory_pressure_neither_kills_nor_slows(play):
    run = play("F03")
    assert run.ratio(HIT, "memory_working_set_bytes") > 2
    assert run.during(HIT, "memory_pressure_waiting_rate") > 0.05
    assert run.peak(HIT, "oom_kills_rate") == 0
    assert run.ratio(HIT, "engine_itl_mean_s") < 1.15


def test_a_ballast_in_gpu_memory_hurts_only_at_the_restart(play):
    run = play("F19")
    assert (
        run.during(GPU, "gpu_framebuffer_used_mib", 61, 68)
        > run.before(GPU, "gpu_framebuffer_used_mib") + 10_000
    )
    assert run.during(HIT, "engine_itl_mean_s", 63, 69) == pytest.approx(
        run.before(HIT, "engine_itl_mean_s"), rel=0.1
    )
    assert run.during(HIT, "up", 80, 100) == 0
    logs = run.case.table("logs")
    assert logs["message"].str.contains("No available memory for the cache blocks").sum() >= 3


def test_a_lost_gpu_takes_its_engine_with_it(play):
    run = play("F21")
    assert run.during(GPU, "gpu_xid_errors") == 79
    assert run.during(HIT, "up") == 0
    assert run.during(GPU, "gpu_utilisation_percent") == 0
    logs = run.case.table("logs")
    assert logs["message"].str.contains("EngineDeadError").any()
    assert run.during(HIT, "up", 120, 150) == 1


def test_a_phantom_gpu_fault_is_seen_by_nobody_but_telemetry(play):
    run = play("F22")
    assert run.during(GPU, "gpu_temperature_c") > run.before(GPU, "gpu_temperature_c") + 30
    assert run.ratio(GPU, "gpu_power_w") == pytest.approx(1.0, abs=0.1)
    assert run.ratio(HIT, "engine_itl_mean_s") == pytest.approx(1.0, abs=0.1)
    assert run.case.alert is None
    assert run.outcomes().keys() == {"success"}


def test_requests_queue_in_the_router_while_engines_idle(play):
    run = play("F15")
    assert run.during(HEAD, "serve_queued_requests") > 10
    for replica in ALL:
        assert run.during(replica, "engine_requests_waiting") == 0
        assert run.ratio(replica, "engine_requests_running") < 1
        assert run.ratio(replica, "engine_e2e_mean_s") < 1.1


def test_a_full_kv_cache_with_preemptions_in_all_replicas_and_a_changed_load_is_the_load(play):
    run = play("F23")
    assert run.ratio(CLIENT, "client_prompt_tokens_mean") > 1.5
    for replica in ALL:
        assert run.peak(replica, "engine_kv_cache_usage_ratio") > 0.95
        assert run.during(replica, "engine_requests_waiting") > 0
    assert max(run.peak(each, "engine_preemptions_rate") for each in ALL) > 0


def test_the_same_in_one_replica_at_an_unchanged_load_is_its_configuration(play):
    run = play("F24")
    assert run.ratio(CLIENT, "client_prompt_tokens_mean") == pytest.approx(1.0, abs=0.03)
    assert run.ratio(CLIENT, "client_request_rate") == pytest.approx(1.0, abs=0.03)
    assert run.during(HIT, "engine_kv_cache_usage_ratio") > 0.8
    assert run.during(HIT, "engine_preemptions_rate") > 0
    assert run.during(HIT, "engine_requests_waiting") > 0
    assert max(run.peak(each, "engine_preemptions_rate") for each in OTHERS) == 0


def test_all_queues_up_with_arrivals_up_is_a_surge(play):
    run = play("F25")
    assert run.ratio(CLIENT, "client_request_rate") > 3
    assert run.ratio(CLIENT, "client_prompt_tokens_mean") == pytest.approx(1.0, abs=0.03)
    for replica in ALL:
        assert run.during(replica, "engine_requests_waiting") > 5
        assert run.during(replica, "engine_requests_running") == 16
        assert run.ratio(replica, "engine_queue_time_mean_s") > 5


def test_long_prompts_shift_the_load_and_block_what_is_behind_them(play):
    run = play("F26")
    assert run.ratio(CLIENT, "client_prompt_tokens_mean") > 1.5
    assert run.ratio(CLIENT, "client_request_rate") == pytest.approx(1.0, abs=0.03)
    requests = run.case.table("requests")
    assert (requests["outcome"] == "cancelled").sum() > 10
    short = requests[(requests["prompt_tokens"] < 4000) & (requests["outcome"] == "success")]
    during = (short["scheduled_ns"] - run.case.info.window.start_ns).between(60e9, 105e9)
    assert short[during]["response_ttft_ms"].quantile(0.9) > 2 * short[~during][
        "response_ttft_ms"
    ].quantile(0.9)


def test_a_cold_prefix_cache_costs_prefill(play):
    run = play("F27")
    assert run.before(HIT, "engine_prefix_cache_hit_ratio") > 0.7
    assert run.during(HIT, "engine_prefix_cache_hit_ratio") == 0
    assert run.ratio(HIT, "engine_prompt_tokens_rate") > 2
    assert run.ratio(HIT, "engine_prefill_time_mean_s") > 2
    assert run.during(OTHERS[0], "engine_prefix_cache_hit_ratio") > 0.7
    assert run.ratio(CLIENT, "client_prompt_tokens_mean") == pytest.approx(1.0, abs=0.03)


def test_a_bad_rollout_refuses_and_slows_nothing(play):
    run = play("F29")
    assert run.during("service/llm", "service_config_generation") == 2
    assert run.outcomes()["http_4xx"] > 50
    refused = run.case.table("requests").query("outcome == 'http_4xx'")
    assert refused["prompt_tokens"].min() > 1800
    assert (refused["status"] == 400).all()
    assert run.ratio(HIT, "engine_itl_mean_s") < 1.1
    assert "RolloutStarted" in set(run.case.table("events")["reason"])


def test_lost_replicas_leave_their_load_to_the_rest(play):
    run = play("F30")
    assert run.before("service/llm", "service_replicas_healthy") == 3
    assert run.during("service/llm", "service_replicas_healthy") == 1
    assert run.ratio(HIT, "engine_requests_running") > 2
    assert run.during(OTHERS[1], "up", 75, 100) == 0
    assert run.outcomes().keys() == {"success"}
    assert "FailedScheduling" in set(run.case.table("events")["reason"])


def test_a_stopped_exporter_is_no_fault_of_the_service(play):
    run = play("F31")
    assert run.during("telemetry/pods", "up") == 0
    gap = run.matrix.loc[75:104, (HIT, "cpu_usage_cores")]
    assert gap.isna().all()
    assert run.ratio(HIT, "engine_itl_mean_s") == pytest.approx(1.0, abs=0.1)
    assert run.case.alert is None
    assert all(
        run.during(each, "up") == 1 for each in (*ALL, HEAD, "node/simulated", "telemetry/dcgm")
    )


def test_a_skewed_clock_puts_spans_before_their_parents(play):
    run = play("F32")
    assert run.during("node/simulated-1", "node_clock_offset_s") == pytest.approx(-2.5, abs=0.01)
    assert run.case.alert is None
    assert _spans_before_their_parents(run.case.table("traces")) > 20
    assert _spans_before_their_parents(play("F00").case.table("traces")) == 0


def _spans_before_their_parents(traces: pd.DataFrame) -> int:
    parents = traces.set_index("span_id")["start"]
    children = traces.dropna(subset=["parent_span_id"])
    return int((children["start"] < children["parent_span_id"].map(parents)).sum())
