#!/usr/bin/python
# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fault_revert
short_description: Put back whatever faults have left on a host or in a cluster
version_added: 0.1.0
description:
  - Carries out every undo that is left in the state directory of the chaos agent.
    A fault that is active is ended.
  - Needs neither the agent nor its catalogue, only the state directory.
    Without one there is nothing to put back.
  - With O(kubeconfig) it deletes all that faults have made in the cluster, known by the label C(rcalab.llm/window), and gives back what they have
    changed, as the lock in the cluster tells it. No file of the machine that opened the window is needed.
    It waits until the objects are gone, and fails if one stays.
author: The rcalab.llm authors (@rcalab)
attributes:
  check_mode:
    description: Can run in check mode and tell what would change.
    support: full
  diff_mode:
    description: Returns what was and what is when in diff mode.
    support: none
options:
  state_dir:
    description: Where the agent keeps lock, journal and undo.
    type: path
  cluster_file:
    description:
      - The C(cluster.json) that M(rcalab.llm.fault_window) takes, instead of O(kubeconfig), O(context) and O(namespace).
    type: path
  kubeconfig:
    description: The kubeconfig of the cluster to put back. Needs the Python package C(kubernetes).
    type: path
  context:
    description: The kubeconfig's context. The current one by default.
    type: str
  namespace:
    description: The namespace to put back. All of them by default.
    type: str
    default: ""
seealso:
  - module: rcalab.llm.fault_window
"""

EXAMPLES = r"""
- name: No fault is left
  rcalab.llm.fault_revert:
    state_dir: /var/lib/rcalab/chaos/state

- name: No fault is left in the cluster
  rcalab.llm.fault_revert:
    kubeconfig: ~/.kube/config
    namespace: llm
  delegate_to: localhost
"""

RETURN = r"""
reverted:
  description: The windows that were put back, or would be.
  returned: success
  type: list
  elements: str
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rcalab.llm.plugins.module_utils.faults import recovery, undo
from ansible_collections.rcalab.llm.plugins.module_utils.faults.errors import FaultError
from ansible_collections.rcalab.llm.plugins.module_utils.faults.state import StateDir
from ansible_collections.rcalab.llm.plugins.module_utils.kubernetes_faults import (
    recovery as cluster_recovery,
)
from ansible_collections.rcalab.llm.plugins.module_utils.kubernetes_faults.api import connect
from ansible_collections.rcalab.llm.plugins.module_utils.kubernetes_faults.cluster import (
    load_cluster,
)
from ansible_collections.rcalab.llm.plugins.module_utils.kubernetes_faults.undo_actions import (
    ACTIONS,
)


def _on_host(state: StateDir, check_mode: bool) -> list[str]:
    undo.know(*ACTIONS)
    return [each.id for each in state.pending()] if check_mode else recovery.revert_all(state)


def _in_cluster(
    kubeconfig: str, context: str | None, namespace: str, check_mode: bool
) -> list[str]:
    api = connect(kubeconfig, context)
    if check_mode:
        return cluster_recovery.windows(cluster_recovery.left(api, namespace))
    return cluster_recovery.revert_all(api, namespace)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state_dir": {"type": "path"},
            "cluster_file": {"type": "path"},
            "kubeconfig": {"type": "path"},
            "context": {"type": "str"},
            "namespace": {"type": "str", "default": ""},
        },
        mutually_exclusive=[("cluster_file", each) for each in ("kubeconfig", "context")],
        required_one_of=[("state_dir", "cluster_file", "kubeconfig")],
        supports_check_mode=True,
    )
    options, reverted = module.params, []
    try:
        if options["state_dir"] is not None:
            reverted += _on_host(StateDir(Path(options["state_dir"])), module.check_mode)
        if options["cluster_file"] is not None:
            lab = load_cluster(Path(options["cluster_file"]))
            reverted += _in_cluster(lab.kubeconfig, lab.context, lab.namespace, module.check_mode)
        if options["kubeconfig"] is not None:
            asked = (options["kubeconfig"], options["context"], options["namespace"])
            reverted += _in_cluster(*asked, module.check_mode)
    except (FaultError, OSError) as error:
        module.fail_json(msg=f"not everything could be put back: {error}")
    module.exit_json(changed=bool(reverted), reverted=reverted)


if __name__ == "__main__":
    main()
