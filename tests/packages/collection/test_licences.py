# SPDX-License-Identifier: Apache-2.0
"""Who may import whom, and under which licence each file is."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

APACHE = "SPDX-License-Identifier: Apache-2.0"
GPL = "SPDX-License-Identifier: GPL-3.0-or-later"

# Each package and the extras of pyproject.toml that it may use; None stands for all but loadgen's.
PACKAGES = {"rcalab_common": set(), "loadgen": {"load", "html", "parquet"}, "rca_engine": None}


def imports(folder: Path) -> dict[str, Path]:
    """The top-level names that a folder's Python files import, each with a file that does."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [str(node.module)]
            else:
                continue
            found.update({name.partition(".")[0]: path for name in names})
    return found


def declared(pyproject: dict[str, Any], extras: set[str] | None) -> set[str]:
    """The distributions that some extras of pyproject.toml ask for."""
    offered = pyproject["project"]["optional-dependencies"]
    chosen = offered.keys() - {"load"} if extras is None else extras
    return {
        canonicalize_name(Requirement(requirement).name)
        for extra in chosen
        for requirement in offered[extra]
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_its_extra_declares(
    package: str, root: Path, pyproject: dict[str, Any]
) -> None:
    wanted = declared(pyproject, PACKAGES[package])
    provided = {
        name
        for name, distributions in importlib.metadata.packages_distributions().items()
        if wanted & set(map(canonicalize_name, distributions))
    }
    allowed = sys.stdlib_module_names | provided | {package, "rcalab_common"}
    stray = {name: path for name, path in imports(root / package).items() if name not in allowed}
    assert stray == {}


def test_no_dependency_of_the_packages_is_under_the_gpl(pyproject: dict[str, Any]) -> None:
    for name in declared(pyproject, None) | declared(pyproject, {"load"}):
        metadata = importlib.metadata.metadata(name)
        licences = [metadata.get("License-Expression") or metadata.get("License") or ""]
        licences += [text for text in metadata.get_all("Classifier", []) if "License" in text]
        lines = [line.splitlines()[0] for line in licences if line]
        assert not [line for line in lines if re.search(r"\bA?GPL|GNU (Affero )?General", line)], (
            f"{name}: {lines}"
        )


def test_what_runs_on_a_managed_host_needs_only_python(root: Path) -> None:
    own = {"ansible", "ansible_collections", *PACKAGES}
    found = imports(root / "plugins" / "module_utils")
    # The machine that speaks to a cluster has the client of its API: its package, and no other.
    own |= {"kubernetes", "urllib3"}
    assert {name for name in found if name not in sys.stdlib_module_names | own} == set()
    assert found["kubernetes"] == root / "plugins/module_utils/kubernetes_faults/api.py"


def test_what_outlives_a_module_needs_no_ansible(root: Path) -> None:
    assert imports(root / "plugins/module_utils/faults").keys() <= sys.stdlib_module_names


def test_every_python_file_names_its_licence(root: Path, files: list[Path]) -> None:
    wrong = []
    for path in (path for path in files if path.suffix == ".py" and path.stat().st_size):
        name = path.relative_to(root)
        head = "\n".join(path.read_text(encoding="utf-8").splitlines()[:6])
        if name.parts[0] in PACKAGES:
            right = APACHE in head
        elif name.parts[0] == "plugins":
            right = GPL in head
        else:
            right = APACHE in head or GPL in head
        if not right:
            wrong.append(str(name))
    assert wrong == []
