#!/usr/bin/python
# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: load_benchmark
short_description: Put a load on an LLM service and record every request
version_added: 0.1.0
description:
  - Sends streaming chat requests at a constant rate, each at its own time however slow the service
    gets, by way of the Python package C(loadgen).
  - Writes C(requests.jsonl) (one record for each request, while the load runs) and C(summary.json)
    into O(dest).
  - The load is a process of its own. It ends, its records kept, when this module ends for whatever
    reason.
  - It lasts as long as O(warmup), O(duration) and the last answers together. Run the task with
    C(async) to do something else meanwhile.
author: The rcalab.llm authors (@rcalab)
requirements:
  - rcalab-llm[load]
attributes:
  check_mode:
    description: Can run in check mode and tell what would change.
    support: full
    details: Nothing is sent and nothing is written; RV(command) is what would run.
  diff_mode:
    description: Returns what was and what is when in diff mode.
    support: none
options:
  url:
    description: Root of the service, without the API's path.
    type: str
    required: true
  model:
    description: Name of the model, as C(/v1/models) of the service lists it.
    type: str
    required: true
  rate:
    description: Requests per second.
    type: float
    required: true
  duration:
    description: Length of the measured load, in seconds.
    type: float
    required: true
  warmup:
    description: Length of the load before it that is not measured, in seconds.
    type: float
    default: 0
  prompt_tokens:
    description: Words of a prompt, about its tokens.
    type: int
    default: 128
  output_tokens:
    description: Tokens to ask for.
    type: int
    default: 64
  seed:
    description: Prompts, identifiers and schedule follow from it.
    type: int
    default: 0
  slo:
    description:
      - What a request must keep to be good, counted from its intended time, and how often.
      - The first window that falls short is the alert of a case.
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
        description: Share of the requests of a window that must be good.
        type: float
        default: 0.9
      window_s:
        description: Length of the sliding window, in seconds.
        type: float
        default: 5
  timeouts:
    description: The four ways to wait too long, in seconds.
    type: dict
    default: {}
    suboptions:
      connect:
        description: Name resolution, TCP and TLS.
        type: float
        default: 5
      first_byte:
        description: From the send to the first byte of the answer.
        type: float
        default: 60
      stall:
        description: Silence within an answer.
        type: float
        default: 30
      total:
        description: From the send to the end of the answer.
        type: float
        default: 300
  drain:
    description:
      - How long requests in flight at the end may still finish, in seconds.
      - After that they are recorded as censored.
    type: float
    default: 30
  api_key_file:
    description:
      - File with the API key of the service.
      - The key is sent with each request and recorded nowhere.
    type: path
  dest:
    description: Folder of the results. It is made where it is missing.
    type: path
    required: true
  force:
    description: Replace a finished run in O(dest). Without it the module fails there.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Two requests a second for five minutes
  rcalab.llm.load_benchmark:
    url: http://10.77.0.1:8080
    model: tiny
    rate: 2
    duration: 300
    warmup: 20
    output_tokens: 32
    slo:
      ttft_ms: 1500
      latency_ms: 4000
    dest: results/first/cpu/run-01/load

- name: Load that runs while the next tasks break something
  rcalab.llm.load_benchmark:
    url: http://10.77.0.1:8080
    model: tiny
    rate: 2
    duration: 180
    dest: results/first/cpu/run-02/load
  async: 300
  poll: 0
  register: load
"""

RETURN = r"""
summary:
  description: The figures of the run, as in C(summary.json). Not in check mode.
  returned: success
  type: dict
  sample:
    requests:
      scheduled: 600
      issued: 600
      success: 598
      failed: 2
      outcomes: {success: 598, truncated: 2}
    audit: {verdict: valid, reasons: []}
requests_path:
  description: The record of each request, JSON Lines.
  returned: success
  type: str
summary_path:
  description: The file of RV(summary).
  returned: success
  type: str
command:
  description: The command line that ran, or in check mode would run.
  returned: always
  type: list
  elements: str
"""

import json
import sys
import traceback
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.rcalab.llm.plugins.module_utils._tied_process import run_tied

try:
    import loadgen as _loadgen  # noqa: F401

    LOADGEN_ERROR = None
except ImportError:
    LOADGEN_ERROR = traceback.format_exc()


def argument_spec() -> dict[str, Any]:
    return {
        "url": {"type": "str", "required": True},
        "model": {"type": "str", "required": True},
        "rate": {"type": "float", "required": True},
        "duration": {"type": "float", "required": True},
        "warmup": {"type": "float", "default": 0},
        "prompt_tokens": {"type": "int", "default": 128, "no_log": False},
        "output_tokens": {"type": "int", "default": 64, "no_log": False},
        "seed": {"type": "int", "default": 0},
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
        "timeouts": {
            "type": "dict",
            "default": {},
            "apply_defaults": True,
            "options": {
                "connect": {"type": "float", "default": 5},
                "first_byte": {"type": "float", "default": 60},
                "stall": {"type": "float", "default": 30},
                "total": {"type": "float", "default": 300},
            },
        },
        "drain": {"type": "float", "default": 30},
        "api_key_file": {"type": "path", "no_log": False},
        "dest": {"type": "path", "required": True},
        "force": {"type": "bool", "default": False},
    }


def command_line(params: dict[str, Any]) -> list[str]:
    """Return the arguments of the process that does the work."""
    options = {
        "--url": params["url"],
        "--model": params["model"],
        "--rate": params["rate"],
        "--duration": params["duration"],
        "--warmup": params["warmup"],
        "--prompt-tokens": params["prompt_tokens"],
        "--output-tokens": params["output_tokens"],
        "--seed": params["seed"],
        "--slo-ttft-ms": params["slo"]["ttft_ms"],
        "--slo-latency-ms": params["slo"]["latency_ms"],
        "--slo-target": params["slo"]["target"],
        "--slo-window": params["slo"]["window_s"],
        "--connect-timeout": params["timeouts"]["connect"],
        "--first-byte-timeout": params["timeouts"]["first_byte"],
        "--stall-timeout": params["timeouts"]["stall"],
        "--total-timeout": params["timeouts"]["total"],
        "--drain": params["drain"],
        "--out": params["dest"],
        "--api-key-file": params["api_key_file"],
    }
    # -P: a folder called `loadgen` where the task happens to run is not the package.
    command = [sys.executable, "-P", "-m", "loadgen", "run", "--stop-on-eof"]
    # One word each, so that no value is taken for an option.
    command += [f"{name}={value}" for name, value in options.items() if value is not None]
    return command + (["--force"] if params["force"] else [])


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    if LOADGEN_ERROR is not None:
        module.fail_json(
            msg=missing_required_lib("rcalab-llm[load]")
            + f" Install it with: {sys.executable} -m pip install"
            " '/path/to/ansible_collections/rcalab/llm[load]'",
            exception=LOADGEN_ERROR,
        )
    dest = Path(module.params["dest"])
    command = command_line(module.params)
    summary_path = dest / "summary.json"
    if summary_path.exists() and not module.params["force"]:
        module.fail_json(
            msg=f"{dest} holds a finished run: choose another dest, or set force to replace it",
            command=command,
        )
    result = {
        "changed": True,
        "command": command,
        "requests_path": str(dest / "requests.jsonl"),
        "summary_path": str(summary_path),
    }
    if module.check_mode:
        module.exit_json(**result)

    rc, stderr = run_tied(command)
    if rc != 0:
        said = stderr.strip().splitlines()
        reason = said[-1] if said else "it said nothing"
        module.fail_json(
            msg=f"the load ended with exit code {rc}: {reason}",
            rc=rc,
            stderr=stderr,
            command=command,
        )
    summary = json.loads(summary_path.read_text(encoding="utf-8"))
    for reason in summary["audit"]["reasons"]:
        module.warn(f"the load generator's figures are {summary['audit']['verdict']}: {reason}")
    module.exit_json(summary=summary, **result)


if __name__ == "__main__":
    main()
