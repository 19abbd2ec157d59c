#!/usr/bin/python
# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: experiment_run
short_description: Begin a run of an experiment, and judge whether what it recorded counts
version_added: 0.1.0
description:
  - V(begin) makes the run's folder. What an earlier, stopped attempt left there goes to C(quarantine) first, and a load of this experiment
    that still goes on, because only its controller was stopped, is ended.
  - V(judge) looks at the records of the load and the ground truth. A run is contaminated where the fault was
    not effective or was disturbed, or where the client's SLO was broken before the fault; then something
    else did what the run shows. It goes to C(quarantine), with the reason, and no case may be made of it.
  - A sham's SLO may be broken at any time; that is what it is there to show.
  - V(discard) sets a run aside of which no case could be made.
author: The rcalab.llm authors (@rcalab)
attributes:
  check_mode:
    description: Can run in check mode and tell what would change.
    support: none
  diff_mode:
    description: Returns what was and what is when in diff mode.
    support: none
options:
  folder:
    description: The folder of the experiment's results, with its C(plan.json).
    type: path
    required: true
  run:
    description: The run's id in the plan.
    type: str
    required: true
  step:
    description: Which step.
    type: str
    choices: [begin, judge, discard]
    required: true
  attempt:
    description: The number of this attempt, for people.
    type: int
    default: 1
  reason:
    description: For V(discard), why the run does not count.
    type: str
  in_flight_s:
    description:
      - For V(judge), the longest time in seconds that a good request may take. A breach that comes no earlier
        than this before the fault may be the fault's doing.
    type: float
    default: 0
seealso:
  - module: rcalab.llm.experiment_plan
"""

EXAMPLES = r"""
- name: Make room for a run
  rcalab.llm.experiment_run:
    folder: results/first
    run: cpu-starvation/run-01
    step: begin

- name: See whether it counts
  rcalab.llm.experiment_run:
    folder: results/first
    run: cpu-starvation/run-01
    step: judge
    in_flight_s: 4
  register: judged
"""

RETURN = r"""
message:
  description: What is begun, how much is left and until when; or the judgement.
  returned: success
  type: str
contaminated:
  description: Whether the run does not count.
  returned: with O(step=judge) and O(step=discard)
  type: bool
reason:
  description: Why it does not count, none if it does.
  returned: with O(step=judge) and O(step=discard)
  type: str
set_aside:
  description: Where a contaminated or an earlier, stopped attempt lies now, none if there was none.
  returned: success
  type: str
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rcalab.llm.plugins.module_utils.experiments.errors import ExperimentError
from ansible_collections.rcalab.llm.plugins.module_utils.experiments.folder import (
    Attempt,
    Folder,
    Kind,
)
from ansible_collections.rcalab.llm.plugins.module_utils.experiments.loads import end_loads
from ansible_collections.rcalab.llm.plugins.module_utils.experiments.plan import Plan, Run
from ansible_collections.rcalab.llm.plugins.module_utils.experiments.progress import Progress


def place(attempt: Attempt | None) -> str | None:
    return None if attempt is None else str(attempt.path)


def begin(folder: Folder, plan: Plan, run: Run, attempt: int) -> dict[str, Any]:
    # What was whole when the experiment began is whole still: not every file is read each time.
    message = Progress.of(folder, plan, hashed=False).before(run, attempt)
    end_loads(folder.root)
    aside = folder.begin(run)
    if aside is not None:
        message += f"\nAn earlier attempt does not count: {aside.reason}. It is in {aside.path}."
    return {"message": message, "set_aside": place(aside)}


def judge(folder: Folder, run: Run, in_flight_s: float) -> dict[str, Any]:
    reason = folder.contamination(run, in_flight_s)
    if reason is not None:
        return discard(folder, run, "contaminated", reason)
    message = f"{run.id} counts"
    return {"message": message, "set_aside": None, "contaminated": False, "reason": None}


def discard(folder: Folder, run: Run, kind: Kind, reason: str) -> dict[str, Any]:
    aside = folder.set_aside(run, kind, reason)
    message = f"{run.id} does not count: {reason}. It is no case; its records are in {aside.path}."
    return {"message": message, "set_aside": place(aside), "contaminated": True, "reason": reason}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "run": {"type": "str", "required": True},
            "step": {"type": "str", "choices": ["begin", "judge", "discard"], "required": True},
            "reason": {"type": "str"},
            "attempt": {"type": "int", "default": 1},
            "in_flight_s": {"type": "float", "default": 0},
        },
        required_if=[("step", "discard", ["reason"])],
    )
    options = module.params
    folder = Folder(Path(options["folder"]))
    try:
        plan = folder.plan()
        if plan is None:
            raise ExperimentError(f"{folder.root} has no plan: experiment_plan makes it")
        run = plan.find(options["run"])
        if options["step"] == "begin":
            result = begin(folder, plan, run, options["attempt"])
        elif options["step"] == "judge":
            result = judge(folder, run, options["in_flight_s"])
        else:
            result = discard(folder, run, "failed", options["reason"])
    except (ExperimentError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True, **result)


if __name__ == "__main__":
    main()
