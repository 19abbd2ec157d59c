# SPDX-License-Identifier: Apache-2.0
"""Every module is tested, and says what it does in check mode and with --diff."""

from __future__ import annotations

import ast
from pathlib import Path

import yaml


def documentation(module: Path) -> dict[str, object]:
    """Read a module's DOCUMENTATION without importing it."""
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DOCUMENTATION":
            return yaml.safe_load(ast.literal_eval(node.value))
    raise AssertionError(f"{module.name} has no DOCUMENTATION")


def test_a_module_has_unit_tests(module: Path, root: Path) -> None:
    assert (root / "tests/unit/plugins/modules" / f"test_{module.name}").is_file()


def test_a_module_states_its_check_and_diff_mode(module: Path) -> None:
    assert {"check_mode", "diff_mode"} <= set(documentation(module).get("attributes", {}))
