# SPDX-License-Identifier: Apache-2.0
"""Faults, the service level, and what was measured."""

from __future__ import annotations

from .model import LOKI, Board, Panel, Row, gauge, per_component

FIRING = (
    'count by (alertname, component) (ALERTS{alertstate="firing", alertname=~"Rcalab.+",'
    ' component=~"$component|"})'
)
FAULTS = Board(
    "faults",
    "rcalab: faults and the service level",
    'label_values(up{component!=""}, component)',
    (
        Row(
            "The service level",
            (
                Panel(
                    "Time to first token, p90, and its level",
                    "s",
                    (
                        ("rcalab:service_ttft_seconds:p90", "service"),
                        ('rcalab:ttft_seconds:p90{component=~"$component"}', "{{component}}"),
                        ("rcalab:slo_ttft_seconds", "level"),
                    ),
                    text="By the engines' clocks: what a client adds or sees is in its own report.",
                    width=12,
                ),
                Panel(
                    "Whole request, p90, and its level",
                    "s",
                    (
                        ("rcalab:service_latency_seconds:p90", "service"),
                        ('rcalab:latency_seconds:p90{component=~"$component"}', "{{component}}"),
                        ("rcalab:slo_latency_seconds", "level"),
                    ),
                    width=12,
                ),
            ),
        ),
        Row(
            "What is wrong",
            (
                Panel(
                    "Alerts",
                    "short",
                    (
                        (
                            FIRING,
                            "{{alertname}} {{component}}",
                        ),
                    ),
                    width=12,
                ),
                Panel(
                    "Tokens generated, and requests in the batch",
                    "short",
                    (
                        (
                            'rcalab:generation_tokens:rate{component=~"$component"}',
                            "{{component}} tokens/s",
                        ),
                        (gauge("ray_vllm_num_requests_running"), "{{component}} running"),
                    ),
                    width=12,
                ),
                Panel(
                    "Errors in the logs",
                    "",
                    (('{component=~"$component"} | detected_level=~"error|fatal|critical"', ""),),
                    kind="logs",
                    source=LOKI,
                    width=24,
                ),
            ),
        ),
        Row(
            "What was measured",
            (
                per_component(
                    "Gaps here are gaps in every diagnosis.",
                    "Targets that answer",
                    "percentunit",
                    'avg by (component) (up{component=~"$component"})',
                    maximum=1,
                ),
                per_component(
                    "",
                    "Slowest scrape",
                    "s",
                    gauge("scrape_duration_seconds", how="max"),
                ),
                per_component(
                    "",
                    "Samples a scrape, after relabelling",
                    "short",
                    gauge("scrape_samples_post_metric_relabeling"),
                ),
            ),
        ),
    ),
)
