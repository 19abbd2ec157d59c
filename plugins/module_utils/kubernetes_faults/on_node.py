# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that does one fault of the host's catalogue to a pod of the node it runs on.

It is the one process of a privileged pod, run by its source: standard library only, and nothing of
this package. It sees the node's processes and cgroups, and leaves the work to the chaos agent,
whose journal it prints. It outlives the agent, because with it the agent's watchdog would end too.
Should it be killed itself, the kubelet starts it once more, and it puts back what it finds.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

# There is no AnsibleModule in the pod.
# pylint: disable=ansible-bad-function

AGENT, STATE = Path("/agent"), Path("/state")
CGROUPS = Path("/sys/fs/cgroup")
SAID = Path("/dev/termination-log")
_CONTROLLERS = ("cpu", "cpuacct", "memory", "blkio", "pids", "freezer")
_LOOK_S = 0.2
_UNDO_S = 300.0


def find_folder(root: Path, uid: str) -> Path:
    """Return the cgroup of a pod below ``root``: that of all its containers."""
    names = (f"pod{uid}", f"pod{uid.replace('-', '_')}")
    found = [
        path
        for path in sorted(root.rglob("*pod*"), key=lambda path: len(path.parts))
        if path.is_dir() and any(name in path.name for name in names)
    ]
    if not found:
        raise SystemExit(f"no cgroup below {root} is that of pod {uid}")
    return found[0]


def describe(target: dict[str, str]) -> dict[str, object]:
    """Return ``pods.json`` for the one pod."""
    if (CGROUPS / "cgroup.controllers").exists():
        folder = str(find_folder(CGROUPS, target["uid"]))
        cgroup: dict[str, object] = {"version": 2, **dict.fromkeys((*_CONTROLLERS, "io"), folder)}
    else:
        there = [name for name in _CONTROLLERS if (CGROUPS / name).is_dir()]
        folders = {name: str(find_folder(CGROUPS / name, target["uid"])) for name in there}
        cgroup = {"version": 1, **folders}
    pod = {
        "name": "pod",
        "uid": target["uid"],
        "component": target["component"],
        "address": target["address"],
        "netns": None,
        "interface": None,
        "cgroup": cgroup,
    }
    return {"format": 1, "lab": "cluster", "isolation": "netns", "pods": [pod]}


def _call(*arguments: str) -> list[str]:
    return [sys.executable, str(AGENT / "agent.pyz"), *arguments]


def _left() -> list[Path]:
    return list(STATE.glob("state/windows/*/undo.json"))


def _tell(offset: int) -> int:
    """Print what is new in the journal."""
    journal = STATE / "state/journal.jsonl"
    if not journal.exists():
        return offset
    with journal.open("rb") as handle:
        handle.seek(offset)
        new = handle.read()
    whole = new[: new.rfind(b"\n") + 1]
    sys.stdout.write(whole.decode())
    sys.stdout.flush()
    return offset + len(whole)


def main() -> int:
    """Do the fault, see to its end, and leave its truth where the kubelet reads it."""
    state = ("--state-dir", str(STATE / "state"))
    if _left():
        SAID.write_text("the program was started anew and put the pod back", encoding="utf-8")
        return subprocess.run(_call("revert", *state), check=False).returncode
    target = json.loads((AGENT / "target.json").read_text(encoding="utf-8"))
    (STATE / "pods.json").write_text(json.dumps(describe(target)), encoding="utf-8")
    run = _call("run", *state, "--pods", str(STATE / "pods.json"))
    run += ["--spec", str(AGENT / "spec.json")]
    with subprocess.Popen(
        run, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as agent:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda received, _frame: agent.send_signal(received))
        offset = 0
        while agent.poll() is None:
            offset = _tell(offset)
            time.sleep(_LOOK_S)
        said = agent.stdout.read() if agent.stdout else ""
    end = time.monotonic() + _UNDO_S
    while _left() and time.monotonic() < end:
        time.sleep(_LOOK_S)
    _tell(offset)
    SAID.write_text(said.strip()[-4000:], encoding="utf-8")
    return 1 if _left() else 0


if __name__ == "__main__":
    raise SystemExit(main())
