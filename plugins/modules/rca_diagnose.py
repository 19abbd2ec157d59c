#!/usr/bin/python
# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rca_diagnose
short_description: Rank the likely root causes of a case
version_added: 0.1.0
description:
  - Asks each method what broke and writes its answer, with the evidence, into C(diagnosis/) of the
    case, by way of the Python package C(rca_engine).
  - The methods do not see the case's ground truth; where there is one, the answers are compared
    with it afterwards.
  - A method that fails is reported with its reason and has no ranking. The module fails only if all
    of them do.
author: The rcalab.llm authors (@rcalab)
requirements:
  - rcalab-llm[rca]
attributes:
  check_mode:
    description: Can run in check mode and tell what would change.
    support: full
    details: The methods run and their answers are returned, but nothing is written.
  diff_mode:
    description: Returns what was and what is when in diff mode.
    support: none
options:
  case:
    description: Directory of the case.
    type: path
    required: true
  methods:
    description: Methods to ask, or V(all); BARO and N-Sigma if empty. C(rca-engine methods) lists them.
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
    description: All randomness of the methods follows from it.
    type: int
    default: 0
  budget:
    description: Seconds that each method may take. An answer that took longer is marked degraded.
    type: float
  report:
    description: Whether to write C(report.html) into the case.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Rank the root causes and write the report
  rcalab.llm.rca_diagnose:
    case: results/first/cpu/run-01
    methods: [baro, nsigma]
    report: true
"""

RETURN = r"""
diagnoses:
  description: By method, its answer in short; the whole of it is in the file at C(path).
  returned: success
  type: dict
  sample:
    baro:
      status: ok
      reason: null
      ranking: [replica/llm-0, head/ray, gateway/nginx]
      rank_of_truth: 1
      path: results/first/cpu/run-01/diagnosis/baro.json
truth:
  description: Components that are truly guilty, none if nobody knows; empty for a sham.
  returned: success
  type: list
  elements: str
table:
  description: The rankings beside the truth, line by line, for people.
  returned: success
  type: list
  elements: str
report:
  description: Path of the report.
  returned: when O(report) and not in check mode
  type: str
"""

import traceback
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rcalab.llm.plugins.module_utils._packages import require

try:
    from rca_engine import methods as rca_methods
    from rca_engine.case import Case
    from rca_engine.diagnosis import Diagnosis, diagnose, ranking_lines
    from rca_engine.errors import RcaEngineError
    from rca_engine.report import write_report

    RCA_ENGINE_ERROR = None
except ImportError:
    RCA_ENGINE_ERROR = traceback.format_exc()


def argument_spec() -> dict[str, Any]:
    return {
        "case": {"type": "path", "required": True},
        "methods": {"type": "list", "elements": "str", "default": []},
        "time": {"type": "str", "choices": ["alert", "none", "oracle"], "default": "alert"},
        "seed": {"type": "int", "default": 0},
        "budget": {"type": "float"},
        "report": {"type": "bool", "default": False},
    }


def answer(diagnosis: Diagnosis, case: Case) -> dict[str, Any]:
    """Return a diagnosis in short."""
    return {
        "status": diagnosis.status,
        "reason": diagnosis.reason,
        "ranking": list(diagnosis.ranking),
        "rank_of_truth": diagnosis.rank_of(case.truth) if case.truth else None,
        "path": str(case.path / "diagnosis" / f"{diagnosis.method}.json"),
    }


def run(params: dict[str, Any], *, write: bool) -> dict[str, Any]:
    """Ask the methods and return the module's result."""
    case = Case.load(params["case"])
    diagnoses = [
        diagnose(case, name, time=params["time"], seed=params["seed"], budget_s=params["budget"])
        for name in rca_methods.choose(params["methods"])
    ]
    result = {
        "changed": True,
        "diagnoses": {each.method: answer(each, case) for each in diagnoses},
        "truth": sorted(case.truth.root_causes) if case.truth else None,
        "table": ranking_lines(case, diagnoses),
    }
    if write:
        for each in diagnoses:
            each.write(case.path)
        if params["report"]:
            result["report"] = str(write_report(case.path))
    return result


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    require(module, "rca", RCA_ENGINE_ERROR)
    try:
        result = run(module.params, write=not module.check_mode)
    except RcaEngineError as error:
        module.fail_json(msg=str(error))
    failed = [
        f"{name}: {each['reason']}"
        for name, each in result["diagnoses"].items()
        if each["status"] == "failed"
    ]
    if failed and len(failed) == len(result["diagnoses"]):
        module.fail_json(msg=f"every method failed. {'; '.join(failed)}", **result)
    for reason in failed:
        module.warn(f"method failed: {reason}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
