# SPDX-License-Identifier: Apache-2.0
"""What the roles of a cluster would put on it, rendered as Ansible renders it, with no cluster.

Each such role has `_<role>_releases` (a list of `name`, `chart`, `namespace`, `values`) or
`_<role>_objects` (a list of objects) in its variables, made of its own defaults and those of the
roles that it depends on. Variables that only a run finds out are in ``cluster_roles.yml``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar

ROOT = Path(__file__).resolve().parents[3]
ROLES = ROOT / "roles"
# `facts`: variables by role. `free_form` and `charts`: see test_chart_values.py.
SETTINGS: dict[str, Any] = yaml.safe_load(
    Path(__file__).with_name("cluster_roles.yml").read_text(encoding="utf-8")
)

# The lookups and filters that the roles use, ours among them.
init_plugin_loader([str(ROOT / ".collections")])


def _load(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    return DataLoader().load_from_file(str(path), trusted_as_template=True) or {}


def _variables_of(role: str, folder: str) -> dict[str, Any]:
    """Return what `main.yml`, or all files of a folder `main`, set."""
    found: dict[str, Any] = {}
    for path in (
        ROLES / role / folder / "main.yml",
        *sorted((ROLES / role).glob(f"{folder}/main/*")),
    ):
        found |= _load(path)
    return found


def dependencies(role: str) -> list[str]:
    """Return a role after all that it depends on, each once."""
    found: list[str] = []
    for entry in _load(ROLES / role / "meta/main.yml").get("dependencies") or []:
        name = entry if isinstance(entry, str) else entry.get("role", entry.get("name"))
        found += [each for each in dependencies(name.rpartition(".")[2]) if each not in found]
    return [*found, role]


def variables(role: str, **settings: Any) -> dict[str, Any]:
    """Return the variables of a role, as a play that sets nothing but ``settings`` has them."""
    found: dict[str, Any] = {
        "inventory_dir": "/inventory",
        "playbook_dir": str(ROOT / "playbooks"),
        "ansible_check_mode": False,
    }
    roles = dependencies(role)
    for folder in ("defaults", "vars"):
        for name in roles:
            found |= _variables_of(name, folder)
    for name in roles:
        found |= SETTINGS["facts"].get(name, {})
    return found | settings


def defined(name: str) -> list[str]:
    """Return the roles that have the variable `_<role>_<name>`."""
    return [
        role.name
        for role in sorted(ROLES.iterdir())
        if f"_{role.name}_{name}"
        in _variables_of(role.name, "defaults") | _variables_of(role.name, "vars")
    ]


def rendered(role: str, name: str, **settings: Any) -> Any:
    """Return `_<role>_<name>` as the role would use it.

    Raises
    ------
    AnsibleError
        If it needs a variable that neither the role nor ``cluster_roles.yml`` sets.
    """
    found = variables(role, **settings)
    loader = DataLoader()
    loader.set_basedir(os.fspath(ROLES / role))
    return Templar(loader=loader, variables=found).template(found[f"_{role}_{name}"])
