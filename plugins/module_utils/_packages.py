# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules need of the two packages. Private to the collection, may change at any time."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ansible.module_utils.basic import missing_required_lib

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def require(module: AnsibleModule, extra: str, error: str | None) -> None:
    """Fail the module, with the command that helps, if a package could not be imported.

    Parameters
    ----------
    extra
        What to install of ``rcalab-llm``: ``load`` or ``rca``.
    error
        The traceback of the failed import; None if there is none.
    """
    if error is not None:
        module.fail_json(
            msg=missing_required_lib(f"rcalab-llm[{extra}]")
            + f" Install it with: {sys.executable} -m pip install"
            f" '/path/to/ansible_collections/rcalab/llm[{extra}]'",
            exception=error,
        )
