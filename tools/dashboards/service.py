# SPDX-License-Identifier: Apache-2.0
"""The LLM service by replica."""

from __future__ import annotations

from .model import Board, Panel, Row, gauge, mean, per_component, quantile, rate

SERVICE = Board(
    "service",
    "rcalab: the LLM service by replica",
    'label_values(up{component=~"(head|replica)/.+"}, component)',
    (
        Row(
            "What a client feels",
            (
                per_component(
                    "Engine's own histogram, so without the way to it.",
                    "Time to first token, p90",
                    "s",
                    quantile(0.9, "ray_vllm_time_to_first_token_seconds"),
                ),
                per_component(
                    "",
                    "Time between tokens, p90",
                    "s",
                    quantile(0.9, "ray_vllm_inter_token_latency_seconds"),
                ),
                per_component(
                    "",
                    "Whole request, p90",
                    "s",
                    quantile(0.9, "ray_vllm_e2e_request_latency_seconds"),
                ),
            ),
        ),
        Row(
            "Where a request's time goes",
            (
                per_component("", "Queue", "s", mean("ray_vllm_request_queue_time_seconds")),
                per_component("", "Prefill", "s", mean("ray_vllm_request_prefill_time_seconds")),
                per_component("", "Decode", "s", mean("ray_vllm_request_decode_time_seconds")),
            ),
        ),
        Row(
            "The batch",
            (
                per_component(
                    "With requests here and no tokens below, the replica hangs.",
                    "Requests running",
                    "short",
                    gauge("ray_vllm_num_requests_running"),
                ),
                per_component(
                    "", "Requests waiting", "short", gauge("ray_vllm_num_requests_waiting")
                ),
                per_component(
                    "Near 1 with longer prompts it is the load, without them the configuration.",
                    "KV cache in use",
                    "percentunit",
                    gauge("ray_vllm_kv_cache_usage_perc", how="max"),
                    maximum=1,
                ),
                per_component(
                    "", "Tokens generated", "short", rate("ray_vllm_generation_tokens_total")
                ),
                per_component("", "Prompt tokens", "short", rate("ray_vllm_prompt_tokens_total")),
                per_component("", "Preemptions", "short", rate("ray_vllm_num_preemptions_total")),
                per_component(
                    "",
                    "Requests finished",
                    "reqps",
                    rate("ray_vllm_request_success_total"),
                ),
                per_component(
                    "",
                    "Prompt length, mean",
                    "short",
                    mean("ray_vllm_request_prompt_tokens"),
                ),
                per_component(
                    "",
                    "Prefix cache, share of hits",
                    "percentunit",
                    f"{rate('ray_vllm_prefix_cache_hits_total')}"
                    f" / {rate('ray_vllm_prefix_cache_queries_total')}",
                    maximum=1,
                ),
            ),
        ),
        Row(
            "Ray Serve",
            (
                per_component(
                    "Up while the engines' own times are flat: the network or the proxy.",
                    "Proxy, mean",
                    "ms",
                    mean("ray_serve_http_request_latency_ms"),
                ),
                per_component(
                    "", "In the proxy", "short", gauge("ray_serve_num_ongoing_http_requests")
                ),
                per_component(
                    "", "Queued in routers", "short", gauge("ray_serve_deployment_queued_queries")
                ),
                per_component(
                    "", "HTTP requests", "reqps", rate("ray_serve_num_http_requests_total")
                ),
                per_component(
                    "", "HTTP errors", "reqps", rate("ray_serve_num_http_error_requests_total")
                ),
                Panel(
                    "Replicas that serve",
                    "short",
                    (
                        (
                            "sum by (deployment) (ray_serve_deployment_replica_healthy)",
                            "{{deployment}}",
                        ),
                    ),
                ),
            ),
        ),
    ),
)
