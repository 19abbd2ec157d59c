#!/usr/bin/python
# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: zipapp
short_description: Build a Python package into one file that runs by itself
version_added: 0.1.0
description:
  - Like C(python -m zipapp), but its bytes depend on the package's files only,
    so that nothing changes the second time.
author: The rcalab.llm authors (@rcalab)
attributes:
  check_mode:
    description: Can run in check mode and tell what would change.
    support: full
  diff_mode:
    description: Returns what was and what is when in diff mode.
    support: none
options:
  package:
    description: The package's folder.
    type: path
    required: true
  beside:
    description:
      - Packages in the same folder from which it imports relatively (C(from ..other import)).
      - The file then holds all of them in a package of that folder's name.
    type: list
    elements: str
    default: []
  entry_point:
    description: The function that the file calls, as V(package.module:function).
    type: str
    required: true
  whole:
    description:
      - Whether the file holds all of the packages, or with V(false) only the modules that the imports of O(entry_point) lead to.
      - A module that is looked for at run time is then not among them.
    type: bool
    default: true
  dest:
    description: The file to write. Its folder is made where it is missing.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Build a program
  rcalab.llm.zipapp:
    package: /srv/src/faults
    entry_point: faults.cli:main
    dest: /srv/bin/agent.pyz
"""

RETURN = r"""
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rcalab.llm.plugins.module_utils.zipapps import build_zipapp


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "package": {"type": "path", "required": True},
            "beside": {"type": "list", "elements": "str", "default": []},
            "entry_point": {"type": "str", "required": True},
            "whole": {"type": "bool", "default": True},
            "dest": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    dest = Path(module.params["dest"])
    try:
        content = build_zipapp(
            Path(module.params["package"]),
            module.params["entry_point"],
            module.params["beside"],
            whole=module.params["whole"],
        )
        changed = not dest.is_file() or dest.read_bytes() != content
        if changed and not module.check_mode:
            dest.parent.mkdir(parents=True, exist_ok=True)
            temporary = dest.with_name(f".{dest.name}.new")
            temporary.write_bytes(content)
            temporary.chmod(0o755)
            temporary.replace(dest)
    except (OSError, ValueError) as error:
        module.fail_json(msg=f"{dest} can't be built: {error}")
    module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
