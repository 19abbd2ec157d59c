# SPDX-License-Identifier: Apache-2.0
"""Run this checkout's playbooks and look at what they print."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_TIMEOUT_S = 900


def start_playbook(name: str, *options: str, **variables: Any) -> subprocess.Popen[str]:
    """Start a playbook in a process group of its own."""
    return subprocess.Popen(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            str(ROOT / "playbooks" / f"{name}.yml"),
            *options,
            "--extra-vars",
            json.dumps(variables),
        ],
        cwd=ROOT,
        env=os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def play(name: str, *options: str, **variables: Any) -> tuple[int, str]:
    """Run a playbook to its end; return its exit status and what it printed."""
    process = start_playbook(name, *options, **variables)
    output, _ = process.communicate(timeout=_TIMEOUT_S)
    return process.returncode, output
