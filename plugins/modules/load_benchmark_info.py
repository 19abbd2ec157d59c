#!/usr/bin/python
# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: load_benchmark_info
short_description: Read what a load has left
version_added: 0.1.0
description:
  - Says whether the load that M(rcalab.llm.load_benchmark) put on a service is finished, and with
    which figures, or how many requests have ended so far.
  - It needs no package; C(loadgen report) shows more of a run.
author: The rcalab.llm authors (@rcalab)
attributes:
  check_mode:
    description: Can run in check mode and tell what would change.
    support: full
  diff_mode:
    description: Returns what was and what is when in diff mode.
    support: none
options:
  dest:
    description: Folder of the results, as the load was given it.
    type: path
    required: true
seealso:
  - module: rcalab.llm.load_benchmark
"""

EXAMPLES = r"""
- name: How did the load go
  rcalab.llm.load_benchmark_info:
    dest: results/first/cpu/run-01/load
  register: load

- name: Nine of ten users must have been served in time
  ansible.builtin.assert:
    that:
      - load.finished
      - load.summary.slo.attainment >= 0.9

- name: Wait until a load that runs in the background has had its first answers
  rcalab.llm.load_benchmark_info:
    dest: results/first/cpu/run-02/load
  register: load
  until: load.records > 0
  retries: 30
  delay: 1
"""

RETURN = r"""
finished:
  description: Whether the load came to its end, of itself or because somebody ended it.
  returned: success
  type: bool
summary:
  description: The figures of a finished load, as in C(summary.json), else V(null).
  returned: success
  type: dict
records:
  description: Requests that have ended, warm-up included.
  returned: success
  type: int
requests_path:
  description: The record of each request, JSON Lines.
  returned: success
  type: str
summary_path:
  description: The file of RV(summary).
  returned: success
  type: str
"""

import json
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

_CHUNK = 1 << 20


def read_summary(path: Path) -> dict[str, Any] | None:
    """Return the figures, if the load is finished; raise ValueError if the file is no summary."""
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if not isinstance(summary, dict) or summary.get("format") != 1:
        raise ValueError("it is no summary of format 1")
    return summary


def count_lines(path: Path) -> int:
    """Return how many whole lines a file has, none where it is missing."""
    try:
        with path.open("rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(_CHUNK), b""))
    except FileNotFoundError:
        return 0


def main() -> None:
    module = AnsibleModule(
        argument_spec={"dest": {"type": "path", "required": True}}, supports_check_mode=True
    )
    dest = Path(module.params["dest"])
    requests_path, summary_path = dest / "requests.jsonl", dest / "summary.json"
    if not dest.is_dir():
        module.fail_json(msg=f"there is no folder {dest}: give the dest of a load_benchmark")
    try:
        summary = read_summary(summary_path)
        records = count_lines(requests_path)
    except (OSError, ValueError) as error:
        module.fail_json(msg=f"can't read what the load left in {dest}: {error}")
    module.exit_json(
        changed=False,
        finished=summary is not None,
        summary=summary,
        records=records,
        requests_path=str(requests_path),
        summary_path=str(summary_path),
    )


if __name__ == "__main__":
    main()
