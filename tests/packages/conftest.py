# SPDX-License-Identifier: Apache-2.0
"""A cluster for tests that need one, and the real programs that talk to it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fake_kubernetes import FakeKubernetes

TOOLS = Path(__file__).resolve().parents[2] / ".cache" / "tools"
HELMS = ("helm-3.17", "helm-4.3")

# Runs a program with these arguments and returns what it prints.
Run = Callable[..., str]


@pytest.fixture
def fake_kubernetes() -> Iterator[FakeKubernetes]:
    """A fresh cluster of one node on a fresh port."""
    with FakeKubernetes() as fake:
        yield fake


@pytest.fixture
def kubeconfig(fake_kubernetes: FakeKubernetes, tmp_path: Path) -> Path:
    """A kubeconfig for that cluster."""
    return fake_kubernetes.write_kubeconfig(tmp_path / "kubeconfig")


def _program(folder: str, name: str, kubeconfig: Path, home: Path) -> Run:
    program = TOOLS / folder / name
    if not program.is_file():
        pytest.skip(f"needs {name}: make cluster-tools")
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": str(kubeconfig)}

    def run(*arguments: str, stdin: str | None = None) -> str:
        done = subprocess.run(
            [program, *arguments],
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if done.returncode:
            raise AssertionError(f"{name} {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    return run


@pytest.fixture(params=HELMS)
def helm(request: pytest.FixtureRequest, kubeconfig: Path, tmp_path: Path) -> Run:
    """The real helm, in both versions that are supported."""
    return _program(request.param, "helm", kubeconfig, tmp_path)


@pytest.fixture
def kubectl(kubeconfig: Path, tmp_path: Path) -> Run:
    """The real kubectl."""
    return _program("helm-4.3", "kubectl", kubeconfig, tmp_path)
