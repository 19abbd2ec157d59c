# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVIDIA's driver by stand-ins: ``nvidia-smi`` and libcuda, programs of their own in a folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
UUID, OTHER_UUID = (f"GPU-{x * 4}-{x * 2}-{x * 2}-{x * 2}-{x * 6}" for x in ("a0", "a1"))
# What the sandbox's engine does at its start: fail where something holds too much of the GPU.
START = """
import select
from pathlib import Path
driver = Path({folder!r})
if "mock" in sys.argv:
    others = [each for each in (driver / "cuda").iterdir() if Path("/proc", each.name).exists()]
    if sum(int(each.read_text().split()[1]) for each in others) > {most_mib}:
        select.select([], [], [], 1)  # libfaketime, which the sandbox loads, breaks time.sleep
        sys.exit("ValueError: Free memory on device is less than desired GPU memory utilization")
    (driver / "engine").write_text(str(os.getpid()))
"""


class Driver:
    """The stand-ins' folder: what they are told, and what they were asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "cuda").mkdir()
        gpu = {
            "persistence": "Enabled",
            "mig": "Disabled",
            "compute_mode": "Default",
            "busy_percent": 60,
            "load_mhz": 1755,
            "max_mhz": 1980,
            "load_w": 520.0,
            "power_limit": 700.0,
            "module_limit": 700.0,
            "least_limit": 200.0,
            "most_limit": 700.0,
            "lock_mhz": None,
            "reasons": 0,
            "memory_mib": 81559,
            "settable": True,
        }
        self.write(
            {
                "gpus": [
                    {"index": 0, "uuid": UUID, **gpu},
                    {"index": 1, "uuid": OTHER_UUID, **gpu},
                ],
                "processes": [],
                "engine_mib": 72000,
                "tells_locks": True,
                "permitted": True,
                "hangs": False,
            }
        )

    def write(self, state: dict[str, Any]) -> None:
        new = self.folder / "state.new"
        new.write_text(json.dumps(state))
        new.replace(self.folder / "state.json")

    def read(self) -> dict[str, Any]:
        return json.loads((self.folder / "state.json").read_text())

    def tune(self, **values: object) -> None:
        """Change the first GPU."""
        state = self.read()
        state["gpus"][0] |= values
        self.write(state)

    def say(self, **values: object) -> None:
        """Change what is no GPU's."""
        self.write(self.read() | values)

    def commands(self) -> list[list[str]]:
        path = self.folder / "commands"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def changes(self) -> list[list[str]]:
        return [each for each in self.commands() if {"-pl", "-lgc", "-rgc"} & set(each)]

    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def install(self) -> dict[str, str]:
        """Write the programs, libcuda's only where gcc is, and return how they are found."""
        program = self.folder / "nvidia-smi"
        script = f'exec "{sys.executable}" -I -S "{HERE}/fake_nvidia_smi.py" "{self.folder}" "$@"\n'
        program.write_text(f"#!/bin/sh\n{script}")
        program.chmod(0o755)
        found = {"PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}"}
        if gcc := shutil.which("gcc"):
            library = [f"{HERE}/fake_libcuda.c", f'-DFOLDER="{self.folder}"']
            command = [gcc, "-shared", "-fPIC", "-O1", "-o", f"{self.folder}/libcuda.so.1"]
            subprocess.run([*command, *library], check=True)
            found["LD_LIBRARY_PATH"] = str(self.folder)
        return found
