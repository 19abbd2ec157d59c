# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A load that outlived its controller is ended, and no other process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.rcalab.llm.plugins.module_utils.experiments.loads import end_loads

# Stands in for loadgen: it has loadgen's words on its command line, and says when it runs.
IDLE = "import sys, time; print('up', flush=True); time.sleep(60)"

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def process(*words: str, cwd: Path | None = None) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-c", IDLE, *words], cwd=cwd, stdout=subprocess.PIPE, text=True
        )
        started.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        return child

    yield process
    for child in started:
        child.kill()
        child.communicate()


def test_loads_below_the_folder_are_ended(start: Start, tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    mine = start("loadgen", "run", f"--out={tmp_path}/first/cpu/run-01/load")
    relative = start("loadgen", "run", "--out=first/cpu/run-02/load", cwd=tmp_path)
    other = start("loadgen", "run", f"--out={tmp_path}/second/cpu/run-01/load")
    reader = start("less", f"--out={tmp_path}/first/cpu/run-01/load")

    assert end_loads(tmp_path / "first") == 2

    assert mine.wait() != 0
    assert relative.wait() != 0
    assert other.poll() is None
    assert reader.poll() is None


def test_no_load_is_nothing_to_do(tmp_path: Path) -> None:
    assert end_loads(tmp_path) == 0
