# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pods of this host, as ``pods.json`` lists them: the only things a fault may touch."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import processes
from .cgroups import CpuCgroup, cpu_cgroup, is_cgroup_path, pids_in
from .errors import RefusedError
from .network import Netns
from .processes import Process

FORMAT = 1
ISOLATIONS = ("netns", "none")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_LAB_UP = "run the playbook lab_up"


@dataclass(frozen=True)
class Pod:
    """One pod of the lab.

    Attributes
    ----------
    lab
        The lab that it belongs to.
    name, component
        Such as ``replica-0`` and ``replica/llm-0``.
    isolation
        ``netns`` or ``none``.
    cgroup
        Its CPU controller; None with isolation ``none``.
    netns
        Its network namespace; None with isolation ``none``.
    address
        Where its programs listen; None where nobody asked.
    controllers
        Its folder in the hierarchy of each cgroup controller; the same one with cgroup version 2.
    """

    lab: str
    name: str
    component: str
    isolation: str
    cgroup: CpuCgroup | None
    netns: Netns | None = None
    address: str | None = None
    controllers: Mapping[str, Path] = field(default_factory=dict)

    def processes(self) -> list[Process]:
        """Return the pod's processes: its cgroup's, or those that carry its mark."""
        return pod_processes(self.lab, self.name, None if self.cgroup is None else self.cgroup.cpu)

    def controller(self, name: str) -> Path:
        """Return the pod's folder in the hierarchy of a cgroup controller.

        Raises
        ------
        RefusedError
            If it has none.
        """
        folder = self.controllers.get(name)
        if folder is None or not folder.is_dir():
            raise RefusedError(f"pod {self.name} has no cgroup of the controller {name}")
        return folder


def pod_processes(lab: str, pod: str, cgroup: Path | None) -> list[Process]:
    """Return a pod's processes: those of its cgroup, or without one those that carry its mark."""
    if cgroup is None:
        return marked_processes(lab, pod)
    found = (processes.identify(pid) for pid in pids_in(cgroup))
    return [process for process in found if process is not None]


def marked_processes(lab: str, pod: str) -> list[Process]:
    """Return the processes that carry the marks of a pod in their environment."""
    return processes.with_environment({"RCALAB_LAB": lab, "RCALAB_POD": pod})


def load_pods(path: Path) -> list[Pod]:
    """Read the pods of ``pods.json``; see `load_lab_pods`."""
    return load_lab_pods(path)[2]


def load_lab_pods(path: Path) -> tuple[str, str, list[Pod]]:
    """Read ``pods.json``: the lab's name, its isolation and its pods.

    Raises
    ------
    RefusedError
        If it is missing (the lab is not up), is no such file, or names a cgroup outside the
        machine's cgroup hierarchies.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RefusedError(
            f"{path} is missing: the lab is not up on this host; {_LAB_UP}"
        ) from error
    except (OSError, ValueError) as error:
        raise RefusedError(f"{path} can't be read as the list of pods: {error}") from error
    try:
        if data["format"] != FORMAT:
            raise ValueError(f"its format is {data['format']!r}, not {FORMAT}")
        if data["isolation"] not in ISOLATIONS:
            raise ValueError(f"its isolation is {data['isolation']!r}, not one of {ISOLATIONS}")
        if not _NAME.fullmatch(data["lab"]):
            raise ValueError(f"{data['lab']!r} is no lab's name")
        lab, isolation = data["lab"], data["isolation"]
        return lab, isolation, [_pod(item, lab, isolation) for item in data["pods"]]
    except (KeyError, TypeError, ValueError) as error:
        detail = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise RefusedError(f"{path} is not a list of pods of this lab: {detail}") from error


def _pod(item: dict[str, Any], lab: str, isolation: str) -> Pod:
    name = item["name"]
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no pod's name")
    cgroup = item["cgroup"]
    if (cgroup is None) != (isolation == "none"):
        raise ValueError(f"pod {name} has the wrong cgroup entry for isolation {isolation}")
    if cgroup is None:
        return Pod(lab, name, item["component"], isolation, None, address=item.get("address"))
    controllers = {key: Path(value) for key, value in cgroup.items() if key != "version"}
    for path in controllers.values():
        # A dose on a parent or on another's cgroup would starve more than the pod.
        if not is_cgroup_path(path) or not _is_named(path, name, item.get("uid")):
            raise ValueError(f"{path} is no cgroup of pod {name}")
    return Pod(
        lab,
        name,
        item["component"],
        isolation,
        cpu_cgroup(cgroup["version"], controllers["cpu"], controllers["cpuacct"]),
        netns=_netns(item, lab),
        address=item.get("address"),
        controllers=controllers,
    )


def _is_named(path: Path, name: str, uid: str | None) -> bool:
    """Say whether a cgroup is named as the pod, or as the kubelet names one by its uid."""
    if uid is None:
        return path.name == name
    return f"pod{uid}" in path.name.replace("_", "-")


def _netns(item: dict[str, Any], lab: str) -> Netns | None:
    """Return a pod's network namespace; one of another name would not be the pod's."""
    named = item.get("netns")
    if named is None:
        return None
    if named != f"{lab}-{item['name']}":
        raise ValueError(f"{named!r} is no network namespace of pod {item['name']}")
    return Netns(named)


def find_pod(pods: list[Pod], component: str) -> Pod:
    """Return the one pod of ``component``.

    Raises
    ------
    RefusedError
        If there is none or more than one, if nothing runs in it, or if the fault would hit the
        process that has to end it.
    """
    found = [pod for pod in pods if pod.component == component]
    if len(found) != 1:
        valid = ", ".join(sorted(pod.component for pod in pods)) or "none"
        what = "no pod" if not found else f"{len(found)} pods"
        raise RefusedError(
            f"target {component!r} is {what} of this lab, and only a pod can be a target; "
            f"its components are: {valid}"
        )
    pod = found[0]
    if pod.cgroup is not None and not pod.cgroup.cpu.is_dir():
        raise RefusedError(f"pod {pod.name} has no cgroup {pod.cgroup.cpu}; {_LAB_UP}")
    running = {process.pid for process in pod.processes()}
    if not running:
        raise RefusedError(f"nothing runs in pod {pod.name} of {component}; {_LAB_UP}")
    if running.intersection(processes.ancestors(os.getpid())):
        raise RefusedError(f"pod {pod.name} holds this very process, which has to end the fault")
    return pod
