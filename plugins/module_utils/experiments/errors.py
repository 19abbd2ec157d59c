# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be wrong with an experiment, as the user reads it."""

from __future__ import annotations


class ExperimentError(Exception):
    """Base of every error that this package raises on purpose; its text is for the user."""
