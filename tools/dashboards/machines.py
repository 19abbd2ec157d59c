# SPDX-License-Identifier: Apache-2.0
"""GPUs, pods and nodes."""

from __future__ import annotations

from .model import RANGE, Board, Panel, Row, gauge, per_component, rate

MACHINES = Board(
    "machines",
    "rcalab: GPUs, pods and nodes",
    'label_values(up{component=~"(node|gpu|replica|head|gateway)/.+"}, component)',
    (
        Row(
            "GPUs",
            (
                Panel(
                    "Busy",
                    "percent",
                    (("DCGM_FI_DEV_GPU_UTIL", "{{component}}"),),
                    text="Down while a pod is throttled: CPU. High with a low clock: held down.",
                    maximum=100,
                ),
                Panel(
                    "SM clock",
                    "rotmhz",
                    (("DCGM_FI_DEV_SM_CLOCK", "{{component}}"),),
                ),
                Panel(
                    "Power and its limit",
                    "watt",
                    (
                        ("DCGM_FI_DEV_POWER_USAGE", "{{component}}"),
                        ("DCGM_FI_DEV_ENFORCED_POWER_LIMIT", "{{component}} limit"),
                    ),
                ),
                Panel(
                    "Held down, share of time",
                    "percentunit",
                    (
                        (
                            f"rate(DCGM_FI_DEV_POWER_VIOLATION[{RANGE}]) / 1e9",
                            "{{component}} power",
                        ),
                        (
                            f"rate(DCGM_FI_DEV_THERMAL_VIOLATION[{RANGE}]) / 1e9",
                            "{{component}} heat",
                        ),
                    ),
                ),
                Panel("Temperature", "celsius", (("DCGM_FI_DEV_GPU_TEMP", "{{component}}"),)),
                Panel("Memory used", "decmbytes", (("DCGM_FI_DEV_FB_USED", "{{component}}"),)),
                Panel(
                    "SMs and memory at work",
                    "percentunit",
                    (
                        ("DCGM_FI_PROF_SM_ACTIVE", "{{component}} SM"),
                        ("DCGM_FI_PROF_DRAM_ACTIVE", "{{component}} memory"),
                    ),
                    text="Only data centre GPUs count these.",
                    maximum=1,
                ),
                Panel(
                    "Reasons of the clock, as bits",
                    "short",
                    (("DCGM_FI_DEV_CLOCKS_EVENT_REASONS", "{{component}}"),),
                ),
                Panel(
                    "XID errors",
                    "short",
                    (("DCGM_EXP_XID_ERRORS_COUNT", "{{component}} XID {{xid}}"),),
                ),
            ),
        ),
        Row(
            "Pods",
            (
                per_component(
                    "The kubelet reads the cgroups every 10 s unless told otherwise.",
                    "CPU",
                    "short",
                    rate("container_cpu_usage_seconds_total", 'job="pod"'),
                ),
                per_component(
                    "",
                    "Throttled periods",
                    "percentunit",
                    f"{rate('container_cpu_cfs_throttled_periods_total')}"
                    f" / {rate('container_cpu_cfs_periods_total')}",
                    maximum=1,
                ),
                per_component(
                    "",
                    "Memory that can't be reclaimed",
                    "bytes",
                    gauge("container_memory_working_set_bytes", 'job="pod"'),
                ),
                per_component(
                    "",
                    "Received",
                    "Bps",
                    rate("container_network_receive_bytes_total", 'job="pod"'),
                ),
                per_component(
                    "", "Sent", "Bps", rate("container_network_transmit_bytes_total", 'job="pod"')
                ),
                per_component(
                    "",
                    "Restarts",
                    "short",
                    gauge("kube_pod_container_status_restarts_total"),
                ),
            ),
        ),
        Row(
            "Nodes",
            (
                per_component(
                    "",
                    "CPU, cores busy",
                    "short",
                    rate("node_cpu_seconds_total", 'mode!~"idle|iowait"'),
                ),
                per_component(
                    "",
                    "Memory available",
                    "bytes",
                    gauge("node_memory_MemAvailable_bytes"),
                ),
                per_component("", "Load", "short", gauge("node_load1")),
                per_component(
                    "",
                    "Waiting for a CPU",
                    "percentunit",
                    rate("node_pressure_cpu_waiting_seconds_total"),
                ),
                per_component(
                    "",
                    "TCP segments sent again",
                    "short",
                    rate("node_netstat_Tcp_RetransSegs"),
                ),
                per_component(
                    "Logs and spans of a node with a wrong clock are in the wrong order.",
                    "Clock offset",
                    "s",
                    gauge("node_timex_offset_seconds", how="max"),
                ),
            ),
        ),
    ),
)
