# SPDX-License-Identifier: Apache-2.0
"""One version, one list of needs, and nothing of the machine that the files were written on."""

from __future__ import annotations

import ast
import importlib.metadata
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def names(lines: Iterable[str]) -> set[str]:
    """The normalised names of the distributions in a requirements file, its options apart."""
    wanted = (line.partition("#")[0].strip() for line in lines)
    return {
        canonicalize_name(Requirement(line).name)
        for line in wanted
        if line and not line.startswith("-")
    }


def requirements(path: Path) -> set[str]:
    return names(path.read_text(encoding="utf-8").splitlines())


def extras(pyproject: dict[str, Any], *wanted: str) -> set[str]:
    offered = pyproject["project"]["optional-dependencies"]
    return names([line for extra in wanted or offered for line in offered[extra]])


def test_collection_and_distribution_have_one_version(
    galaxy: dict[str, Any], pyproject: dict[str, Any]
) -> None:
    assert galaxy["version"] == pyproject["project"]["version"]


@pytest.mark.parametrize("package", ["loadgen", "rca_engine", "rcalab_common"])
def test_a_version_written_in_a_package_is_that_one(
    package: str, root: Path, galaxy: dict[str, Any]
) -> None:
    init = root / package / "__init__.py"
    if not init.is_file():
        return
    written = {
        ast.literal_eval(node.value)
        for node in ast.parse(init.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign)
        and ast.unparse(node.targets[0]) == "__version__"
        and isinstance(node.value, ast.Constant)
    }
    assert written <= {galaxy["version"]}


def installed(distribution: str) -> set[str]:
    """A distribution and all that it needs, by the metadata of what is installed here."""
    found, left = set(), {canonicalize_name(distribution)}
    while left:
        found |= (here := {name for name in left if name not in found})
        needs = [
            Requirement(line) for name in here for line in importlib.metadata.requires(name) or []
        ]
        left = {
            canonicalize_name(need.name)
            for need in needs
            if need.marker is None or need.marker.evaluate({"extra": ""})
        } - found
    return found


def test_a_load_generator_fits_in_a_small_pod(root: Path, pyproject: dict[str, Any]) -> None:
    """What ``pip install rcalab-llm[load]`` brings, as files: it must stay below 120 MB."""
    wanted = extras(pyproject, "load")
    needed = set().union(*map(installed, wanted))
    assert wanted < needed
    brought = sum(
        file.locate().stat().st_size
        for name in needed
        for file in importlib.metadata.files(name) or []
        if file.locate().is_file()
    )
    packages = ("loadgen", "rca_engine", "rcalab_common")
    own = sum(
        path.stat().st_size
        for package in packages
        for path in (root / package).rglob("*")
        if path.is_file()
    )
    assert 10_000_000 < brought + own < 120_000_000


def test_the_checkout_holds_what_the_packages_need(root: Path, pyproject: dict[str, Any]) -> None:
    assert extras(pyproject) - requirements(root / "requirements/control.in") == set()


def test_an_execution_environment_holds_what_the_modules_need(
    root: Path, pyproject: dict[str, Any]
) -> None:
    listed = requirements(root / "meta/ee-requirements.txt")
    assert listed == extras(pyproject, "load", "rca", "kubernetes")


def test_what_an_environment_asks_for_is_pinned(root: Path) -> None:
    """In each of its sets of pins: control.txt, control-3.12.txt."""
    folder = root / "requirements"
    torch = requirements(folder / "torch.txt")
    for wanted in folder.glob("*.in"):
        sets = [folder / f"{wanted.stem}.txt", *folder.glob(f"{wanted.stem}-*.txt")]
        for pins in sets:
            assert requirements(wanted) - requirements(pins) - torch == set(), pins.name


def test_a_changelog_entry_names_its_subject(root: Path) -> None:
    for path in (root / "changelogs/fragments").glob("*.y*ml"):
        sections = yaml.safe_load(path.read_text(encoding="utf-8"))
        for section in sections.keys() - {"release_summary"}:
            for entry in sections[section]:
                assert re.fullmatch(r"\S.*? - \S.*[.]", entry, re.DOTALL), f"{path.name}: {entry}"


def test_no_file_names_the_folder_of_this_checkout(root: Path, files: list[Path]) -> None:
    here = re.compile(rb"(?<![\w.}/-])" + re.escape(str(root)).encode() + rb"\b")
    assert [path for path in files if here.search(path.read_bytes())] == []
