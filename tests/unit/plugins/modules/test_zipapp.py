# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A package becomes one file, and changes only when the package does."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.rcalab.llm.plugins.modules import zipapp

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "hello"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "cli.py").write_text("def entry():\n    print('hello')\n")
    return folder


@pytest.fixture
def run(package: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(**options: object) -> dict[str, Any]:
        arguments = {
            "package": str(package),
            "entry_point": "hello.cli:entry",
            "dest": str(package.parent / "bin" / "hello.pyz"),
            **options,
        }
        with patch_module_args(arguments), pytest.raises(SystemExit):
            zipapp.main()
        return json.loads(capsys.readouterr().out)

    return call


def test_it_runs_and_is_built_once(run: Run, package: Path) -> None:
    changes = [run()["changed"], run()["changed"]]
    (package / "cli.py").touch()
    (package / "__pycache__").mkdir(exist_ok=True)
    (package / "__pycache__" / "cli.pyc").touch()
    changes.append(run()["changed"])

    assert changes == [True, False, False]
    command = [sys.executable, str(package.parent / "bin" / "hello.pyz")]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"hello\n"


def test_check_mode_writes_nothing(run: Run, package: Path) -> None:
    assert run(_ansible_check_mode=True)["changed"]
    assert not (package.parent / "bin").exists()


def test_a_wrong_entry_point_fails_with_the_reason(run: Run) -> None:
    assert "is no function of hello" in run(entry_point="os:system")["msg"]


def test_of_a_package_in_parts_only_the_needed_ones_are_in_it(run: Run, package: Path) -> None:
    (package / "cli.py").write_text(
        "from . import said\nfrom .parts.one import ONE\n\n"
        "def entry():\n    print(said.TEXT, ONE)\n"
    )
    (package / "said.py").write_text("TEXT = 'hello'\n")
    (package / "other.py").write_text("from .said import TEXT\n")
    (package / "parts").mkdir()
    (package / "parts" / "__init__.py").touch()
    (package / "parts" / "one.py").write_text("ONE = 1\n")
    (package / "parts" / "two.py").write_text("TWO = 2\n")

    assert run(whole=False)["changed"]

    archive = package.parent / "bin" / "hello.pyz"
    ran = subprocess.run([sys.executable, str(archive)], capture_output=True, check=True)
    assert ran.stdout == b"hello 1\n"
    with zipfile.ZipFile(archive) as zipped:
        assert zipped.namelist() == [
            "__main__.py",
            "hello/__init__.py",
            "hello/cli.py",
            "hello/parts/__init__.py",
            "hello/parts/one.py",
            "hello/said.py",
        ]


def test_packages_that_need_each_other_are_one_file(run: Run, package: Path) -> None:
    other = package.with_name("other")
    other.mkdir()
    (other / "__init__.py").write_text("GREETING = 'hello from beside'\n")
    (package / "cli.py").write_text(
        "from ..other import GREETING\n\ndef entry():\n    print(GREETING)\n"
    )

    assert run(beside=["other"])["changed"]

    command = [sys.executable, str(package.parent / "bin" / "hello.pyz")]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"hello from beside\n"
    assert "no Python package" in run(beside=["none"])["msg"]
