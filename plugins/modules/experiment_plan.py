#!/usr/bin/python
# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: experiment_plan
short_description: Keep the plan of an experiment beside its results, and say what of it is done
version_added: 0.1.0
description:
  - Writes C(plan.json) the first time. Afterwards the same plan must be given again, or one that goes on
    where it ends; another one is refused, with the first thing in which they differ.
  - Looks at every run. One is done where its folder holds a complete case, each file as the manifest has
    it, that the methods have diagnosed. A run that was stopped halfway is not.
author: The rcalab.llm authors (@rcalab)
attributes:
  check_mode:
    description: Can run in check mode and tell what would change.
    support: full
  diff_mode:
    description: Returns what was and what is when in diff mode.
    support: none
options:
  folder:
    description: The folder of the experiment's results; made where it is missing.
    type: path
    required: true
  plan:
    description: The plan, as the lookup C(rcalab.llm.suite_plan) makes it.
    type: dict
    required: true
  methods:
    description: The methods that must have diagnosed a run.
    type: list
    elements: str
    default: []
seealso:
  - module: rcalab.llm.experiment_run
"""

EXAMPLES = r"""
- name: What is there to do
  rcalab.llm.experiment_plan:
    folder: results/first
    plan: "{{ plan }}"
  register: progress
"""

RETURN = r"""
runs:
  description: The runs of the plan in their order, each with its C(state).
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Its folder below that of the experiment.
      type: str
    state:
      description:
        - V(todo), V(half) (it was stopped, and will be done again), V(undiagnosed) (it has its case), or
          V(done).
      type: str
seconds_left:
  description: About how long the runs without a case take, by what those with one have taken.
  returned: success
  type: float
lines:
  description: The plan as a table, what is not run and why, and a summary, for people.
  returned: success
  type: list
  elements: str
"""

from dataclasses import asdict
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rcalab.llm.plugins.module_utils.experiments.errors import ExperimentError
from ansible_collections.rcalab.llm.plugins.module_utils.experiments.folder import Folder
from ansible_collections.rcalab.llm.plugins.module_utils.experiments.plan import Plan
from ansible_collections.rcalab.llm.plugins.module_utils.experiments.progress import Progress, table


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "plan": {"type": "dict", "required": True},
            "methods": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    folder = Folder(Path(module.params["folder"]))
    try:
        plan = Plan.from_json(module.params["plan"])
        changed = folder.adopt(plan, write=not module.check_mode)
        progress = Progress.of(folder, plan, module.params["methods"])
    except (ExperimentError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=changed,
        runs=[{**asdict(run), "state": progress.states[run.id]} for run in plan.runs],
        seconds_left=progress.seconds_left,
        lines=[*table(progress), *plan.notes, progress.summary()],
    )


if __name__ == "__main__":
    main()
