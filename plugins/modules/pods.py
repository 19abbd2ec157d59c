#!/usr/bin/python
# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pods
short_description: Make or remove the pods of a lab on one machine
version_added: 0.1.0
description:
  - A pod is a network namespace with one veth on the lab's bridge, and one cgroup. What runs in it is started by others.
  - The pods that are there are written to a file, which the exporter, the faults and the harvest read.
  - V(absent) ends every process of the lab's cgroups and removes every cgroup, network namespace, veth and bridge that the lab made,
    whatever state they are in and whether or not the file is still there.
author: The rcalab.llm authors (@rcalab)
attributes:
  check_mode:
    description: Can run in check mode and tell what would change.
    support: full
  diff_mode:
    description: Returns what was and what is when in diff mode.
    support: none
options:
  lab:
    description: The lab's name, 2 to 10 lower-case letters and digits, which its cgroups and network namespaces carry.
    type: str
    default: rcalab
  state:
    description: Whether the pods should be there.
    type: str
    choices: [present, absent]
    default: present
  path:
    description: The file that lists the pods, C(pods.json).
    type: path
    required: true
  isolation:
    description: V(netns) needs root. With V(none) a pod is its loopback address and a mark in the environment of its processes.
    type: str
    choices: [netns, none]
    default: netns
  bridge:
    description: The lab's own bridge.
    type: str
    default: rcalab0
  address:
    description: The host's address on the bridge; the network is its /24.
    type: str
    default: 10.77.0.1
  pods:
    description: The pods. Needed with O(state=present).
    type: list
    elements: dict
    suboptions:
      name:
        description: The pod's name, 12 characters at most.
        type: str
        required: true
      component:
        description: The component that the pod is, as V(kind/name).
        type: str
        required: true
      address:
        description: Its address.
        type: str
        required: true
"""

EXAMPLES = r"""
- name: Two pods
  rcalab.llm.pods:
    path: /var/lib/rcalab/pods.json
    pods:
      - {name: gateway, component: gateway/nginx, address: 10.77.0.2}
      - {name: replica-0, component: replica/llm-0, address: 10.77.0.20}

- name: Nothing of the lab is left
  rcalab.llm.pods:
    path: /var/lib/rcalab/pods.json
    state: absent
"""

RETURN = r"""
pods:
  description: What was written to the file.
  returned: O(state=present)
  type: list
  elements: dict
ended_processes:
  description: How many processes were ended.
  returned: O(state=absent)
  type: int
"""

import json
import os
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rcalab.llm.plugins.module_utils import _pods as host
from ansible_collections.rcalab.llm.plugins.module_utils.faults import files
from ansible_collections.rcalab.llm.plugins.module_utils.faults.processes import Process


def describe(pod: host.Pod, isolated: bool) -> dict[str, Any]:
    return {
        "name": pod.name,
        "component": pod.component,
        "address": pod.address,
        "netns": pod.netns() if isolated else None,
        "interface": pod.interface() if isolated else None,
        "cgroup": host.cgroup_paths(pod.lab, f"pods/{pod.name}") if isolated else None,
    }


def write_pods(path: Path, content: dict[str, Any], check: bool) -> bool:
    try:
        if json.loads(path.read_text(encoding="utf-8")) == content:
            return False
    except (FileNotFoundError, ValueError):
        pass
    if not check:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_json(path, content)
    return True


def present(module: AnsibleModule) -> dict[str, Any]:
    options, check = module.params, module.check_mode
    lab = options["lab"]
    isolated = options["isolation"] == "netns"
    pods = [host.Pod(lab, **pod) for pod in options["pods"]]
    if long := [pod.name for pod in pods if len(pod.name) > 12]:
        raise host.PodError(f"names longer than 12 characters: {', '.join(long)}")
    changed = False
    if isolated:
        if os.geteuid() != 0:
            raise host.PodError(
                "network namespaces and cgroups need root: become root, or use lab_isolation: none"
            )
        changed |= host.make_bridge(lab, options["bridge"], options["address"], check)
        for name in ("observers", *(f"pods/{pod.name}" for pod in pods)):
            changed |= host.make_cgroup(lab, name, check)
        changed |= host.weigh(lab, "pods", host.PODS_WEIGHT_V1, host.PODS_WEIGHT_V2, check)
        changed |= host.weigh(
            lab, "observers", host.OBSERVERS_WEIGHT_V1, host.OBSERVERS_WEIGHT_V2, check
        )
        for pod in pods:
            changed |= host.make_network(pod, options["bridge"], check)
    content = {
        "format": 1,
        "lab": lab,
        "isolation": options["isolation"],
        "pods": [describe(pod, isolated) for pod in pods],
    }
    changed |= write_pods(Path(options["path"]), content, check)
    return {"changed": changed, "pods": content["pods"]}


def absent(module: AnsibleModule) -> dict[str, Any]:
    check, lab = module.check_mode, module.params["lab"]
    cgroups = host.lab_cgroups(lab)

    def processes() -> set[Process]:
        return host.cgroup_processes(cgroups) | host.marked_processes(lab)

    netns, veths, bridges = host.lab_networks(lab)
    path = Path(module.params["path"])
    changed = bool(cgroups or netns or veths or bridges or path.exists() or processes())
    ended = 0
    if not check:
        host.thaw(cgroups)
        ended = host.end_processes(processes)
        host.remove_cgroups(cgroups)
        for name in [*veths, *bridges]:
            # A veth goes with its bridge's namespace at times.
            if name in host.links():
                host.run("ip", "link", "delete", name)
        for name in netns:
            host.run("ip", "netns", "delete", name)
        path.unlink(missing_ok=True)
    return {"changed": changed, "ended_processes": ended}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "lab": {"type": "str", "default": "rcalab"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "path": {"type": "path", "required": True},
            "isolation": {"type": "str", "choices": ["netns", "none"], "default": "netns"},
            "bridge": {"type": "str", "default": "rcalab0"},
            "address": {"type": "str", "default": "10.77.0.1"},
            "pods": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "name": {"type": "str", "required": True},
                    "component": {"type": "str", "required": True},
                    "address": {"type": "str", "required": True},
                },
            },
        },
        required_if=[("state", "present", ["pods"])],
        supports_check_mode=True,
    )
    try:
        host.check_lab_name(module.params["lab"])
        result = present(module) if module.params["state"] == "present" else absent(module)
    except (host.PodError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
