# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each action of an undo is."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import Any, ClassVar


class UndoAction(ABC):
    """One thing to put back; a frozen dataclass whose fields are what JSON holds."""

    kind: ClassVar[str]
    # A restart of the machine that keeps the undo leaves its target as it is.
    outlives_boot: ClassVar[bool] = False

    def to_json(self) -> dict[str, Any]:
        """Return its kind and its fields."""
        return {"kind": self.kind, **dataclasses.asdict(self)}  # type: ignore[call-overload]

    @abstractmethod
    def restore(self) -> None:
        """Put it back; nothing happens if it is back already, or its target is gone."""

    @abstractmethod
    def remainder(self) -> str | None:
        """Look at the target and say what is not back yet; None if all is."""
