# SPDX-License-Identifier: Apache-2.0
"""Boot Debian hosts with a real systemd for molecule, and leave nothing of them.

Each node is systemd-nspawn over an overlay of one root file system, which debootstrap makes once.
The nodes of one group share a bridge that leads nowhere: they reach each other and nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "systemd_nodes"
SUITE = "bookworm"
# What a managed host has before a role comes, and what k3s' stand-in is written in.
PACKAGES = [
    "dbus",
    "iproute2",
    "openssl",
    "procps",
    "python3",
    "python3-apt",
    "python3-yaml",
    "systemd",
    "systemd-sysv",
]
# What roles install: the packages lie in the node's cache, where apt finds them without a network.
CACHED = ["stress-ng"]
BOOT_TIMEOUT_S = 60
END_TIMEOUT_S = 20


def run(*command: str | Path, check: bool = True) -> str:
    """Run a command and return what it says, without the last newline."""
    answer = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if check and answer.returncode:
        said = (answer.stderr or answer.stdout).strip()
        raise SystemExit(f"{' '.join(map(str, command))}: {said}")
    return answer.stdout.strip()


def wait_for(what: str, condition: Callable[[], int], timeout_s: float) -> int:
    """Ask until the answer is true, and return it."""
    deadline = time.monotonic() + timeout_s
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: still not after {timeout_s:g} s")
        time.sleep(0.1)
    return answer


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Let one process at a time in: scenarios run side by side."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def base() -> Path:
    """Return the root file system that every node stands on, made if it is not there."""
    for program in ("debootstrap", "systemd-nspawn"):
        if not shutil.which(program):
            raise SystemExit(f"{program} is missing: `make setup-test` installs it")
    wanted = hashlib.sha1(repr((SUITE, PACKAGES, CACHED)).encode(), usedforsecurity=False)
    folder = CACHE / f"{SUITE}-{wanted.hexdigest()[:8]}"
    with lock(CACHE / "lock"):
        if not folder.is_dir():
            fresh = folder.with_suffix(".new")
            shutil.rmtree(fresh, ignore_errors=True)
            included = f"--include={','.join(PACKAGES)}"
            run("debootstrap", "--variant=minbase", included, SUITE, fresh)
            run("chroot", fresh, "apt-get", "update", "--quiet")
            install = ["install", "--yes", "--no-install-recommends", "--download-only"]
            run("chroot", fresh, "apt-get", *install, *CACHED)
            # debootstrap leaves this machine's own: a node has another name, and asks nobody.
            (fresh / "etc" / "hostname").unlink(missing_ok=True)
            (fresh / "etc" / "resolv.conf").write_text("")
            fresh.rename(folder)
    return folder


class Node:
    """One host, by a name that no other on this machine has."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = CACHE / "nodes" / name
        self.root = self.folder / "root"
        # Read by the inventory, for the connection.
        self.leader_file = self.folder / "leader"

    def up(self, hostname: str, group: str, address: str) -> None:
        """Boot the node and give it its address."""
        lower = base()
        upper, work = self.folder / "upper", self.folder / "work"
        for folder in (upper, work, self.root):
            folder.mkdir(parents=True)
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        run("mount", "-t", "overlay", "overlay", "-o", options, self.root)
        self._boot(hostname, group)
        leader = wait_for(f"{self.name} has a first process", self._leader, BOOT_TIMEOUT_S)
        self._wait_until_it_runs(leader)
        inside = ("nsenter", "--target", str(leader), "--net")
        run("ip", "link", "set", f"vz-{group}", "up")
        run(*inside, "ip", "address", "add", address, "dev", "host0")
        run(*inside, "ip", "link", "set", "host0", "up")
        self.leader_file.write_text(str(leader))

    def down(self) -> None:
        """End the node, in whatever state it is, and remove its files."""
        leader, watcher = self._leader(), self._watcher()
        if leader:
            run("nsenter", "--target", str(leader), "--all", "systemctl", "poweroff", check=False)
        if watcher:
            try:
                wait_for(f"{self.name} ends", lambda: not self._watcher(), END_TIMEOUT_S)
            except SystemExit:
                os.kill(watcher, signal.SIGKILL)
                wait_for(f"{self.name} is dead", lambda: not self._watcher(), END_TIMEOUT_S)
        if os.path.ismount(self.root):
            run("umount", "--recursive", self.root)
        shutil.rmtree(self.folder, ignore_errors=True)
        for cgroup in self._cgroups():
            for path in sorted(cgroup.rglob("*/"), reverse=True):
                path.rmdir()
            with contextlib.suppress(FileNotFoundError):
                cgroup.rmdir()

    def _boot(self, hostname: str, group: str) -> None:
        cgroups = self._cgroups()

        def enter() -> None:
            # Two nodes in one cgroup would share their units' cgroups, and end each other's.
            for cgroup in cgroups:
                cgroup.mkdir(exist_ok=True)
                (cgroup / "cgroup.procs").write_text(str(os.getpid()))

        command = ["systemd-nspawn", "--quiet", "--boot", f"--directory={self.root}"]
        command += [f"--machine={self.name}", f"--hostname={hostname}", f"--network-zone={group}"]
        command += ["--register=no", "--keep-unit", "--link-journal=no", "--resolv-conf=off"]
        with (self.folder / "console").open("wb") as console:
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
                preexec_fn=enter,
            )

    def _cgroups(self) -> list[Path]:
        """Name the node's own cgroup in each hierarchy that systemd uses.

        Where both versions are mounted it wants the same path in both.
        """
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
        return [
            Path(point) / self.name
            for _device, point, kind, options, *_rest in mounts
            if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options.split(","))
        ]

    def _watcher(self) -> int:
        """Return the id of the node's systemd-nspawn, or 0."""
        mark = f"--machine={self.name}".encode()
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = path.read_bytes().split(b"\0")
                if words[0].endswith(b"systemd-nspawn") and mark in words:
                    return int(path.parent.name)
        return 0

    def _leader(self) -> int:
        """Return the id of the node's first process, or 0."""
        watcher = self._watcher()
        with contextlib.suppress(OSError):
            for child in Path(f"/proc/{watcher}/task/{watcher}/children").read_text().split():
                # systemd-nspawn has other children while it makes the node.
                status = Path(f"/proc/{child}/status").read_text()
                if re.search(r"^NSpid:.*\t1$", status, re.MULTILINE):
                    return int(child)
        return 0

    def _wait_until_it_runs(self, leader: int) -> None:
        systemctl = ("nsenter", "--target", str(leader), "--all", "systemctl", "--no-pager")
        state = ""

        def runs() -> bool:
            nonlocal state
            state = run(*systemctl, "is-system-running", check=False)
            return state == "running"

        try:
            wait_for(f"{self.name} runs", runs, BOOT_TIMEOUT_S)
        except SystemExit as late:
            failed = run(*systemctl, "--failed", "--no-legend", check=False)
            jobs = run(*systemctl, "list-jobs", "--no-legend", check=False)
            raise SystemExit(f"{late}: {state}. Failed: {failed}. Jobs: {jobs}") from None


def main() -> int:
    """Run one command: ``up``, ``down``."""
    parser = argparse.ArgumentParser(description="Boot or end Debian hosts with systemd.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="boot a node")
    up.add_argument("name")
    up.add_argument("--hostname", required=True)
    up.add_argument("--group", required=True, help="nodes of one group reach each other")
    up.add_argument("--address", required=True, help="as 192.0.2.1/24")
    down = verbs.add_parser("down", help="end a node and remove all of it")
    down.add_argument("name")
    options = parser.parse_args()
    node = Node(options.name)
    if options.verb == "down":
        node.down()
        return 0
    try:
        node.up(options.hostname, options.group, options.address)
    except BaseException:
        node.down()
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
