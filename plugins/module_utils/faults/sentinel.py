# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watchdog while it waits: as small as can be, for it stays as long as the fault does.

It is run by its source (``python -c``): standard library only, and nothing of this package. What is
large, the undo, is the agent's, which it starts when the time has come. It is handed open files,
for these outlive their names.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from pathlib import Path

_LOOK_S = 0.25
_RETRY_S = 1.0


def main() -> None:
    """Watch over a window, and have its fault undone where nobody else does that.

    Its arguments are the runner's pidfd, the files of `Window` (where to tell that it watches, what
    is there once the undo is done, the lease), its patience (`Patience`), and the command that
    undoes the fault, to which it adds the reason.
    """
    runner, own, undone, lease, ttl_s, lease_s, retry_s, *command = sys.argv[1:]
    if os.fork() != 0:
        # The first process adopts the child. The caller has made the session: no terminal is left.
        return
    tell(Path(own))
    reason = wait(int(runner), Path(undone), Path(lease), float(ttl_s), float(lease_s))
    if reason is None:
        return
    end = time.monotonic() + float(retry_s)
    # The agent tries for as long itself: where it ends earlier, something has ended it.
    # pylint: disable-next=ansible-bad-function
    while os.spawnv(os.P_WAIT, command[0], [*command, reason]) != 0:  # noqa: S606 - the agent's
        if time.monotonic() > end:
            return
        time.sleep(_RETRY_S)


def tell(path: Path) -> None:
    """Write who watches, whole or not at all, and synced: the dose waits for it."""
    stat = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace")
    process = {"pid": os.getpid(), "start": int(stat.rpartition(")")[2].split()[19])}
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="ascii") as handle:
        json.dump(process, handle)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def wait(runner: int, undone: Path, lease: Path, ttl_s: float, lease_s: float) -> str | None:
    """Return why the fault has to be undone, or None once it is."""
    death = select.poll()
    death.register(runner, select.POLLIN)
    renewed = time.monotonic()
    end, held = renewed + ttl_s, _content(lease)
    while not undone.exists():
        if death.poll(_LOOK_S * 1000):
            # It may have ended well between the two looks.
            return None if undone.exists() else "the runner was gone"
        now, found = time.monotonic(), _content(lease)
        if found != held:
            held, renewed = found, now
        if now > end:
            return "the time to live was over"
        if now - renewed > lease_s:
            return f"the lease was not renewed for {lease_s:g} s"
    return None


def _content(lease: Path) -> bytes:
    """Return what the lease holds; one that can't be read is not renewed."""
    try:
        return lease.read_bytes()
    except OSError:
        return b""


if __name__ == "__main__":
    main()
