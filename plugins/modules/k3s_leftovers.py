#!/usr/bin/python
# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: k3s_leftovers
short_description: End what outlives k3s on a host
version_added: 0.1.0
description:
  - Ends every container that k3s' containerd has started, and removes its mounts, network namespaces, interfaces and
    packet filter rules. Files stay. Stop k3s first.
  - A container belongs to k3s if it descends from a C(containerd-shim) in k3s' own folder; other engines' containers stay.
author: The rcalab.llm authors (@rcalab)
attributes:
  check_mode:
    description: Can run in check mode and tell what would change.
    support: full
  diff_mode:
    description: Returns what was and what is when in diff mode.
    support: none
options: {}
"""

EXAMPLES = r"""
- name: End what is left
  rcalab.llm.k3s_leftovers:
"""

RETURN = r"""
processes:
  description: How many processes were ended.
  type: int
  returned: always
mounts:
  description: What was unmounted.
  type: list
  elements: str
  returned: always
links:
  description: The interfaces that were removed.
  type: list
  elements: str
  returned: always
rules:
  description: The address families whose packet filter lost rules, C(iptables) or C(ip6tables).
  type: list
  elements: str
  returned: always
"""

import contextlib
import os
import signal
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rcalab.llm.plugins.module_utils._k3s_leftovers import (
    container_processes,
    links_of,
    mounts_of,
    network_namespaces,
    rules_without,
)

_PROC = Path("/proc")
_MOUNTS = Path("/proc/self/mounts")
_LINKS = Path("/sys/class/net")
_END_S = 30


def end_processes(module: AnsibleModule) -> int:
    """End them until none is left: one may start another meanwhile."""
    ended: set[int] = set()
    deadline = time.monotonic() + _END_S
    while found := container_processes(_PROC):
        ended.update(found)
        if module.check_mode:
            break
        if time.monotonic() > deadline:
            module.fail_json(msg=f"processes {found} of containers do not end")
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    return len(ended)


def unmount(module: AnsibleModule) -> list[str]:
    points = mounts_of(_MOUNTS.read_text(encoding="utf-8"))
    if not module.check_mode:
        for point in points:
            # Lazily: a process outside the containers may look at it.
            module.run_command(["umount", "--lazy", point], check_rc=True)
        for path in network_namespaces():
            Path(path).unlink()
    return points


def remove_links(module: AnsibleModule) -> list[str]:
    links = links_of(path.name for path in _LINKS.iterdir())
    if not module.check_mode:
        for link in links:
            # One end of a pair takes the other along.
            if (_LINKS / link).exists():
                module.run_command(["ip", "link", "delete", link], check_rc=True)
    return links


def remove_rules(module: AnsibleModule) -> list[str]:
    touched = []
    for family in ("iptables", "ip6tables"):
        if not module.get_bin_path(f"{family}-save"):
            continue
        _rc, saved, _err = module.run_command([f"{family}-save"], check_rc=True)
        kept = rules_without(saved)
        if kept != saved:
            touched.append(family)
            if not module.check_mode:
                module.run_command([f"{family}-restore"], data=kept, check_rc=True)
    return touched


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    processes = end_processes(module)
    mounts = unmount(module)
    links = remove_links(module)
    rules = remove_rules(module)
    module.exit_json(
        changed=bool(processes or mounts or links or rules),
        processes=processes,
        mounts=mounts,
        links=links,
        rules=rules,
    )


if __name__ == "__main__":
    main()
