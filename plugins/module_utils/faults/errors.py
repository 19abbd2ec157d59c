# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong with a fault, as the user reads it."""

from __future__ import annotations


class FaultError(Exception):
    """Base of every error that this package raises on purpose; its text is for the user."""


class RefusedError(FaultError):
    """The fault was refused before anything was touched; the text says why and what to do."""


class NotRevertedError(FaultError):
    """The target does not look as it did before the dose; the undo is kept for another try."""
