# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that gives a dose by being there: it burns CPU time, holds memory or reads a disk.

It is run by its source (``python -c``), so that it needs no file of its own: standard library only,
and nothing of this package. It ends by itself: with its parent, or when its time is over.
"""

from __future__ import annotations

import argparse
import ctypes
import mmap
import os
import signal
import sys
import threading
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_MIB = 1024 * 1024
_BLOCK = 64 * 1024


def burn(end: float) -> None:
    """Use one core until ``end``."""
    while time.monotonic() < end:
        for _turn in range(10_000):
            pass


def hold(end: float, mebibytes: int) -> None:
    """Hold so much memory, each page written to, until ``end``."""
    held = []
    for _block in range(mebibytes):
        # Private: what is shared counts as page cache.
        block = mmap.mmap(-1, _MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        for offset in range(0, _MIB, mmap.PAGESIZE):
            block[offset] = 1
        held.append(block)
    _say("held")
    time.sleep(max(0.0, end - time.monotonic()))


def read(path: str, size: int) -> None:
    """Read so many bytes of a file past the page cache, and say how many seconds it took."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECT)
    buffer = mmap.mmap(-1, _BLOCK)  # aligned, as O_DIRECT asks for
    begin, left = time.monotonic(), size
    while left > 0:
        got = os.readv(handle, [buffer])
        if got < _BLOCK:
            os.lseek(handle, 0, os.SEEK_SET)
        left -= got
    _say(f"{time.monotonic() - begin:.6f}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _tie_to(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit("the parent is gone")


def main() -> None:
    """Join the cgroups, say so, and do the work."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--cgroup", action="append", default=[])
    parser.add_argument("--oom-score", type=int, default=0)
    parser.add_argument("work", choices=("burn", "hold", "read"))
    parser.add_argument("--mebibytes", type=int, default=0)
    parser.add_argument("--path", default="")
    parser.add_argument("--bytes", type=int, default=0)
    options = parser.parse_args()
    _tie_to(options.parent)
    if options.oom_score:
        Path("/proc/self/oom_score_adj").write_text(str(options.oom_score), encoding="ascii")
    for cgroup in options.cgroup:
        Path(cgroup, "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")
    _say("ready")
    end = time.monotonic() + options.seconds
    # A read or an allocation may block: the time to live must not wait for it.
    timer = threading.Timer(options.seconds + 1, os._exit, (1,))
    timer.daemon = True
    timer.start()
    if options.work == "burn":
        burn(end)
    elif options.work == "hold":
        hold(end, options.mebibytes)
    else:
        read(options.path, options.bytes)


if __name__ == "__main__":
    main()
