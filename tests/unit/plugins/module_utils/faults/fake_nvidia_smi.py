# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in of ``nvidia-smi``: fields, texts and exit codes of NVIDIA's manual, state in a file.

It is run as ``python fake_nvidia_smi.py FOLDER ARGUMENT...``. ``FOLDER/state.json`` holds the GPUs,
``FOLDER/commands`` gets a line for each call, and ``FOLDER/cuda`` has a file for each process that
uses the stand-in of libcuda. Its physics is the least that a test can tell a right fault from a
wrong one by: a lock sets the clock, a cap holds power and clock down, an idle GPU shows neither.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import sys
import time
from pathlib import Path

IDLE, SETTING, POWER_CAP = 0x1, 0x2, 0x4
IDLE_MHZ, IDLE_W = 345, 70.0
NO_DEVICE, INVALID, NO_PERMISSION = 6, 2, 4


class FakeError(Exception):
    """A text and an exit code."""


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def processes(folder: Path, state: dict, uuid: str) -> list[tuple[int, object]]:
    """The processes on a GPU: those of the state, an engine's, and those of the other stand-in."""
    found = [(each["pid"], each["mib"]) for each in state["processes"] if each["uuid"] == uuid]
    engine = folder / "engine"
    if engine.exists():
        found.append((int(engine.read_text()), state["engine_mib"]))
    for file in (folder / "cuda").iterdir():
        user, mib, _works = file.read_text().split()
        if user == uuid:
            found.append((int(file.name), int(mib)))
    return [(pid, mib) for pid, mib in found if alive(pid)]


def fields(folder: Path, state: dict, gpu: dict) -> dict[str, object]:
    """What each field of --query-gpu is now."""
    users = processes(folder, state, gpu["uuid"])
    spinning = any(
        file.read_text().split()[2] == "spins" and alive(int(file.name))
        for file in (folder / "cuda").iterdir()
    )
    busy = 100 if spinning else gpu["busy_percent"]
    clock, power, reasons = gpu["load_mhz"], gpu["load_w"], gpu["reasons"]
    if not busy:
        clock, power, reasons = IDLE_MHZ, IDLE_W, reasons | IDLE
    if gpu["lock_mhz"] is not None and busy:
        power *= gpu["lock_mhz"] / clock
        clock = gpu["lock_mhz"]
        reasons |= SETTING if state["tells_locks"] else 0
    if power > gpu["power_limit"]:
        clock, power = clock * gpu["power_limit"] / power, gpu["power_limit"]
        reasons |= POWER_CAP
    used = sum(mib for _pid, mib in users if mib is not None)
    return {
        "index": gpu["index"],
        "uuid": gpu["uuid"],
        "persistence_mode": gpu["persistence"],
        "mig.mode.current": gpu["mig"],
        "compute_mode": gpu["compute_mode"],
        "utilization.gpu": busy,
        "clocks.sm": round(clock),
        "clocks.max.sm": gpu["max_mhz"],
        "power.draw": f"{power:.2f}",
        "power.limit": f"{gpu['power_limit']:.2f}",
        "enforced.power.limit": f"{min(gpu['power_limit'], gpu['module_limit']):.2f}",
        "power.min_limit": gpu["least_limit"] and f"{gpu['least_limit']:.2f}",
        "power.max_limit": f"{gpu['most_limit']:.2f}",
        "memory.total": gpu["memory_mib"],
        "memory.free": gpu["memory_mib"] - used,
        "clocks_throttle_reasons.active": f"0x{reasons:016X}",
    }


def show(values: list[object]) -> str:
    return ", ".join("[N/A]" if value is None else str(value) for value in values)


def query_gpus(folder: Path, state: dict, gpus: list[dict], asked: str) -> None:
    for gpu in gpus:
        known = fields(folder, state, gpu)
        for field in asked.split(","):
            if field not in known:
                raise FakeError(f'Field "{field}" is not a valid field to query.', INVALID)
        say(show([known[field] for field in asked.split(",")]))


def change(state: dict, gpu: dict, options: argparse.Namespace) -> None:
    bus = f"GPU 00000000:{gpu['index'] + 1:02X}:00.0"
    if not state["permitted"]:
        what = "power limit" if options.power_limit else "clocks"
        raise FakeError(
            f"The current user does not have permission to change {what} for {bus}.\n"
            f"Terminating early due to previous errors.",
            NO_PERMISSION,
        )
    if not gpu["settable"]:
        say(f"Setting it is not supported for {bus}.\nTreating as warning and moving on.")
    elif options.power_limit is not None:
        watts = float(options.power_limit)
        if not gpu["least_limit"] <= watts <= gpu["most_limit"]:
            raise FakeError(
                f"Provided power limit {watts:.2f} W is not a valid power limit which should be "
                f"between {gpu['least_limit']:.2f} W and {gpu['most_limit']:.2f} W for {bus}\n"
                f"Terminating early due to previous errors.",
                INVALID,
            )
        was, gpu["power_limit"] = gpu["power_limit"], watts
        say(f"Power limit for {bus} was set to {watts:.2f} W from {was:.2f} W.")
    elif options.lock is not None:
        least, most = map(int, options.lock.split(","))
        # The hardware's clocks come in steps of 15 MHz.
        gpu["lock_mhz"] = most // 15 * 15
        say(f'GPU clocks set to "(gpuClkMin {least}, gpuClkMax {most})" for {bus}')
    else:
        gpu["lock_mhz"] = None
    say("All done.")


def main() -> None:
    folder = Path(sys.argv[1])
    with (folder / "commands").open("a") as log:
        log.write(json.dumps(sys.argv[2:]) + "\n")
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("-i", dest="uuid")
    parser.add_argument("--query-gpu")
    parser.add_argument("--query-compute-apps")
    parser.add_argument("--format", choices=["csv,noheader", "csv,noheader,nounits"])
    parser.add_argument("-pl", dest="power_limit")
    parser.add_argument("-lgc", dest="lock")
    parser.add_argument("-rgc", dest="unlock", action="store_true")
    options = parser.parse_args(sys.argv[2:])
    with (folder / "guard").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        state = json.loads((folder / "state.json").read_text())
        if options.lock is not None and state["hangs"]:
            fcntl.flock(guard, fcntl.LOCK_UN)
            time.sleep(60)
        gpus = [gpu for gpu in state["gpus"] if options.uuid in (None, gpu["uuid"])]
        if not gpus:
            raise FakeError("No devices were found", NO_DEVICE)
        if options.query_gpu is not None:
            query_gpus(folder, state, gpus, options.query_gpu)
        elif options.query_compute_apps is not None:
            for pid, mib in processes(folder, state, gpus[0]["uuid"]):
                say(show([pid, mib]))
        else:
            change(state, gpus[0], options)
            new = folder / f"state.{os.getpid()}"
            new.write_text(json.dumps(state))
            new.replace(folder / "state.json")


if __name__ == "__main__":
    try:
        main()
    except FakeError as failure:
        text, code = failure.args
        say(text)  # on the standard output, as the real one does
        raise SystemExit(code) from None
