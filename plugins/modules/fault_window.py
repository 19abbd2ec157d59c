#!/usr/bin/python
# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fault_window
short_description: Do one fault to one pod for a while, and put it back
version_added: 0.1.0
description:
  - Runs the chaos agent of the host, which refuses early, writes the undo to the disk,
    arms a watchdog, gives the dose, verifies its effect at the target, holds it,
    puts everything back, and verifies that too.
  - With O(cluster_file) the target is in a Kubernetes cluster, and the host is the machine that speaks to its API, as a rule the controller.
    Most doses are then given by Chaos Mesh, whose experiments end by themselves should that machine be gone.
  - Blocks for the whole window; use C(async) to do something else meanwhile.
  - Whatever is killed meanwhile, Ansible, this module or the agent, the target is put back
    within 30 seconds after the end of the dose at most. What a fault has ended may take longer to be started again, by Ray or the lab's
    supervisor, as M(rcalab.llm.fault_info) says.
  - Fails where the fault was refused, had no effect, was aborted or was contaminated.
    In the last three cases RV(truth) tells more.
author: The rcalab.llm authors (@rcalab)
attributes:
  check_mode:
    description: Can run in check mode and tell what would change.
    support: full
    details: Goes through the preflight, and never injects.
  diff_mode:
    description: Returns what was and what is when in diff mode.
    support: none
options:
  fault:
    description: The fault's id, as M(rcalab.llm.fault_info) lists it.
    type: str
    required: true
  target:
    description:
      - The component to do it to, one of those in O(pods_file), of the lab beyond its pods, such as V(client/loadgen) and V(service/llm), or of the
        namespace that O(cluster_file) names.
      - M(rcalab.llm.fault_info) says which kinds a fault takes.
    type: str
    required: true
  parameters:
    description: The fault's parameters. V(mechanism) is one of them.
    type: dict
    default: {}
  agent_path:
    description: The chaos agent, as the role C(rcalab.llm.chaos_agent) has installed it.
    type: path
    required: true
  state_dir:
    description: Where the agent keeps lock, journal and undo. One fault at a time is active in it.
    type: path
    required: true
  pods_file:
    description: The file that lists the pods of a lab on this host, C(pods.json).
    type: path
  cluster_file:
    description:
      - The file that describes a lab in a cluster, C(cluster.json), which the role C(rcalab.llm.chaos_agent) writes.
      - Needs the Python package C(kubernetes), and at O(agent_path) the agent for a cluster.
    type: path
  truth_path:
    description: Where to write the ground truth on the host. Its folder must be there.
    type: path
  events_path:
    description:
      - Where to tell C(loadgen) when the window begins and ends, one line of JSON each, so that its figures say which requests fell into it.
      - Its folder must be there.
    type: path
  confirm:
    description: O(target) once more. Needed where a fault acts on more than one pod, as M(rcalab.llm.fault_info) says.
    type: str
  guard:
    description: What ends the window early, with the outcome C(aborted).
    type: dict
    suboptions:
      command:
        description: A program on the host with its arguments. An exit code other than 0, or no end within O(guard.every_s), ends the window.
        type: list
        elements: str
        default: []
      requests:
        description: The C(requests.jsonl) that C(loadgen) is writing on the host.
        type: path
      max_error_ratio:
        description: The window ends when more than this share of the requests that ended within O(guard.window_s) failed.
        type: float
        default: 0.5
      window_s:
        description: Over how many seconds requests are counted.
        type: float
        default: 10.0
      every_s:
        description: How often it is looked at, in seconds.
        type: float
        default: 2.0
seealso:
  - module: rcalab.llm.fault_info
  - module: rcalab.llm.fault_revert
"""

EXAMPLES = r"""
- name: Starve a replica of CPU for 45 seconds
  rcalab.llm.fault_window:
    fault: F01
    target: replica/llm-0
    parameters:
      cpu_limit_cores: 0.2
      duration_s: 45
    agent_path: /var/lib/rcalab/chaos/agent.pyz
    state_dir: /var/lib/rcalab/chaos/state
    pods_file: /var/lib/rcalab/pods.json
    truth_path: /srv/results/run-01/ground_truth.json

- name: Delay all that a replica in a cluster sends
  rcalab.llm.fault_window:
    fault: F06
    target: replica/llm-0
    parameters:
      delay_ms: 200
    agent_path: "{{ chaos_agent_path }}"
    state_dir: "{{ chaos_agent_state_dir }}"
    cluster_file: "{{ chaos_agent_cluster_file }}"
  delegate_to: localhost
"""

RETURN = r"""
truth:
  description: The ground truth; also what O(truth_path) holds.
  returned: when a dose could have been given
  type: dict
  sample:
    fault: F01
    outcome: effective
    reverted_by: controller
"""

import json
import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rcalab.llm.plugins.module_utils._agent import AgentError, call_agent


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "fault": {"type": "str", "required": True},
            "target": {"type": "str", "required": True},
            "parameters": {"type": "dict", "default": {}},
            "agent_path": {"type": "path", "required": True},
            "state_dir": {"type": "path", "required": True},
            "pods_file": {"type": "path"},
            "cluster_file": {"type": "path"},
            "truth_path": {"type": "path"},
            "events_path": {"type": "path"},
            "confirm": {"type": "str"},
            "guard": {
                "type": "dict",
                "options": {
                    "command": {"type": "list", "elements": "str", "default": []},
                    "requests": {"type": "path"},
                    "max_error_ratio": {"type": "float", "default": 0.5},
                    "window_s": {"type": "float", "default": 10.0},
                    "every_s": {"type": "float", "default": 2.0},
                },
            },
        },
        mutually_exclusive=[("pods_file", "cluster_file")],
        required_one_of=[("pods_file", "cluster_file")],
        supports_check_mode=True,
    )
    options = module.params
    named = ("fault", "target", "parameters", "confirm", "guard")
    spec = {name: options[name] for name in named if options[name] is not None}
    arguments = ["run", "--state-dir", options["state_dir"]]
    for option in ("pods", "cluster"):
        if options[f"{option}_file"] is not None:
            arguments += [f"--{option}", options[f"{option}_file"]]
    # The death of this process ends the fault, long before its time to live.
    arguments += ["--parent", str(os.getpid())]
    if options["truth_path"] is not None:
        arguments += ["--truth", options["truth_path"]]
    if options["events_path"] is not None:
        arguments += ["--events", options["events_path"]]
    if module.check_mode:
        arguments.append("--check")
    try:
        done = call_agent(module, options["agent_path"], arguments, json.dumps(spec))
    except AgentError as error:
        module.fail_json(msg=str(error))
    name = f"{options['fault']} on {options['target']}"
    if not done.output and done.code:
        cause = (
            done.complaint or f"the agent ended with {done.code}; its watchdog puts the target back"
        )
        module.fail_json(msg=f"{name}: {cause}")
    if module.check_mode:
        module.exit_json(changed=True, msg=f"{name}: preflight passed; check mode injects nothing")
    truth = json.loads(done.output)
    if done.code:
        reason = "; ".join(truth["messages"])
        module.fail_json(msg=f"{name}: {truth['outcome']}: {reason}", changed=True, truth=truth)
    module.exit_json(changed=True, truth=truth)


if __name__ == "__main__":
    main()
