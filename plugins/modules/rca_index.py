#!/usr/bin/python
# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rca_index
short_description: Write one page over all runs of an experiment
version_added: 0.1.0
description:
  - Writes C(index.html) into the experiment's folder, by way of the Python package C(rca_engine). It has a row for each run, with its
    truth, its outcome, its alert and the component that each method named first, and a link to the run's report.
  - Shams, runs without a fault, planned runs that have no case and attempts that do not count stand apart.
author: The rcalab.llm authors (@rcalab)
requirements:
  - rcalab-llm[rca]
attributes:
  check_mode:
    description: Can run in check mode and tell what would change.
    support: full
    details: Nothing is read and nothing is written.
  diff_mode:
    description: Returns what was and what is when in diff mode.
    support: none
options:
  folder:
    description: The experiment's folder, C(RESULTS/EXPERIMENT).
    type: path
    required: true
seealso:
  - module: rcalab.llm.rca_evaluate
"""

EXAMPLES = r"""
- name: Write the page over all runs
  rcalab.llm.rca_index:
    folder: results/first
"""

RETURN = r"""
index:
  description: Path of the page.
  returned: success
  type: str
"""

import traceback
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rcalab.llm.plugins.module_utils._packages import require

try:
    from rca_engine.errors import RcaEngineError
    from rca_engine.report import write_index

    RCA_ENGINE_ERROR = None
except ImportError:
    RCA_ENGINE_ERROR = traceback.format_exc()


def main() -> None:
    module = AnsibleModule(
        argument_spec={"folder": {"type": "path", "required": True}}, supports_check_mode=True
    )
    require(module, "rca", RCA_ENGINE_ERROR)
    folder = Path(module.params["folder"])
    if module.check_mode:
        module.exit_json(changed=True, index=str(folder / "index.html"))
    try:
        module.exit_json(changed=True, index=str(write_index(folder)))
    except RcaEngineError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
