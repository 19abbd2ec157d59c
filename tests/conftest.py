# SPDX-License-Identifier: Apache-2.0
"""What tests may ask of the machine, and what happens where it is missing.

ansible-test loads this file too: it needs pytest and the standard library only.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

TEST_DATA = "RCALAB_TEST_DATA"

MARKERS = {
    "root": "needs root (network namespaces, cgroups)",
    "browser": "needs a headless Chromium",
    "slow": "takes seconds (a server, a sandbox, a data set): `make test-fast` leaves it out",
    "data": "needs the shared test data; set by the fixture test_data",
}


def pytest_configure(config: pytest.Config) -> None:
    for name, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "test_data" in getattr(item, "fixturenames", ()):
            item.add_marker("data")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("needs root")
    if item.get_closest_marker("browser") and shutil.which("chromium") is None:
        pytest.skip("needs Chromium: apt-get install chromium")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Let no test that needs the shared data skip where the data is said to be there."""
    report = yield
    if report.skipped and item.get_closest_marker("data") and os.environ.get(TEST_DATA):
        report.outcome = "failed"
        report.longrepr = f"{TEST_DATA} is set, yet {item.nodeid} skipped: {call.excinfo.value}"
    return report


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of the shared test data."""
    named = os.environ.get(TEST_DATA)
    if not named:
        pytest.skip(f"needs the shared test data: set {TEST_DATA} to its folder")
    folder = Path(named)
    if not folder.is_dir():
        pytest.fail(f"{TEST_DATA} names no folder: {folder}")
    return folder
