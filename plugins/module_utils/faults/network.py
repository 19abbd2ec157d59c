# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packet filter and the queueing discipline of a pod's network namespace.

What the faults put there is in one chain of their own, added and taken away in one transaction, or
is one queueing discipline where there was none: the undo needs to know no more than that.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import programs
from .errors import RefusedError

CHAIN = "RCALAB-CHAOS"
LOOPBACK = "lo"
POD_DEVICE = "eth0"
# The machine's own network, which has no name; no namespace's name can hold a colon.
HOST = "host:"
_TIMEOUT_S = 10
_NETNS_FOLDER = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_NETNS = re.compile(r"[a-z][a-z0-9-]{0,62}")
_COUNTED = re.compile(r"\[(\d+):(\d+)\] (-A .+)")
# What the kernel gives a virtual device by itself.
_NO_QDISC = "noqueue"


def run(arguments: Sequence[str], text: str = "") -> str:
    """Run a program and return what it printed.

    Raises
    ------
    OSError
        If it is missing, fails or hangs; the text has what it said.
    """
    done = programs.run(arguments, _TIMEOUT_S, text=text)
    if done.returncode != 0:
        said = done.stderr.strip().replace("\n", "; ")
        raise OSError(f"{' '.join(arguments)}: {said or f'exit code {done.returncode}'}")
    return done.stdout


def need_programs(*names: str) -> None:
    """Raise `RefusedError` where a program is not installed."""
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        raise RefusedError(
            f"{', '.join(missing)} is not installed on this host: install Debian's iptables and "
            f"iproute2, or run `make setup`"
        )


@dataclass(frozen=True)
class Netns:
    """A network namespace by name, as ``ip netns`` knows it."""

    name: str

    def __post_init__(self) -> None:
        if self.name != HOST and not _NETNS.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no network namespace's name")

    def exists(self) -> bool:
        """Say whether there is one."""
        if self.name == HOST:
            return True
        listed = json.loads(run(["ip", "-json", "netns", "list"]) or "[]")
        return any(entry["name"] == self.name for entry in listed)

    def run(self, *arguments: str, text: str = "") -> str:
        """Run a program in it; see :func:`run`."""
        enter = [] if self.name == HOST else ["ip", "netns", "exec", self.name]
        return run([*enter, *arguments], text)

    def open_socket(self, make: Callable[[], socket.socket]) -> socket.socket:
        """Return a socket that belongs to it.

        A socket stays in the namespace in which it was made; only the thread that makes it enters.

        Raises
        ------
        OSError
            If the namespace can't be entered, or ``make`` fails.
        """
        made: list[socket.socket | OSError] = []

        def enter_and_make() -> None:
            libc = ctypes.CDLL(None, use_errno=True)
            try:
                with (_NETNS_FOLDER / self.name).open() as handle:
                    if libc.setns(handle.fileno(), _CLONE_NEWNET) != 0:
                        code = ctypes.get_errno()
                        raise OSError(code, f"can't enter {self.name}: {os.strerror(code)}")
                made.append(make())
            except OSError as error:
                made.append(error)

        thread = threading.Thread(target=enter_and_make)
        thread.start()
        thread.join()
        if isinstance(made[0], OSError):
            raise made[0]
        return made[0]

    def has_chain(self) -> bool:
        """Say whether a fault's chain, or a jump to it, is there."""
        return any(CHAIN in line for line in self.run("iptables-save").splitlines())

    def add_rules(self, hooks: Sequence[str], rules: Sequence[str]) -> None:
        """Make the chain of ``rules`` and jump to it from each of ``hooks``, all or nothing."""
        self._commit(
            f":{CHAIN} - [0:0]",
            *(f"-A {CHAIN} {rule}" for rule in rules),
            *(f"-I {hook} 1 -j {CHAIN}" for hook in hooks),
        )

    def remove_rules(self) -> None:
        """Take the chain and the jumps to it away; nothing happens where there are none."""
        saved = self.run("iptables-save", "-t", "filter").splitlines()
        jumps = [line for line in saved if line.startswith("-A ") and line.endswith(f"-j {CHAIN}")]
        chain = [f"-F {CHAIN}", f"-X {CHAIN}"] if self._declares_chain(saved) else []
        if jumps or chain:
            self._commit(*(line.replace("-A ", "-D ", 1) for line in jumps), *chain)

    def packets(self) -> list[int]:
        """Return how many packets each rule of the chain has met, in their order.

        Raises
        ------
        OSError
            If the chain is gone.
        """
        counted = map(_COUNTED.fullmatch, self.run("iptables-save", "-c").splitlines())
        ours = [match for match in counted if match and match[3].startswith(f"-A {CHAIN} ")]
        if not ours:
            raise OSError(f"the fault's rules are gone from the packet filter of {self.name}")
        return [int(match[1]) for match in ours]

    def _declares_chain(self, saved: Sequence[str]) -> bool:
        return any(line.startswith(f":{CHAIN} ") for line in saved)

    def _commit(self, *lines: str) -> None:
        text = "\n".join(("*filter", *lines, "COMMIT", ""))
        self.run("iptables-restore", "--noflush", "--wait", "5", text=text)

    def qdisc(self, device: str = POD_DEVICE) -> dict[str, Any]:
        """Return the root queueing discipline of a device, with its counters."""
        shown = json.loads(self.run("tc", "-json", "-statistics", "qdisc", "show", "dev", device))
        return next((entry for entry in shown if entry.get("root")), {"kind": _NO_QDISC})

    def set_qdisc(self, *discipline: str, device: str = POD_DEVICE) -> None:
        """Put a queueing discipline at the root of a device that has none."""
        self.run("tc", "qdisc", "add", "dev", device, "root", *discipline)

    def remove_qdisc(self, device: str = POD_DEVICE) -> None:
        """Give a device back the discipline that the kernel gives it by itself."""
        if self.qdisc(device)["kind"] != _NO_QDISC:
            self.run("tc", "qdisc", "del", "dev", device, "root")

    def has_qdisc(self, device: str = POD_DEVICE) -> bool:
        """Say whether a device has a discipline of its own."""
        return bool(self.qdisc(device)["kind"] != _NO_QDISC)
