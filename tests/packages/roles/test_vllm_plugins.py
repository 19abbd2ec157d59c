# SPDX-License-Identifier: Apache-2.0
"""The plugin that the lab gives vLLM: found as vLLM finds plugins, and no more polling."""

from __future__ import annotations

import os
import sys
import time
from importlib.metadata import distributions
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]
PLUGINS = ROOT / "roles/ray_cluster/files/vllm_plugins"
SHM_BROADCAST = "vllm.distributed.device_communicators.shm_broadcast"


@pytest.fixture
def shm_broadcast(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A stand-in for the module of vLLM that polls."""
    names = SHM_BROADCAST.split(".")
    for depth in range(1, len(names) + 1):
        monkeypatch.setitem(sys.modules, ".".join(names[:depth]), ModuleType(names[depth - 1]))
    module = sys.modules[SHM_BROADCAST]
    module.sched_yield = os.sched_yield
    sys.modules[SHM_BROADCAST.rpartition(".")[0]].shm_broadcast = module
    monkeypatch.syspath_prepend(str(PLUGINS))
    # The role's files stay as they are.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return module


def test_vllm_finds_the_plugin_and_a_poll_becomes_a_nap(shm_broadcast: ModuleType) -> None:
    (plugin,) = [
        entry
        for distribution in distributions(path=[str(PLUGINS)])
        for entry in distribution.entry_points
        if entry.group == "vllm.general_plugins"
    ]

    plugin.load()()

    used = time.process_time()
    for _ in range(50):
        shm_broadcast.sched_yield()
    assert shm_broadcast.sched_yield is not os.sched_yield
    assert time.process_time() - used < 0.05


def test_the_pinned_vllm_still_polls_where_the_plugin_expects_it() -> None:
    folder = ROOT / ".venvs/serve/lib/python3.11/site-packages"
    source = folder.joinpath(*SHM_BROADCAST.split(".")).with_suffix(".py")
    if not source.exists():
        pytest.skip("needs vLLM: make setup")
    text = source.read_text(encoding="utf-8")
    assert "sched_yield()" in text.partition("class SpinCondition")[2].partition("def notify")[0]
