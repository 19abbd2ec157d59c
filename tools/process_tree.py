# SPDX-License-Identifier: Apache-2.0
"""Kill a process with everything that it started, as far as it is still its descendant."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import defaultdict
from pathlib import Path


def descendants(root: int) -> list[int]:
    """Return the ids of a process's descendants, children before grandchildren."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                stat = (entry / "stat").read_text(encoding="utf-8", errors="replace")
                children[int(stat.rpartition(")")[2].split()[1])].append(int(entry.name))
    found = [root]
    for pid in found:
        found.extend(children[pid])
    return found[1:]


def kill_tree(root: int) -> None:
    """Kill a process and its descendants at once with SIGKILL.

    What has left the tree (a daemon of its own session, such as a watchdog) is not touched.
    """
    for pid in [root, *descendants(root)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
