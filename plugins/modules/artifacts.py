#!/usr/bin/python
# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: artifacts
short_description: List, fetch or verify the files that a cluster is made from
version_added: 0.1.0
description:
  - Takes a table of pinned charts, programs, image archives, definitions and images. Fetches each whole, goes on
    where an earlier attempt was cut off, and keeps it under O(dir).
  - A lock records the SHA-256 of each file the first time, from its publisher's own list where there is one, and is
    enforced ever after. For an image it records the registry's digest.
  - Charts in a repository with an index are fetched over HTTP, charts in a registry with C(helm pull), images with
    C(skopeo), C(crane), C(podman) or C(docker), whichever is there.
author: The rcalab.llm authors (@rcalab)
attributes:
  check_mode:
    description: Can run in check mode and tell what would change.
    support: full
    details: Tells from folder and lock what a fetch would get, and asks nobody.
  diff_mode:
    description: Returns what was and what is when in diff mode.
    support: none
options:
  action:
    description:
      - V(list) names every artifact, V(fetch) gets what is missing and checks the rest, V(verify) checks that all is
        there and right without a network.
    type: str
    choices: [list, fetch, verify]
    required: true
  pins:
    description: The table, as in the role P(rcalab.llm.artifacts#role), with sections V(charts), V(images), V(binaries) and V(definitions).
    type: dict
    required: true
  arch:
    description: The nodes' architecture.
    type: str
    choices: [amd64, arm64]
    default: amd64
  dir:
    description: The folder of the artifacts.
    type: path
    required: true
  lock:
    description: The lock. By default C(artifacts.lock) in O(dir).
    type: path
  only:
    description: Names to keep of the table; all by default.
    type: list
    elements: str
    default: []
  images:
    description: Whether images count.
    type: bool
    default: true
  files_base:
    description: A mirror of files, as V(https://mirror.example.net/files); it keeps each publisher's host and path below that.
    type: str
    default: ""
  charts_base:
    description: The same for chart repositories with an index.
    type: str
    default: ""
  registry_host:
    description: A registry that stands in for the host of every image and every chart in a registry, as V(registry.example.net:5000).
    type: str
    default: ""
  helm:
    description: The helm that pulls charts from registries. By default the one that the table names, else C(helm) on the path.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Fetch k3s
  rcalab.llm.artifacts:
    action: fetch
    dir: /srv/artifacts
    pins:
      binaries:
        k3s:
          version: v1.36.0+k3s1
          url: https://github.com/k3s-io/k3s/releases/download/{version}/k3s
          checksums: https://github.com/k3s-io/k3s/releases/download/{version}/sha256sum-{arch}.txt

- name: Look at everything before the network is cut
  rcalab.llm.artifacts:
    action: verify
    dir: /srv/artifacts
    pins: "{{ my_pins }}"
"""

RETURN = r"""
artifacts:
  description: What the table names, programs first.
  type: list
  elements: dict
  returned: always
  contains:
    kind:
      description: V(binary), V(archive), V(definition), V(chart) or V(image).
      type: str
    name:
      description: Its name in the table.
      type: str
    version:
      description: Its version or tag.
      type: str
    reference:
      description: The URL or reference that it is fetched from; a chart in a repository is its index, with chart and version behind C(#).
      type: str
    checksums:
      description: The publisher's list of checksums, or nothing.
      type: str
    path:
      description: Where it lies.
      type: str
    sha256:
      description: What the lock holds for it, or nothing.
      type: str
fetched:
  description: What was got, or would be.
  type: list
  elements: str
  returned: when O(action=fetch)
"""

from functools import partial
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rcalab.llm.plugins.module_utils.artifacts.errors import ArtifactError
from ansible_collections.rcalab.llm.plugins.module_utils.artifacts.lock import Lock
from ansible_collections.rcalab.llm.plugins.module_utils.artifacts.plan import (
    ARCHITECTURES,
    Artifact,
    Mirrors,
    make_plan,
)
from ansible_collections.rcalab.llm.plugins.module_utils.artifacts.store import Store


def describe(artifact: Artifact, store: Store) -> dict[str, str | None]:
    path = artifact.program or artifact.path
    return {
        "kind": artifact.kind,
        "name": artifact.name,
        "version": artifact.version,
        "reference": artifact.reference,
        "checksums": artifact.checksums,
        "path": str(store.root / path),
        "sha256": store.lock.recorded(path),
    }


def run(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    root = Path(params["dir"])
    lock = Lock(Path(params["lock"] or root / "artifacts.lock"))
    # One artifact that fails leaves the others their turn.
    run_command = partial(module.run_command, handle_exceptions=False, expand_user_and_vars=False)
    store = Store(root, lock, run_command)
    mirrors = Mirrors(params["files_base"], params["charts_base"], params["registry_host"])
    planned = make_plan(params["pins"], params["arch"], mirrors, params["only"])
    plan = [artifact for artifact in planned if params["images"] or artifact.kind != "image"]
    result: dict[str, Any] = {"changed": False}
    if params["action"] == "verify":
        store.verify(plan)
    elif params["action"] == "fetch":
        result["fetched"] = (
            [artifact.path for artifact in store.missing(plan)]
            if module.check_mode
            else store.fetch(plan, params["arch"], mirrors, params["helm"])
        )
        result["changed"] = bool(result["fetched"])
    return {**result, "artifacts": [describe(artifact, store) for artifact in plan]}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "action": {"type": "str", "choices": ["list", "fetch", "verify"], "required": True},
            "pins": {"type": "dict", "required": True},
            "arch": {"type": "str", "choices": list(ARCHITECTURES), "default": "amd64"},
            "dir": {"type": "path", "required": True},
            "lock": {"type": "path"},
            "only": {"type": "list", "elements": "str", "default": []},
            "images": {"type": "bool", "default": True},
            "files_base": {"type": "str", "default": ""},
            "charts_base": {"type": "str", "default": ""},
            "registry_host": {"type": "str", "default": ""},
            "helm": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    try:
        result = run(module)
    except (ArtifactError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
