# SPDX-License-Identifier: Apache-2.0
"""A sandbox with what no small machine has: a GPU, Ray Serve, and an engine that generates.

The tests' stand-ins play the GPU and Serve, loadgen's own mock the engine and its gateway. What is
put back is looked at in them. It needs what a sandbox needs, loadgen, and gcc for the GPU.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from fault_sandbox import ROOT, Sandbox, wait_for

GPU, CLIENT, SERVICE = "gpu/sandbox.0", "client/loadgen", "service/llm"
SERVED, LOADED = "served", "loaded"
_TESTS = ROOT / "tests/unit/plugins/module_utils/faults"
_LOADGEN = (sys.executable, "-m", "loadgen")
# A cache that a second load fills, and answers slow enough to hang up on.
_MOCK = ("--kv-tokens", "4096", "--itl-ms", "10")
# An engine needs this much of the GPU, and does not start beside more of others'.
_MOST_MIB = 9000


def _stand_in(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, _TESTS / f"{name}.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"{_TESTS / name}.py can't be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_driver, _serve = _stand_in("fake_driver"), _stand_in("fake_serve")


def has_gpu_library() -> bool:
    """Say whether something can compute on the GPU and hold its memory."""
    return shutil.which("gcc") is not None


@dataclass
class EquippedSandbox(Sandbox):
    """A sandbox whose engine computes on a GPU; the lab is described in three ways.

    Its own way; as `SERVED`, with Ray Serve as its service; and as `LOADED`, with a gateway.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        folder = self.folder / "driver"
        folder.mkdir()
        self._driver = _driver.Driver(folder)
        self._driver.tune(power_limit=612.5)  # somebody's, and not the default
        self.environment = self._driver.install()
        self.start = _driver.START.format(folder=str(folder), most_mib=_MOST_MIB)
        self.facts = {"gpus": [{"component": GPU, "uuid": _driver.UUID}]}
        self._servers = contextlib.ExitStack()

    def _make(self) -> None:
        self._start_serve()
        self._start_mock()
        super()._make()

    def close(self) -> None:
        """End everything and remove it."""
        super().close()  # which may still have something to put back in them
        self._servers.close()

    def described(self, way: str | None) -> Path:
        """Return the folder that describes the lab in a way."""
        return self.folder / (way or ".")

    def _describe(self, way: str, facts: dict[str, object], gateway: str | None = None) -> None:
        self.described(way).mkdir()
        self.describe(self.described(way), facts, gateway)

    def _start_serve(self) -> None:
        self._serve = _serve.FakeServe(_serve.CONFIG, (self.address,), in_flight=6)
        self._servers.callback(self._serve.close)
        token, config = self.folder / "token", self.folder / "serve.json"
        token.write_text(f"{_serve.BEARER}\n", encoding="ascii")
        config.write_text(json.dumps(_serve.CONFIG), encoding="utf-8")
        url = self._serve.url
        service = {
            "kind": "serve",
            "url": f"{url}/api/serve/applications/",
            "token_file": str(token),
            "config_file": str(config),
        }
        engine = {"model": "tiny", "max_model_len": 2048, "metrics": f"{url}/metrics/{{address}}"}
        client = {"command": ["loadgen"], "url": url}
        told = {"service": service, "engine": engine, "client": client, "prometheus": url}
        self._describe(SERVED, told)

    def _start_mock(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self._mock = f"http://127.0.0.1:{port}"
        self._run_loadgen("mock", "--port", str(port), *_MOCK)
        client = {"command": [*_LOADGEN], "url": self._mock}
        metrics = f"{self._mock}/metrics"
        engine = {"model": "mock", "max_model_len": 2048, "metrics": metrics}
        self._describe(LOADED, {"client": client, "engine": engine}, "127.0.0.1")

    def _run_loadgen(self, *arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [*_LOADGEN, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._servers.callback(process.wait)
        self._servers.callback(process.kill)
        return process

    @contextlib.contextmanager
    def own_load(self, options: Sequence[str]) -> Iterator[None]:
        """Let the run's own load go on meanwhile, of this kind; none where nothing is asked for."""
        if not options:
            yield
            return
        out = self.folder / "load"
        asked = ("--url", self._mock, "--duration", "120", "--out", str(out), *options)
        begun = self._prompt_tokens()
        process = self._run_loadgen("run", *asked)
        try:
            wait_for(lambda: self._prompt_tokens() > begun, "the run's own load", 30, 0.1)
            yield
        finally:
            process.kill()
            process.wait()
            shutil.rmtree(out, ignore_errors=True)

    def _prompt_tokens(self) -> float:
        with urllib.request.urlopen(f"{self._mock}/metrics", timeout=2) as answer:  # noqa: S310
            lines = answer.read().decode().splitlines()
        return sum(
            float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith("vllm:prompt_tokens_total")
        )

    def is_whole(self) -> bool:
        """Say whether everything answers."""
        if not super().is_whole():
            return False
        with contextlib.suppress(OSError):
            return self._prompt_tokens() >= 0
        return False

    def snapshot(self) -> dict[str, object]:
        """Return all that a fault may change, so that two looks can be compared."""
        gpu = self._driver.read()["gpus"][0]
        users = (int(file.name) for file in (self._driver.folder / "cuda").iterdir())
        return {
            **super().snapshot(),
            "gpu": {name: gpu[name] for name in ("power_limit", "lock_mhz")},
            "gpu_users": [pid for pid in users if Path(f"/proc/{pid}").exists()],
            "served": self._serve.config == _serve.CONFIG and self._serve.is_whole(),
            "second_loads": self._second_loads(),
        }

    def _second_loads(self) -> list[int]:
        folder = str(self.folder / "second_load").encode()
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                if entry.name.isdecimal() and folder in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
        return found
