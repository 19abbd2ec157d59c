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
  - Sends requests by a schedule that is made first and that no slow service changes (O(rate),
    O(curve), O(bursts), O(trace)), or as users who wait for their answers (O(closed)), by way of
    the Python package C(loadgen).
  - Writes C(requests.jsonl) (one record for each request, while the load runs) and C(summary.json)
    into O(dest).
  - The load is a process of its own. It ends, its records kept, when this module ends for whatever
    reason.
  - It lasts as long as O(warmup), O(duration) and the last answers together. Run the task with
    C(async) to do something else meanwhile.
author: The rcalab.llm authors (@rcalab)
requirements:
  - rcalab-llm[load]
seealso:
  - module: rcalab.llm.load_benchmark_info
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
    description:
      - Requests per second.
      - Give one of O(rate), O(curve), O(bursts), O(closed) and O(trace).
    type: float
  curve:
    description:
      - A rate that changes with time.
      - One of C(ramp:FROM,TO@SECONDS), C(steps:RATE,RATE,...@SECONDS),
        C(sine:MEAN,AMPLITUDE@PERIOD) and C(piecewise:SECOND=RATE,SECOND=RATE,...).
    type: str
  arrivals:
    description: How the gaps between requests are distributed, for O(rate) and O(curve).
    type: str
    choices: [constant, uniform, poisson, gamma]
    default: constant
  burstiness:
    description: Shape of V(gamma). 1 is V(poisson), less comes in bursts.
    type: float
    default: 1
  bursts:
    description: Requests that come all at once, again and again.
    type: dict
    suboptions:
      every:
        description: Seconds between bursts.
        type: float
        required: true
      size:
        description: Requests of each.
        type: int
        default: 1
  closed:
    description: Users who each wait for an answer, think, and ask again.
    type: dict
    suboptions:
      users:
        description: How many.
        type: int
        required: true
      think:
        description: Mean time between an answer and the next request, in seconds.
        type: float
        default: 0
      thinking:
        description: How that time is distributed.
        type: str
        choices: [constant, exponential]
        default: constant
      spawn_rate:
        description: Users that start per second. Without it, all start within the first one.
        type: float
  trace:
    description: A recorded load to play again, with its times and lengths.
    type: dict
    suboptions:
      path:
        description: The file, on the host on which the module runs.
        type: path
        required: true
      format:
        description: Whose trace it is.
        type: str
        choices: [auto, azure, burstgpt, mooncake]
        default: auto
      speed:
        description: How much faster than recorded.
        type: float
        default: 1
  duration:
    description:
      - Length of the measured load, in seconds.
      - Give it, or O(requests), or both, of which the first counts. O(trace) has an end of its own.
    type: float
  requests:
    description: Measured requests after which the load ends.
    type: int
  warmup:
    description: Length of the load before it that is not measured, in seconds.
    type: float
    default: 0
  prompt_tokens:
    description: Words of a prompt, about its tokens, or exactly so many with O(prompts.exact).
    type: int
    default: 128
  prompts:
    description: Where prompts come from. Random words, unless there is something else here.
    type: dict
    default: {}
    suboptions:
      exact:
        description: Calibrate the length on the service's own count of tokens, before the run.
        type: bool
        default: false
      shared_tokens:
        description: Tokens of a prefix that prompts share.
        type: int
        default: 0
      groups:
        description: How many such prefixes there are.
        type: int
        default: 1
      zipf:
        description: How unevenly they are used. 0 is evenly.
        type: float
        default: 0
      turns:
        description: Requests of a conversation, each with those before it in its prompt.
        type: int
        default: 1
      file:
        description: File of prompts or conversations, JSON Lines or ShareGPT's JSON.
        type: path
  output_tokens:
    description: Tokens to ask for, or their mean.
    type: int
    default: 64
  outputs:
    description: How the number of tokens to ask for is distributed.
    type: dict
    default: {}
    suboptions:
      distribution:
        description: The distribution.
        type: str
        choices: [constant, uniform, exponential, normal]
        default: constant
      range:
        description: Relative width of V(uniform) and V(normal).
        type: float
        default: 0.3
      cap:
        description: Most tokens to ask for.
        type: int
  provider:
    description: The service's dialect.
    type: str
    choices: [anyscale, fireworks, openai, tgi, together, triton-generate, triton-infer, vllm]
    default: vllm
  endpoint:
    description: Which of the provider's endpoints, where it has both.
    type: str
    choices: [chat, completions]
    default: chat
  stream:
    description: Take tokens as they are made.
    type: bool
    default: true
  processes:
    description: How many processes send. Each takes its share of the one schedule.
    type: int
    default: 1
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
  events:
    description:
      - File or URL of JSON Lines that mark windows while the load runs, such as a fault's. Each line
        has C(time), C(event) (V(window_start) or V(window_end)) and C(name).
      - No event changes the load. RV(summary) has before, during and after of each window.
    type: str
  asserts:
    description:
      - What the run must keep, such as V(p95_ttft_ms<500), V(attainment>=99%) or
        V(time_to_recover_s<30).
      - The module fails, with RV(summary), where one is broken.
    type: list
    elements: str
    default: []
  write:
    description: What to write beside the records. V(html) and V(parquet) need an extra each.
    type: list
    elements: str
    choices: [html, parquet, vllm]
    default: []
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

- name: Poisson arrivals from 1 to 20 requests a second
  rcalab.llm.load_benchmark:
    url: http://10.77.0.1:8080
    model: tiny
    curve: ramp:1,20@600
    arrivals: poisson
    duration: 600
    dest: results/ramp

- name: Eight users in conversations of five turns
  rcalab.llm.load_benchmark:
    url: http://10.77.0.1:8080
    model: tiny
    closed:
      users: 8
      think: 2
    prompts:
      turns: 5
    duration: 300
    dest: results/users

- name: A load that must survive a fault, whose window another task marks in a file
  rcalab.llm.load_benchmark:
    url: http://10.77.0.1:8080
    model: tiny
    rate: 5
    duration: 300
    events: results/first/cpu/run-03/events.jsonl
    asserts:
      - time_to_recover_s<30
      - window_availability>=90%
    dest: results/first/cpu/run-03/load

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
  returned: success, or failed by O(asserts)
  type: dict
  sample:
    requests:
      scheduled: 600
      issued: 600
      success: 598
      failed: 2
      outcomes: {success: 598, truncated: 2}
    audit: {verdict: valid, reasons: []}
    windows: null
requests_path:
  description: The record of each request, JSON Lines.
  returned: success
  type: str
summary_path:
  description: The file of RV(summary).
  returned: success
  type: str
broken:
  description: Those of O(asserts) that were broken.
  returned: failed, if any was
  type: list
  elements: dict
  sample:
    - {assertion: p95_ttft_ms<500, observed: 512.4, held: false}
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

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rcalab.llm.plugins.module_utils._packages import require
from ansible_collections.rcalab.llm.plugins.module_utils._tied_process import run_tied

try:
    import loadgen as _loadgen  # noqa: F401

    LOADGEN_ERROR = None
except ImportError:
    LOADGEN_ERROR = traceback.format_exc()

EXIT_ASSERTION = 4

LOADS = ("rate", "curve", "bursts", "closed", "trace")


def argument_spec() -> dict[str, Any]:
    return {
        "url": {"type": "str", "required": True},
        "model": {"type": "str", "required": True},
        "rate": {"type": "float"},
        "curve": {"type": "str"},
        "arrivals": {
            "type": "str",
            "default": "constant",
            "choices": ["constant", "uniform", "poisson", "gamma"],
        },
        "burstiness": {"type": "float", "default": 1},
        "bursts": {
            "type": "dict",
            "options": {
                "every": {"type": "float", "required": True},
                "size": {"type": "int", "default": 1},
            },
        },
        "closed": {
            "type": "dict",
            "options": {
                "users": {"type": "int", "required": True},
                "think": {"type": "float", "default": 0},
                "thinking": {
                    "type": "str",
                    "default": "constant",
                    "choices": ["constant", "exponential"],
                },
                "spawn_rate": {"type": "float"},
            },
        },
        "trace": {
            "type": "dict",
            "options": {
                "path": {"type": "path", "required": True},
                "format": {
                    "type": "str",
                    "default": "auto",
                    "choices": ["auto", "azure", "burstgpt", "mooncake"],
                },
                "speed": {"type": "float", "default": 1},
            },
        },
        "duration": {"type": "float"},
        "requests": {"type": "int"},
        "warmup": {"type": "float", "default": 0},
        "prompt_tokens": {"type": "int", "default": 128, "no_log": False},
        "prompts": {
            "type": "dict",
            "default": {},
            "apply_defaults": True,
            "options": {
                "exact": {"type": "bool", "default": False},
                "shared_tokens": {"type": "int", "default": 0, "no_log": False},
                "groups": {"type": "int", "default": 1},
                "zipf": {"type": "float", "default": 0},
                "turns": {"type": "int", "default": 1},
                "file": {"type": "path"},
            },
        },
        "output_tokens": {"type": "int", "default": 64, "no_log": False},
        "outputs": {
            "type": "dict",
            "default": {},
            "apply_defaults": True,
            "options": {
                "distribution": {
                    "type": "str",
                    "default": "constant",
                    "choices": ["constant", "uniform", "exponential", "normal"],
                },
                "range": {"type": "float", "default": 0.3},
                "cap": {"type": "int"},
            },
        },
        "provider": {
            "type": "str",
            "default": "vllm",
            "choices": [
                "anyscale",
                "fireworks",
                "openai",
                "tgi",
                "together",
                "triton-generate",
                "triton-infer",
                "vllm",
            ],
        },
        "endpoint": {"type": "str", "default": "chat", "choices": ["chat", "completions"]},
        "stream": {"type": "bool", "default": True},
        "processes": {"type": "int", "default": 1},
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
        "events": {"type": "str"},
        "asserts": {"type": "list", "elements": "str", "default": []},
        "write": {
            "type": "list",
            "elements": "str",
            "default": [],
            "choices": ["html", "parquet", "vllm"],
        },
        "dest": {"type": "path", "required": True},
        "force": {"type": "bool", "default": False},
    }


def command_line(params: dict[str, Any]) -> list[str]:
    """Return the arguments of the process that does the work."""
    options = {
        "--url": params["url"],
        "--model": params["model"],
        **load_options(params),
        "--duration": params["duration"],
        "--requests": params["requests"],
        "--warmup": params["warmup"],
        "--prompt-tokens": params["prompt_tokens"],
        "--shared-tokens": params["prompts"]["shared_tokens"],
        "--prefix-groups": params["prompts"]["groups"],
        "--zipf": params["prompts"]["zipf"],
        "--turns": params["prompts"]["turns"],
        "--prompt-file": params["prompts"]["file"],
        "--output-tokens": params["output_tokens"],
        "--output-distribution": params["outputs"]["distribution"],
        "--output-range": params["outputs"]["range"],
        "--output-cap": params["outputs"]["cap"],
        "--seed": params["seed"],
        "--provider": params["provider"],
        "--endpoint": params["endpoint"],
        "--processes": params["processes"],
        "--slo-ttft-ms": params["slo"]["ttft_ms"],
        "--slo-latency-ms": params["slo"]["latency_ms"],
        "--slo-target": params["slo"]["target"],
        "--slo-window": params["slo"]["window_s"],
        "--connect-timeout": params["timeouts"]["connect"],
        "--first-byte-timeout": params["timeouts"]["first_byte"],
        "--stall-timeout": params["timeouts"]["stall"],
        "--total-timeout": params["timeouts"]["total"],
        "--drain": params["drain"],
        "--events": params["events"],
        "--out": params["dest"],
        "--api-key-file": params["api_key_file"],
    }
    flags = {
        "--exact": params["prompts"]["exact"],
        "--no-stream": not params["stream"],
        "--force": params["force"],
    }
    # -P: a folder called `loadgen` where the task happens to run is not the package.
    command = [sys.executable, "-P", "-m", "loadgen", "run", "--stop-on-eof"]
    # One word each, so that no value is taken for an option.
    command += [f"{name}={value}" for name, value in options.items() if value is not None]
    command += [f"--assert={each}" for each in params["asserts"]]
    command += [f"--write={kind}" for kind in params["write"]]
    return command + [name for name, wanted in flags.items() if wanted]


def load_options(params: dict[str, Any]) -> dict[str, Any]:
    """Return the options that say where the load comes from."""
    options = {
        "--rate": params["rate"],
        "--curve": params["curve"],
        "--arrivals": params["arrivals"],
        "--burstiness": params["burstiness"],
    }
    if params["bursts"] is not None:
        options["--burst-every"] = params["bursts"]["every"]
        options["--burst-size"] = params["bursts"]["size"]
    if params["closed"] is not None:
        options["--users"] = params["closed"]["users"]
        options["--think"] = params["closed"]["think"]
        options["--thinking"] = params["closed"]["thinking"]
        options["--spawn-rate"] = params["closed"]["spawn_rate"]
    if params["trace"] is not None:
        options["--trace"] = params["trace"]["path"]
        options["--trace-format"] = params["trace"]["format"]
        options["--trace-speed"] = params["trace"]["speed"]
    return options


def main() -> None:
    module = AnsibleModule(
        argument_spec=argument_spec(),
        supports_check_mode=True,
        mutually_exclusive=[LOADS],
        required_one_of=[LOADS, ("duration", "requests", "trace")],
    )
    require(module, "load", LOADGEN_ERROR)
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
    if rc not in (0, EXIT_ASSERTION):
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
    if rc == EXIT_ASSERTION:
        broken = [each for each in summary["assertions"] if not each["held"]]
        words = ", ".join(f"{each['assertion']} (it was {each['observed']})" for each in broken)
        module.fail_json(msg=f"the load broke {words}", summary=summary, broken=broken, **result)
    module.exit_json(summary=summary, **result)


if __name__ == "__main__":
    main()
