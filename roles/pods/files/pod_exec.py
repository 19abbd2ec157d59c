# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Become the program of a pod: its cgroups, its network namespace, no capabilities.

The process moves itself and then executes the program in its place, so that its supervisor sees
the program's own process id. Unlike ``ip netns exec`` it keeps /sys. Shared memory is the pod's
own, as in a container: what a killed engine leaves in it goes with its last process.
A pod runs one program: what an earlier one left behind (Ray leaves its engines) is ended first, as
it is when a container restarts. Without isolation the process stays as the program's parent: its
environment marks the pod, and a program that sets its own title (nginx) wipes that from its own.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
MS_REC_SLAVE = 0x4000 | 1 << 19
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38


def read_lab(path: Path) -> dict[str, Any]:
    """Return what pods.json says; exit with what to do if it is not there."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        sys.exit(f"pod_exec: {path} is not there: is the lab up?")


def find_pod(lab: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a pod's entry; exit with the list of pods if there is none of that name."""
    pods = {pod["name"]: pod for pod in lab["pods"]}
    if name not in pods:
        sys.exit(f"pod_exec: no pod {name!r}; there are: {', '.join(pods)}")
    return dict(pods[name])


def move(cgroup: dict[str, Any]) -> None:
    """Move this process into a cgroup, in every hierarchy that it has."""
    for path in {value for key, value in cgroup.items() if key != "version"}:
        Path(path, "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")


def join_observers(lab: dict[str, Any]) -> None:
    """Move this process into the cgroup of what runs beside the pods and watches them."""
    if cgroup := lab["pods"][0]["cgroup"]:
        beside = {
            name: str(Path(path).parents[1] / "observers")
            for name, path in cgroup.items()
            if name != "version"
        }
        move(beside)


def end_what_is_left(cgroup: dict[str, Any], timeout_s: float = 10.0) -> None:
    """Kill every process of the pod's cgroup and wait until it is empty."""
    members = Path(cgroup["cpu"], "cgroup.procs")
    deadline = time.monotonic() + timeout_s
    while left := members.read_text(encoding="ascii").split():
        if time.monotonic() > deadline:
            sys.exit(f"pod_exec: processes {', '.join(left)} of the pod do not end")
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.05)


def enter(pod: dict[str, Any]) -> None:
    """Move this process into the pod's cgroups and network namespace; give up its capabilities."""
    if pod["cgroup"]:
        end_what_is_left(pod["cgroup"])
        move(pod["cgroup"])
    if pod["netns"]:
        with Path("/run/netns", pod["netns"]).open("rb") as handle:
            call("setns", handle.fileno(), CLONE_NEWNET)
        call("unshare", CLONE_NEWNS)
        # Slave: what the host unmounts, such as a deleted network namespace, is let go here too.
        call("mount", None, b"/", None, MS_REC_SLAVE, None)
        call("mount", b"tmpfs", b"/dev/shm", b"tmpfs", 0, None)
        last = int(Path("/proc/sys/kernel/cap_last_cap").read_text(encoding="ascii"))
        # The kernel gives root no capability at execve that is not in this set.
        for capability in range(last + 1):
            call("prctl", PR_CAPBSET_DROP, capability, 0, 0, 0)
    call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def stand_by(command: list[str], environment: dict[str, str]) -> int:
    """Run the program as a child of this process, which carries the marks; return its status."""
    program = subprocess.Popen(command, env=environment)
    # The signals that end a program go to its whole group, this one to a single process.
    signal.signal(signal.SIGHUP, lambda number, _: program.send_signal(number))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    status = program.wait()
    return status if status >= 0 else 128 - status


def call(function: str, *arguments: int | bytes | None) -> None:
    """Call a function of the C library; raise OSError where it fails."""
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), f"{function}{arguments}")


def main() -> None:
    """Read the command line and become the program."""
    parser = argparse.ArgumentParser(prog="pod_exec", description=__doc__.partition("\n")[0])
    parser.add_argument("--pods", type=Path, required=True, help="the lab's pods.json")
    parser.add_argument("pod", help="the pod's name, or observers for the cgroup outside the pods")
    parser.add_argument(
        "command", nargs=argparse.REMAINDER, help="-- and the program with its arguments"
    )
    options = parser.parse_args()
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        parser.error("nothing to run: give -- and a program")
    lab = read_lab(options.pods)
    marks = {"RCALAB_LAB": lab["lab"], "RCALAB_POD": options.pod}
    environment = os.environ | marks
    try:
        if options.pod == "observers":
            join_observers(lab)
        else:
            enter(find_pod(lab, options.pod))
        if lab["isolation"] == "none" and options.pod != "observers":
            if not marks.items() <= os.environ.items():
                # The kernel shows the environment that a process was started with.
                command = [sys.executable, *sys.argv]
            else:
                sys.exit(stand_by(command, environment))
        os.execvpe(command[0], command, environment)  # noqa: S606 (to become a program is its purpose)
    except OSError as error:
        sys.exit(f"pod_exec: cannot start {command[0]} in {options.pod}: {error}")


if __name__ == "__main__":
    main()
