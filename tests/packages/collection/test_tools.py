# SPDX-License-Identifier: Apache-2.0
"""The scripts behind the Makefile."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import ansible_test
import cluster_tools
import other_pythons
import pytest
import role_readmes
import stages
import yaml


def test_the_copy_for_ansible_test_holds_what_git_would_track(tmp_path: Path) -> None:
    checkout, tree = tmp_path / "checkout", tmp_path / "tree"
    checkout.mkdir()
    subprocess.run(["git", "init", "--quiet"], cwd=checkout, check=True)
    (checkout / ".gitignore").write_text("*.log\n", encoding="utf-8")
    (checkout / "kept.py").touch()
    (checkout / "left.log").touch()
    tree.mkdir()
    (tree / "of-yesterday.py").touch()

    ansible_test.copy_tree(checkout, tree)

    assert {path.name for path in tree.iterdir()} == {".git", ".gitignore", "kept.py"}


def test_a_folder_without_git_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no git checkout"):
        ansible_test.copy_tree(tmp_path, tmp_path / "tree")


def test_outcomes_are_read_from_junit(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(
        "<testsuites><testsuite><testcase/><testcase/><testcase name='c'>"
        "<failure message='it broke&#10;here'/></testcase><testcase><skipped/></testcase>"
        "</testsuite></testsuites>",
        encoding="utf-8",
    )
    counts, failures = stages.read_outcomes(tmp_path.glob("*.xml"))
    assert stages.describe(counts) == "2 passed, 1 failed, 1 skipped"
    assert failures == ("c: it broke",)


def program(path: Path, *lines: str) -> Path:
    """Write a shell script that can be run."""
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(("#!/bin/sh", *lines, "")), encoding="utf-8")
    path.chmod(0o755)
    return path


def test_a_python_that_does_not_run_is_passed_over_for_the_newest_that_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shim = program(tmp_path / "shims/python3.13", "exit 127")
    for release in ("3.13.2", "3.13.10", "3.12.99"):
        program(tmp_path / f"versions/{release}/bin/python3.13", f"echo {release}")
    monkeypatch.setenv("PATH", str(shim.parent))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))

    found = other_pythons.find("3.13")

    newest = tmp_path / "versions/3.13.10/bin/python3.13"
    assert found == other_pythons.Interpreter("3.13.10", newest)
    assert found.version == "3.13"
    assert other_pythons.find("3.99") is None


def test_each_python_that_the_package_names_is_looked_for() -> None:
    assert other_pythons.named_versions(other_pythons.PYPROJECT) == ["3.11", "3.12", "3.13"]


def test_a_stage_on_another_python_has_environments_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    makefile = "units:\n\t@echo $(PYTHON) $(VENV) $(ANTEST) > $@.txt; false\n"
    (tmp_path / "Makefile").write_text(makefile, encoding="utf-8")
    monkeypatch.setattr(stages, "ROOT", tmp_path)
    python = other_pythons.Interpreter("3.13.0", Path("/opt/python3.13"))

    (result,) = other_pythons.check(python, ["units"], tmp_path / "junit")

    used = (tmp_path / "units.txt").read_text(encoding="utf-8").split()
    assert used == ["/opt/python3.13", ".venvs/python3.13", ".venvs/antest3.13"]
    assert (result.name, result.counts["failed"]) == ("3.13 units", 1)


@pytest.mark.parametrize(
    ("script", "status", "failures"),
    [
        ("print('fine')", 0, ()),
        (r"print('\x1b[31mfatal: no\x1b[0m'); raise SystemExit(3)", 3, ("scenario: fatal: no",)),
        ("raise SystemExit(4)", 4, ("scenario: ended with 4",)),
    ],
)
def test_a_command_is_one_case_of_junit(
    tmp_path: Path, script: str, status: int, failures: tuple[str, ...]
) -> None:
    tool = Path(stages.__file__).with_name("as_junit.py")
    file = tmp_path / "new" / "scenario.xml"
    command = [sys.executable, str(tool), str(file), "scenario", sys.executable, "-c", script]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == status
    assert stages.read_outcomes([file])[1] == failures


def test_a_readme_tells_every_option(tmp_path: Path) -> None:
    spec = {
        "short_description": "Do it",
        "options": {
            "agent_state": {"default": "present", "description": "See O(agent_items)."},
            "agent_items": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "description": ["What."],
                "options": {"name": {"required": True, "description": "A | B."}},
            },
        },
    }
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/argument_specs.yml").write_text(
        yaml.safe_dump({"argument_specs": {"main": spec}}, sort_keys=False), encoding="utf-8"
    )

    text = role_readmes.render(tmp_path)

    assert "| `agent_state` | str | `present` | See `agent_items`. |" in text
    assert "| `agent_items` | list of dict | `[]` | What. |" in text
    assert "| `agent_items.name` | str | required | A \\| B. |" in text


def test_every_tool_of_a_cluster_is_pinned_by_version_and_checksum() -> None:
    lines = cluster_tools.PINS.read_text(encoding="utf-8").replace("\\\n", "").splitlines()
    pins = {
        line.partition("==")[0].replace("-", "_"): line
        for line in lines
        if line and not line.startswith("#")
    }
    assert pins.keys() == {"ansible", *cluster_tools.HELM_WHEELS.values()}
    assert all("--hash=sha256:" in line for line in pins.values())


def test_a_tool_is_made_again_when_its_pin_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = [tmp_path / "tools" / folder for folder in cluster_tools.HELM_WHEELS]
    for folder in programs:
        folder.mkdir(parents=True)
        for name in cluster_tools.PROGRAMS:
            (folder / name).touch()
    for folder in cluster_tools.COLLECTIONS:
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "MANIFEST.json").touch()
    pins, stamp = tmp_path / "pins.txt", tmp_path / "stamp.txt"
    for path in (pins, stamp):
        path.write_text("ansible==1\n", encoding="utf-8")
    for name, value in {
        "TOOLS": tmp_path / "tools",
        "TREE": tmp_path,
        "PINS": pins,
        "STAMP": stamp,
    }.items():
        monkeypatch.setattr(cluster_tools, name, value)
    assert cluster_tools.is_made()
    pins.write_text("ansible==2\n", encoding="utf-8")
    assert not cluster_tools.is_made()
