#!/usr/bin/python
# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fault_revert
short_description: Put back whatever faults have left on a host
version_added: 0.1.0
description:
  - Carries out every undo that is left in the state directory of the chaos agent.
    A fault that is active is ended.
  - Needs neither the agent nor its catalogue, only the state directory.
    Without one there is nothing to put back.
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
    required: true
seealso:
  - module: rcalab.llm.fault_window
"""

EXAMPLES = r"""
- name: No fault is left
  rcalab.llm.fault_revert:
    state_dir: /var/lib/rcalab/chaos/state
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
from ansible_collections.rcalab.llm.plugins.module_utils.faults.errors import FaultError
from ansible_collections.rcalab.llm.plugins.module_utils.faults.recovery import revert_all
from ansible_collections.rcalab.llm.plugins.module_utils.faults.state import StateDir


def main() -> None:
    module = AnsibleModule(
        argument_spec={"state_dir": {"type": "path", "required": True}}, supports_check_mode=True
    )
    state = StateDir(Path(module.params["state_dir"]))
    try:
        reverted = (
            [window.id for window in state.pending()] if module.check_mode else revert_all(state)
        )
    except (FaultError, OSError) as error:
        module.fail_json(msg=f"not everything could be put back: {error}")
    module.exit_json(changed=bool(reverted), reverted=reverted)


if __name__ == "__main__":
    main()
