# SPDX-License-Identifier: Apache-2.0
"""One synthetic case for all tests that only read one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rca_engine.case import Case
from rca_engine.simulator import simulate


@pytest.fixture(scope="session")
def _simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("simulated") / "run-01", seed=7)


@pytest.fixture
def case_dir(_simulated: Path, tmp_path: Path) -> Path:
    """A synthetic case of one's own."""
    return Path(shutil.copytree(_simulated, tmp_path / "run-01"))


@pytest.fixture
def case(_simulated: Path) -> Case:
    """The synthetic case, to be read only."""
    return Case.load(_simulated)
