# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRIVATE to the collection: pods on one machine, as network namespaces and cgroups.

A pod is a network namespace with one veth on the lab's bridge, and one directory in each cgroup
hierarchy that the lab needs. Everything that is made here carries the lab's name or sits below the
cgroup of that name, so that it can be found and removed without any file.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .faults import processes, programs
from .faults.processes import Process

CONTROLLERS = ("cpu", "cpuacct", "memory", "pids", "freezer")
# Where the machine has it (version 1, version 2), pods can have a slow disk.
IO_V1, IO_V2 = "blkio", "io"
CGROUP_ROOT = Path("/sys/fs/cgroup")
# Each process outside has the weight 1024 (v1) or 100 (v2). The pods together count as two of them,
# what observes them as eight, so that it gets the CPU when it asks.
PODS_WEIGHT_V1 = 2048
PODS_WEIGHT_V2 = 200
OBSERVERS_WEIGHT_V1 = 8192
OBSERVERS_WEIGHT_V2 = 800

# The kernel takes devices away one at a time, and may wait for their last packets.
_PROGRAM_S = 60.0

LAB_NAME = re.compile(r"[a-z][a-z0-9]{1,9}")


class PodError(Exception):
    """What stands in the way, and what to do."""


@dataclass(frozen=True)
class Pod:
    """One pod: its name, the component that it is, and its address in the lab's /24."""

    lab: str
    name: str
    component: str
    address: str

    def netns(self) -> str:
        """Return the name of its network namespace."""
        return f"{self.lab}-{self.name}"

    def interface(self) -> str:
        """Return the host's end of its veth, by the address's last octet: names are short there."""
        return f"{self.lab}-{self.address.rpartition('.')[2]}"


def check_lab_name(lab: str) -> None:
    """Refuse a name that could stand for another folder than the lab's own."""
    if not LAB_NAME.fullmatch(lab):
        raise PodError(f"{lab!r} is no lab's name: 2 to 10 lower-case letters and digits are")


def owner(lab: str) -> str:
    """Return what marks a bridge as this lab's own (``ip link``'s alias)."""
    return f"rcalab.llm {lab}"


def run(*arguments: str) -> str:
    """Run a program and return what it printed; raise PodError with its own words."""
    try:
        done = programs.run(arguments, _PROGRAM_S)
    except FileNotFoundError as error:
        raise PodError(
            f"{arguments[0]} is not installed (Debian: apt-get install iproute2)"
        ) from error
    if done.returncode != 0:
        raise PodError(f"{' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def links() -> dict[str, dict[str, Any]]:
    """Return the links of this namespace by name, with addresses and alias."""
    return {link["ifname"]: link for link in json.loads(run("ip", "-json", "-details", "address"))}


def namespaces() -> set[str]:
    """Return the names of all named network namespaces."""
    return {entry["name"] for entry in json.loads(run("ip", "-json", "netns", "list") or "[]")}


# --- cgroups -------------------------------------------------------------------------------------


def is_unified() -> bool:
    """Say whether the machine has one cgroup hierarchy for all controllers (version 2)."""
    return (CGROUP_ROOT / "cgroup.controllers").exists()


def cgroup_paths(lab: str, name: str) -> dict[str, Any]:
    """Return where each controller of a lab's cgroup ``name`` lives, on v1, hybrid or v2."""
    if is_unified():
        path = str(CGROUP_ROOT / lab / name)
        return {"version": 2} | dict.fromkeys((*CONTROLLERS, *_io_controller()), path)
    missing = [c for c in CONTROLLERS if not (CGROUP_ROOT / c).is_dir()]
    if missing:
        raise PodError(
            f"the cgroup controllers {', '.join(missing)} are not mounted below {CGROUP_ROOT}: "
            "mount them, or use lab_isolation: none"
        )
    found = (*CONTROLLERS, *_io_controller())
    return {"version": 1} | {c: str(CGROUP_ROOT / c / lab / name) for c in found}


def _io_controller() -> tuple[str, ...]:
    if is_unified():
        offered = (CGROUP_ROOT / "cgroup.controllers").read_text(encoding="ascii").split()
        return (IO_V2,) if IO_V2 in offered else ()
    return (IO_V1,) if (CGROUP_ROOT / IO_V1).is_dir() else ()


def _directories(lab: str, name: str) -> list[Path]:
    paths = cgroup_paths(lab, name)
    return [Path(p) for p in dict.fromkeys(v for c, v in paths.items() if c != "version")]


def make_cgroup(lab: str, name: str, check: bool) -> bool:
    """Make a lab's cgroup ``name`` in every hierarchy; return whether anything was missing."""
    missing = [directory for directory in _directories(lab, name) if not directory.is_dir()]
    if not check:
        for directory in missing:
            if is_unified():
                _delegate(directory.parent)
            # Two controllers may share one hierarchy under two names.
            directory.mkdir(parents=True, exist_ok=True)
    return bool(missing)


def _delegate(directory: Path) -> None:
    """Give the children of ``directory`` the needed v2 controllers, from the root down."""
    directory.mkdir(parents=True, exist_ok=True)
    inner = [p for p in (directory, *directory.parents) if p.is_relative_to(CGROUP_ROOT)]
    wanted = " ".join(f"+{name}" for name in ("cpu", "memory", "pids", *_io_controller()))
    for step in reversed(inner):
        try:
            (step / "cgroup.subtree_control").write_text(wanted, encoding="ascii")
        except OSError as error:
            raise PodError(
                f"{step} does not hand on the controllers cpu, memory and pids ({error.strerror}), "
                "as inside a container: give it cgroups of its own, or use lab_isolation: none"
            ) from error


def weigh(lab: str, name: str, v1: int, v2: int, check: bool) -> bool:
    """Set a cgroup's CPU weight; return whether it was another."""
    paths = cgroup_paths(lab, name)
    file, value = (
        (Path(paths["cpu"], "cpu.shares"), v1)
        if paths["version"] == 1
        else (Path(paths["cpu"], "cpu.weight"), v2)
    )
    if file.exists() and int(file.read_text(encoding="ascii")) == value:
        return False
    if not check:
        file.write_text(str(value), encoding="ascii")
    return True


def lab_cgroups(lab: str) -> list[Path]:
    """Return every cgroup directory of a lab, deepest first, and none that is somebody else's."""
    parts = (*CONTROLLERS, *_io_controller())
    controllers = [CGROUP_ROOT] if is_unified() else [CGROUP_ROOT / c for c in parts]
    # Two controllers may share one hierarchy under two names.
    tops = dict.fromkeys((controller / lab).resolve() for controller in controllers)
    found: list[Path] = []
    for top in tops:
        own = [top / name for name in ("pods", "observers", "neighbour") if (top / name).is_dir()]
        for child in own:
            found += [Path(entry[0]) for entry in os.walk(child, topdown=False)]
        found += [top] if own else []
    return found


def thaw(directories: Iterable[Path]) -> None:
    """Let frozen cgroups go on: a frozen process takes no signal."""
    for directory in directories:
        for name, value in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
            if (file := directory / name).exists():
                file.write_text(value, encoding="ascii")


def remove_cgroups(directories: Iterable[Path], timeout_s: float = 5.0) -> None:
    """Remove empty cgroups; the last threads of an ended process may keep one for a moment."""
    end = time.monotonic() + timeout_s
    for directory in directories:
        while directory.is_dir():
            try:
                directory.rmdir()
            except OSError as error:
                if time.monotonic() > end:
                    raise PodError(
                        f"cannot remove the cgroup {directory} ({error.strerror}): end or move the "
                        "processes in its cgroup.procs, then run lab_down again"
                    ) from error
                time.sleep(0.05)


# --- processes -----------------------------------------------------------------------------------


def cgroup_processes(directories: Iterable[Path]) -> set[Process]:
    """Return the running processes of these cgroups."""
    found: set[Process | None] = set()
    for directory in directories:
        try:
            text = Path(directory, "cgroup.procs").read_text(encoding="ascii")
        except FileNotFoundError:
            continue
        found.update(processes.identify(int(pid)) for pid in text.split())
    return {process for process in found if process is not None}


def marked_processes(lab: str) -> set[Process]:
    """Return this user's processes that carry the lab's mark, and their descendants."""
    return set(processes.with_environment({"RCALAB_LAB": lab}))


def end_processes(find: Callable[[], set[Process]], timeout_s: float = 20.0) -> int:
    """End what ``find()`` returns, by SIGTERM, and after a quarter of the time by SIGKILL.

    This process and those that it comes from are spared. What was found once is ended even if
    ``find()`` no longer knows it, as a descendant whose marked parent is gone. Returns how many
    processes were ended; raises PodError when some are still there at the end.
    """
    spared = set(processes.ancestors(os.getpid()))
    start = time.monotonic()
    known: set[Process] = set()
    sent: dict[Process, signal.Signals] = {}
    while True:
        known |= {process for process in find() if process.pid not in spared}
        left = [process for process in known if processes.is_alive(process)]
        if not left:
            return len(known)
        waited = time.monotonic() - start
        if waited > timeout_s:
            raise PodError(
                f"processes {sorted(process.pid for process in left)} do not end; "
                "look at them with ps, then run lab_down again"
            )
        kind = signal.SIGTERM if waited < timeout_s / 4 else signal.SIGKILL
        for process in left:
            if sent.get(process) != kind:
                sent[process] = kind
                processes.send(process, kind)
                # A stopped process handles SIGTERM only when it goes on.
                processes.send(process, signal.SIGCONT)
        time.sleep(0.1)


# --- network -------------------------------------------------------------------------------------


def make_bridge(lab: str, name: str, address: str, check: bool) -> bool:
    """Make the lab's bridge with ``address``/24 on it; refuse one that is somebody else's."""
    present = links()
    if (bridge := present.get(name)) is not None:
        if bridge.get("ifalias") != owner(lab):
            raise PodError(
                f"a network device {name} exists and is not the lab's: "
                "set lab_bridge to another name"
            )
        if address not in _addresses(bridge):
            raise PodError(
                f"the lab's bridge {name} has not the address {address}: run lab_down, then lab_up"
            )
        return False
    network = address.rpartition(".")[0]
    for link in present.values():
        for taken in _addresses(link):
            if taken.rpartition(".")[0] == network:
                raise PodError(
                    f"{link['ifname']} has {taken}, in the lab's network {network}.0/24: "
                    "set lab_network to three other octets"
                )
    if not check:
        run("ip", "link", "add", "name", name, "type", "bridge")
        # The kernel takes no alias with the device's making.
        run("ip", "link", "set", name, "alias", owner(lab))
        run("ip", "address", "add", f"{address}/24", "dev", name)
        run("ip", "link", "set", name, "up")
    return True


def _addresses(link: dict[str, Any]) -> list[str]:
    return [info["local"] for info in link.get("addr_info", []) if "local" in info]


def make_network(pod: Pod, bridge: str, check: bool) -> bool:
    """Make a pod's network namespace and its veth on the bridge."""
    present = pod.netns() in namespaces()
    if present and links().get(pod.interface(), {}).get("master") == bridge:
        return False
    if check:
        return True
    remove_network(pod.netns(), pod.interface())
    inside = ("ip", "-netns", pod.netns())
    run("ip", "netns", "add", pod.netns())
    run(
        "ip",
        "link",
        "add",
        pod.interface(),
        "type",
        "veth",
        "peer",
        "name",
        "eth0",
        "netns",
        pod.netns(),
    )
    run(*inside, "address", "add", f"{pod.address}/24", "dev", "eth0")
    run(*inside, "link", "set", "eth0", "up")
    run(*inside, "link", "set", "lo", "up")
    # Last, because it tells a whole network from one whose making was interrupted.
    run("ip", "link", "set", pod.interface(), "master", bridge, "up")
    return True


def remove_network(netns: str, interface: str) -> bool:
    """Remove a network namespace and the host's end of its veth, where they are."""
    changed = False
    if interface in links():
        run("ip", "link", "delete", interface)
        changed = True
    if netns in namespaces():
        run("ip", "netns", "delete", netns)
        changed = True
    return changed


def lab_networks(lab: str) -> tuple[list[str], list[str], list[str]]:
    """Return what of a lab's network is there: namespaces, veths, bridges."""
    present = links()
    bridges = [name for name, link in present.items() if link.get("ifalias") == owner(lab)]
    veths = [
        name
        for name, link in present.items()
        if name.startswith(f"{lab}-") and link.get("linkinfo", {}).get("info_kind") == "veth"
    ]
    return sorted(n for n in namespaces() if n.startswith(f"{lab}-")), veths, bridges
