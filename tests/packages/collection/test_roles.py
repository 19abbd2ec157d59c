# SPDX-License-Identifier: Apache-2.0
"""A role says the same thing in its argument specs, its defaults and its README."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import role_readmes
import yaml


def load(path: Path) -> dict[str, Any]:
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.is_file() else {}


def options(role: Path) -> dict[str, dict[str, Any]]:
    """The options of all entry points of a role."""
    specs = load(role / "meta/argument_specs.yml")["argument_specs"]
    return {
        name: option for spec in specs.values() for name, option in spec.get("options", {}).items()
    }


@pytest.mark.parametrize("name", ["meta/main.yml", "meta/argument_specs.yml", "tasks/main.yml"])
def test_a_role_is_complete(role: Path, name: str) -> None:
    assert (role / name).is_file(), f"{role.name} lacks {name}"


def test_defaults_are_what_the_argument_specs_say(role: Path) -> None:
    defaults = load(role / "defaults/main.yml")
    specified = {
        name: option.get("default")
        for name, option in options(role).items()
        if not option.get("required")
    }
    assert defaults == specified


def test_variables_carry_the_name_of_their_role(role: Path) -> None:
    assert [n for n in load(role / "defaults/main.yml") if not n.startswith(f"{role.name}_")] == []
    private = (f"_{role.name}_", f"__{role.name}_")
    assert [n for n in load(role / "vars/main.yml") if not n.startswith(private)] == []


def test_the_readme_is_up_to_date(role: Path) -> None:
    assert role_readmes.stale([role]) == [], "run `make docs`"
