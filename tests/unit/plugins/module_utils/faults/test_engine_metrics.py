# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vLLM's metrics mean the same from vLLM itself and from Ray, which names them in its own way."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest
from ansible_collections.rcalab.llm.plugins.module_utils.faults.engine_metrics import (
    EngineLook,
    scrape,
)

# As vLLM 0.32 and Ray 2.60 write them.
VLLM = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="tiny"} 3.0
vllm:num_requests_waiting{engine="0",model_name="tiny"} 2.0
vllm:kv_cache_usage_perc{engine="0",model_name="tiny"} 0.25
vllm:prompt_tokens_total{engine="0",model_name="tiny"} 1.5e+03
vllm:prefix_cache_queries_total{engine="0",model_name="tiny"} 1000.0
vllm:prefix_cache_hits_total{engine="0",model_name="tiny"} 400.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="tiny"} 10.0
vllm:request_success_total{engine="0",finished_reason="abort",model_name="tiny"} 4.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf",model_name="tiny"} 14.0
vllm:cache_config_info{block_size="128",cache_dtype="auto",extra="{}",num_gpu_blocks="64"} 1.0
process_open_fds 12.0
"""
RAY = """\
ray_vllm_num_requests_running{WorkerId="a",model_name="tiny"} 3.0
ray_vllm_num_requests_waiting{WorkerId="a",model_name="tiny"} 2.0
ray_vllm_kv_cache_usage_perc{WorkerId="a",model_name="tiny"} 0.25
ray_vllm_prompt_tokens{WorkerId="a",model_name="tiny"} 1500
ray_vllm_prefix_cache_queries_total{WorkerId="a",model_name="tiny"} 1000.0
ray_vllm_prefix_cache_hits_total{WorkerId="a",model_name="tiny"} 400.0
ray_vllm_request_success_total{WorkerId="a",finished_reason="length"} 10.0
ray_vllm_request_success_total{WorkerId="a",finished_reason="abort"} 4.0
ray_vllm_time_to_first_token_seconds_bucket{WorkerId="a",le="+Inf"} 14.0
ray_vllm_cache_config_info{WorkerId="a",block_size="128",num_gpu_blocks="64"} 1.0
ray_vllm_cache_config_info{WorkerId="b",block_size="128",num_gpu_blocks="None"} 1.0
ray_serve_deployment_queued_queries{deployment="LLMServer:tiny"} 5.0
ray_node_cpu_utilization{} 50.0
"""


class _Exposition(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        data = {"/vllm": VLLM, "/ray": RAY}[self.path].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_args: object) -> None:
        """Be silent."""


@pytest.fixture
def url() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Exposition)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("kind", ["vllm", "ray"])
def test_both_say_the_same(url: str, kind: str) -> None:
    samples = scrape(f"{url}/{kind}")

    assert EngineLook.of(7.0, [samples]) == EngineLook(
        at_s=7.0,
        running=3,
        waiting=2,
        kv_usage_ratio=0.25,
        ended=14,
        aborted=4,
        prompt_tokens=1500,
        prefix_queries=1000,
        prefix_hits=400,
    )
    assert [each.cache_tokens for each in samples if each.cache_tokens is not None] == [8192]


def test_the_queue_of_serves_router_keeps_its_name(url: str) -> None:
    queued = [each for each in scrape(f"{url}/ray") if each.name.startswith("serve_")]

    assert [(each.name, each.value) for each in queued] == [("serve_deployment_queued_queries", 5)]


def test_engines_add_up_and_the_fullest_counts() -> None:
    half = EngineLook(0.0, 1, 0, 0.5, 10, 1, 100, 100, 50)
    later = EngineLook(10.0, 4, 2, 0.9, 25, 3, 600, 300, 90)

    change = later.since(half)

    # Fifteen ended, and five more are in the engines: twenty came.
    assert change.arrivals_per_s == 2
    assert change.prompt_tokens_per_s == 50
    assert change.prefix_hit_ratio == pytest.approx(0.2)
    assert later.since(later).prefix_hit_ratio is None
