# SPDX-License-Identifier: Apache-2.0
"""The collection as files: what the tests here look at."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import ansible_test
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the collection, which is the root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def files() -> list[Path]:
    """Every file that git tracks or would track."""
    return [ROOT / name for name in ansible_test.git_files(ROOT) if (ROOT / name).is_file()]


@pytest.fixture(scope="session")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def galaxy() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for ``role`` or ``module`` once for each that there is."""
    found = {
        "role": (path for path in (ROOT / "roles").glob("*") if path.is_dir()),
        "module": (ROOT / "plugins" / "modules").glob("[!_]*.py"),
    }
    for name, paths in found.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, sorted(paths), ids=lambda path: path.stem)
