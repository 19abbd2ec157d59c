#!/usr/bin/python
# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fault_info
short_description: List the catalogue of faults, and what they can be done to
version_added: 0.1.0
description:
  - Asks the chaos agent of the host which faults it can do, with their parameters and bounds.
    The agent for a cluster has a catalogue of its own, with the same ids.
author: The rcalab.llm authors (@rcalab)
attributes:
  check_mode:
    description: Can run in check mode and tell what would change.
    support: full
  diff_mode:
    description: Returns what was and what is when in diff mode.
    support: none
options:
  agent_path:
    description: The chaos agent, as the role C(rcalab.llm.chaos_agent) has installed it.
    type: path
    required: true
  pods_file:
    description: The C(pods.json) of a lab on the host, whose components are listed too.
    type: path
  cluster_file:
    description: The C(cluster.json) of a lab in a cluster, whose components are listed too.
    type: path
seealso:
  - module: rcalab.llm.fault_window
"""

EXAMPLES = r"""
- name: What faults are there
  rcalab.llm.fault_info:
    agent_path: /var/lib/rcalab/chaos/agent.pyz
  register: catalogue

- name: What of the cluster's lab may be broken now
  rcalab.llm.fault_info:
    agent_path: "{{ chaos_agent_path }}"
    cluster_file: "{{ chaos_agent_cluster_file }}"
  register: catalogue
"""

RETURN = r"""
components:
  description: By component, what keeps it from being a target now, none for nothing.
  returned: with O(pods_file) or O(cluster_file)
  type: dict
  sample:
    head/ray: null
    replica/llm-0: pod llm-llm-0-worker-x7k2p is not ready
faults:
  description: One entry a fault.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: What M(rcalab.llm.fault_window) knows it by.
      type: str
    name:
      description: Its name.
      type: str
    platform:
      description: Where the agent does it, V(host) or V(kubernetes).
      type: str
    mechanisms:
      description: The ways to do it. The value is the isolation of the lab for which one is the default.
      type: dict
    parameters:
      description: Its parameters, each with default and bounds.
      type: list
      elements: dict
"""

import json

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rcalab.llm.plugins.module_utils._agent import AgentError, call_agent


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "agent_path": {"type": "path", "required": True},
            "pods_file": {"type": "path"},
            "cluster_file": {"type": "path"},
        },
        mutually_exclusive=[("pods_file", "cluster_file")],
        supports_check_mode=True,
    )
    asked = {"faults": ["list", "--format", "json"]}
    for option in ("pods", "cluster"):
        if (path := module.params[f"{option}_file"]) is not None:
            asked["components"] = ["components", f"--{option}", path]
    told = {}
    for what, arguments in asked.items():
        try:
            done = call_agent(module, module.params["agent_path"], arguments)
        except AgentError as error:
            module.fail_json(msg=str(error))
        if done.code:
            module.fail_json(msg=f"the agent can't list its {what}: {done.complaint}")
        told[what] = json.loads(done.output)
    module.exit_json(changed=False, **told)


if __name__ == "__main__":
    main()
