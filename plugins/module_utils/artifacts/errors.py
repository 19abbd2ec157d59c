# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong with an artifact."""

from __future__ import annotations


class ArtifactError(Exception):
    """The message says which artifact, what is wrong with it and what to do."""
