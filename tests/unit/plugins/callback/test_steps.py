# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A person reads one line a step, and a failure once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.rcalab.llm.plugins.callback import steps

PLAYBOOK = """
- name: Try the steps
  hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - name: Change something
      ansible.builtin.command: {argv: ["true"]}
    - name: Change nothing
      ansible.builtin.assert: {that: true}
    - name: Change some
      ansible.builtin.command: {argv: ["test", "{{ item }}"]}
      loop: [one, two]
      changed_when: item == 'two'
      loop_control: {label: "item {{ item }}"}
    - name: Tell
      ansible.builtin.debug: {msg: "first line\\nsecond line"}
    - name: Refuse
      ansible.builtin.assert: {that: false, fail_msg: "Set this to that."}
"""


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What ansible-playbook prints with the callback, without colour."""
    tmp_path = tmp_path_factory.mktemp("playbook")
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(PLAYBOOK, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", str(playbook)],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_COLLECTIONS_PATH": str(Path(steps.__file__).parents[5]),
            "ANSIBLE_STDOUT_CALLBACK": "rcalab.llm.steps",
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    return (done.stdout + done.stderr).splitlines()


def test_a_run_reads_as_its_steps(lines: list[str]) -> None:
    told = [match[1] for line in lines if (match := re.match(r"\d\d:\d\d  (.*)", line))]
    # What changed nothing is told only where it took a second, as on a busy machine.
    told = [line for line in told if not re.match(r"Change nothing  \([^0]", line)]
    assert [re.sub(r"  \(\d+ s\)$", "", line) for line in told] == [
        "== Try the steps",
        "Change something: changed",
        "Change some [item two]: changed",
        "Refuse: FAILED",
        "localhost: ok=4 changed=2 failures=1 unreachable=0",
    ]
    assert "  second line" in lines


def test_a_failure_is_told_once_and_without_a_traceback(lines: list[str]) -> None:
    text = "\n".join(lines)
    assert text.count("Set this to that.") == 1
    assert "Traceback" not in text
