#!/usr/bin/python
# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rca_evaluate
short_description: Evaluate root-cause methods over many cases
version_added: 0.1.0
description:
  - Asks methods about every case of a data set and says how right they were, beside chance and the best constant guess, by way of the
    Python package C(rca_engine). Writes C(leaderboard.html), C(summary.json) and the tables C(runs) and C(summary) (Parquet, CSV)
    into O(out).
  - What was computed before is not computed again, so that a stopped evaluation goes on where it was.
author: The rcalab.llm authors (@rcalab)
requirements:
  - rcalab-llm[rca]
attributes:
  check_mode:
    description: Can run in check mode and tell what would change.
    support: full
    details: Only the names of the methods are checked; nothing is written.
  diff_mode:
    description: Returns what was and what is when in diff mode.
    support: none
options:
  dataset:
    description: The folder of the cases, such as that of an experiment.
    type: path
    required: true
  out:
    description: The folder for the results.
    type: path
    required: true
  format:
    description: The layout of the data set, as C(rca-engine evaluate --help) lists them.
    type: str
    default: case
  methods:
    description: The methods to ask; all if empty or V(all). C(rca-engine methods) lists them.
    type: list
    elements: str
    default: []
  time:
    description:
      - What the methods are told of the time of the incident.
      - V(alert) is the client's first breach of its SLO, V(none) leaves them to find it.
      - V(oracle) is the fault's true time, only for comparison with published tables.
    type: str
    choices: [alert, none, oracle]
    default: alert
  seed:
    description: All randomness of the methods and of the intervals follows from it.
    type: int
    default: 0
  budget:
    description: Seconds that each answer may take. One that took longer is marked degraded.
    type: float
  workers:
    description: Answers that are computed at a time; by default as many as there are CPUs.
    type: int
seealso:
  - module: rcalab.llm.rca_diagnose
  - module: rcalab.llm.rca_index
"""

EXAMPLES = r"""
- name: Evaluate every method on an experiment
  rcalab.llm.rca_evaluate:
    dataset: results/first
    out: results/first/evaluation
"""

RETURN = r"""
leaderboard:
  description: Path of the page.
  returned: success
  type: str
methods:
  description: The methods that were asked, or in check mode would be.
  returned: success
  type: list
  elements: str
failures:
  description: Answers that failed; they count 0. Not in check mode.
  returned: success
  type: int
left_out:
  description: By case, why it was not scored. Not in check mode.
  returned: success
  type: dict
table:
  description: For each system, the methods by Avg@5 of the component, beside chance, line by line, for people. Not in check mode.
  returned: success
  type: list
  elements: str
"""

import traceback
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rcalab.llm.plugins.module_utils._packages import require

try:
    from rca_engine import methods as rca_methods
    from rca_engine.errors import RcaEngineError
    from rca_engine.evaluation.evaluate import evaluate
    from rca_engine.evaluation.plan import Options
    from rca_engine.evaluation.text import summary_lines

    RCA_ENGINE_ERROR = None
except ImportError:
    RCA_ENGINE_ERROR = traceback.format_exc()


def argument_spec() -> dict[str, Any]:
    return {
        "dataset": {"type": "path", "required": True},
        "out": {"type": "path", "required": True},
        "format": {"type": "str", "default": "case"},
        "methods": {"type": "list", "elements": "str", "default": []},
        "time": {"type": "str", "choices": ["alert", "none", "oracle"], "default": "alert"},
        "seed": {"type": "int", "default": 0},
        "budget": {"type": "float"},
        "workers": {"type": "int"},
    }


def run(params: dict[str, Any], chosen: list[str]) -> dict[str, Any]:
    """Evaluate and return the module's result."""
    evaluation = evaluate(
        params["dataset"],
        params["out"],
        format=params["format"],
        methods=chosen,
        options=Options(time=params["time"], seed=params["seed"], budget_s=params["budget"]),
        workers=params["workers"],
    )
    evaluation.write(params["out"])
    return {
        "failures": len(evaluation.failures),
        "left_out": dict(evaluation.left_out),
        "table": summary_lines(evaluation.summary),
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    require(module, "rca", RCA_ENGINE_ERROR)
    leaderboard = str(Path(module.params["out"]) / "leaderboard.html")
    try:
        chosen = rca_methods.choose(module.params["methods"] or ["all"])
        result = {} if module.check_mode else run(module.params, chosen)
    except RcaEngineError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True, leaderboard=leaderboard, methods=chosen, **result)


if __name__ == "__main__":
    main()
