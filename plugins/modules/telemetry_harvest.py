#!/usr/bin/python
# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: telemetry_harvest
short_description: Make a case of a run's telemetry
version_added: 0.1.0
description:
  - Fetches the raw samples of a run from Prometheus, reads its request records and logs, derives the
    metrics of the vocabulary, and writes all of it into the run's directory as a case, by way of the
    Python package C(rca_engine).
  - Of a cluster it also fetches log lines from Loki, traces from Tempo and DeepFlow, and events and the
    topology from the Kubernetes API.
  - The case is there whole or not at all. An unreachable server, or a required metric without a
    sample in the window, fails the module and leaves the directory as it was.
author: The rcalab.llm authors (@rcalab)
requirements:
  - rcalab-llm[rca]
  - rcalab-llm[kubernetes] where O(settings) name a kubeconfig
attributes:
  check_mode:
    description: Can run in check mode and tell what would change.
    support: full
    details: Nothing is asked of any server and nothing is written.
  diff_mode:
    description: Returns what was and what is when in diff mode.
    support: none
options:
  run_dir:
    description:
      - Directory of the run, which becomes the case.
      - Holds C(load/requests.jsonl), and C(ground_truth.json) where a fault was injected.
    type: path
    required: true
  prometheus_url:
    description:
      - Root of the Prometheus server that scraped a lab on one machine.
      - One of O(prometheus_url) and O(settings) must be given.
    type: str
  pods_file:
    description: The C(pods.json) of a lab on one machine. Goes with O(prometheus_url).
    type: path
  settings:
    description:
      - Where the telemetry of a cluster is and what its labels mean, as C(docs/harvest.md) describes it.
      - They also say what O(engine), O(scrape_interval) and O(deadline) say of a lab on one machine.
      - Tokens are named by their file or environment variable, never given here.
    type: dict
  start:
    description:
      - Start of the window, RFC 3339.
      - That of the load's first request if neither O(start) nor O(end) is given.
    type: str
  end:
    description: End of the window, RFC 3339.
    type: str
  slo:
    description: What the client expects; the first breach of it is the case's alert.
    type: dict
    default: {}
    suboptions:
      ttft_ms:
        description: Longest time to the first token, in milliseconds.
        type: float
        default: 1500
      latency_ms:
        description: Longest time to the end, in milliseconds.
        type: float
        default: 4000
      target:
        description: Share of the requests due in a window that must keep both.
        type: float
        default: 0.9
      window_s:
        description: Length of the sliding window, in seconds.
        type: float
        default: 5
  logs:
    description: Log files to read.
    type: list
    elements: dict
    default: []
    suboptions:
      component:
        description: The component that wrote them, as C(kind/name).
        type: str
        required: true
      stream:
        description: What to call them.
        type: str
        required: true
      path:
        description: A file, or a folder whose log files are all read.
        type: path
        required: true
  experiment:
    description: Name of the experiment.
    type: str
    default: ""
  scenario:
    description: Name of the scenario.
    type: str
    default: ""
  run:
    description: Number of the run within its scenario.
    type: int
    default: 1
  seed:
    description: Seed of the run.
    type: int
    default: 0
  engine:
    description: What served the model.
    type: str
    default: vllm
  versions:
    description: Versions of the parts of the lab, for the record.
    type: dict
    default: {}
  notes:
    description: What every reader of a result must know.
    type: list
    elements: str
    default: []
  scrape_interval:
    description: Seconds between two scrapes of a target.
    type: float
    default: 1
  deadline:
    description: Seconds for all queries and their retries together.
    type: float
    default: 120
"""

EXAMPLES = r"""
- name: Make a case of the run
  rcalab.llm.telemetry_harvest:
    run_dir: results/first/cpu/run-01
    prometheus_url: http://127.0.0.1:9090
    pods_file: /var/lib/rcalab/pods.json
    scenario: cpu
    logs:
      - component: gateway/nginx
        stream: access
        path: /var/lib/rcalab/gateway/access.log

- name: Make a case of a run on a cluster
  rcalab.llm.telemetry_harvest:
    run_dir: results/first/kill/run-01
    scenario: kill
    settings:
      format: 1
      namespace: ray
      kubernetes:
        kubeconfig: ~/.kube/config
      prometheus:
        url: http://127.0.0.1:9090
        token_file: ~/.config/lab/prometheus.token
      loki:
        url: http://127.0.0.1:3100
"""

RETURN = r"""
case:
  description: Directory of the case.
  returned: success
  type: str
alert:
  description: The client's first breach of its SLO, none if it kept it. Not in check mode.
  returned: success
  type: dict
  sample:
    time: "2026-01-05T09:01:02.500000000Z"
    component: client/loadgen
    metric: client_slo_attainment
    observed: 0.85
    threshold: 0.9
rows:
  description: Rows that each source gave. Not in check mode.
  returned: success
  type: dict
  sample: {prometheus: 61000, requests: 600, logs: 4100}
gaps:
  description: Gaps in required series that no fault explains. Not in check mode.
  returned: success
  type: list
  elements: str
"""

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rcalab.llm.plugins.module_utils._packages import require

try:
    from rca_engine.case import Case
    from rca_engine.errors import RcaEngineError
    from rca_engine.telemetry.harvest import Harvest, harvest, parse_window
    from rca_engine.telemetry.logs import LogSource
    from rca_engine.telemetry.settings import parse as parse_settings
    from rcalab_common.slo import Slo

    RCA_ENGINE_ERROR = None
except ImportError:
    RCA_ENGINE_ERROR = traceback.format_exc()


def argument_spec() -> dict[str, Any]:
    return {
        "run_dir": {"type": "path", "required": True},
        "prometheus_url": {"type": "str"},
        "pods_file": {"type": "path"},
        "settings": {"type": "dict"},
        "start": {"type": "str"},
        "end": {"type": "str"},
        "slo": {
            "type": "dict",
            "default": {},
            "apply_defaults": True,
            "options": {
                "ttft_ms": {"type": "float", "default": 1500},
                "latency_ms": {"type": "float", "default": 4000},
                "target": {"type": "float", "default": 0.9},
                "window_s": {"type": "float", "default": 5},
            },
        },
        "logs": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "component": {"type": "str", "required": True},
                "stream": {"type": "str", "required": True},
                "path": {"type": "path", "required": True},
            },
        },
        "experiment": {"type": "str", "default": ""},
        "scenario": {"type": "str", "default": ""},
        "run": {"type": "int", "default": 1},
        "seed": {"type": "int", "default": 0},
        "engine": {"type": "str", "default": "vllm"},
        "versions": {"type": "dict", "default": {}},
        "notes": {"type": "list", "elements": "str", "default": []},
        "scrape_interval": {"type": "float", "default": 1},
        "deadline": {"type": "float", "default": 120},
    }


def plan(params: dict[str, Any]) -> Harvest:
    """Return what the module's options ask for."""
    return Harvest(
        run_dir=Path(params["run_dir"]),
        prometheus_url=params["prometheus_url"] or "",
        pods_file=None if params["pods_file"] is None else Path(params["pods_file"]),
        cluster=None if params["settings"] is None else parse_settings(params["settings"]),
        window=parse_window(params["start"], params["end"]),
        slo=Slo(**params["slo"]),
        logs=[
            LogSource(each["component"], each["stream"], Path(each["path"]))
            for each in params["logs"]
        ],
        scrape_interval_s=params["scrape_interval"],
        experiment=params["experiment"],
        scenario=params["scenario"],
        run=params["run"],
        seed=params["seed"],
        engine=params["engine"],
        versions={name: str(version) for name, version in params["versions"].items()},
        notes=params["notes"],
        deadline_s=params["deadline"],
    )


def unexplained_gaps(manifest: Mapping[str, Any]) -> list[str]:
    """Say which required series have gaps that no fault explains."""
    return [
        f"{entry['component']} {entry['metric']}: {gap['seconds']:.1f} s from {gap['start']}"
        for entry in manifest["completeness"]
        if entry["required"]
        for gap in entry["gaps"]
        if not gap["expected"]
    ]


def main() -> None:
    module = AnsibleModule(
        argument_spec=argument_spec(),
        required_together=[("start", "end"), ("prometheus_url", "pods_file")],
        required_one_of=[("prometheus_url", "settings")],
        mutually_exclusive=[("prometheus_url", "settings")],
        supports_check_mode=True,
    )
    require(module, "rca", RCA_ENGINE_ERROR)
    result = {"changed": True, "case": module.params["run_dir"]}
    if module.check_mode:
        module.exit_json(**result)
    try:
        case = Case.load(harvest(plan(module.params)))
    except (RcaEngineError, ValueError) as error:
        module.fail_json(msg=str(error), case=module.params["run_dir"])
    sources = case.manifest["sources"]
    # What the logs' lines lack is in the manifest: Ray's stack traces would drown the rest here.
    for name in sorted(sources.keys() - {"logs", "requests"}):
        for warning in sources[name]["warnings"]:
            module.warn(f"{name}: {warning}")
    module.exit_json(
        alert=case.info.to_json()["alert"],
        rows={name: source["rows"] for name, source in sources.items()},
        gaps=unexplained_gaps(case.manifest),
        **result,
    )


if __name__ == "__main__":
    main()
