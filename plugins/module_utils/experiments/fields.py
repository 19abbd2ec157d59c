# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read what a person wrote, key by key, so that no misspelt key goes unnoticed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import ExperimentError


class Fields:
    """A mapping whose keys are taken one by one; `end` refuses what nobody took.

    ``where`` opens each complaint, such as ``suites/rca.yml``.
    """

    def __init__(self, data: object, where: str) -> None:
        if not isinstance(data, Mapping):
            raise ExperimentError(f"{where}: expected keys with values, found {data!r}")
        self._data = {str(key): value for key, value in data.items()}
        self._known: list[str] = []
        self.where = where

    def _take(self, key: str) -> Any:
        self._known.append(key)
        return self._data.get(key)

    def text(self, key: str) -> str | None:
        """Take a text that is not empty; None where the key is absent."""
        value = self._take(key)
        if value is not None and (not isinstance(value, str) or not value):
            raise ExperimentError(f"{self.where}: {key} must be a text, not {value!r}")
        return value

    def choice(self, key: str, default: str, choices: tuple[str, ...]) -> str:
        """Take one of some words."""
        value = self._take(key)
        if value is None:
            return default
        if value not in choices:
            raise ExperimentError(
                f"{self.where}: {key} must be {' or '.join(choices)}, not {value!r}"
            )
        return str(value)

    def integer(self, key: str, least: int) -> int | None:
        """Take a whole number of at least ``least``; None where the key is absent."""
        value = self._take(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ExperimentError(
                f"{self.where}: {key} must be a whole number from {least} on, not {value!r}"
            )
        return int(value)

    def mapping(self, key: str) -> dict[str, Any]:
        """Take keys with values; empty where the key is absent."""
        value = self._take(key)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise ExperimentError(f"{self.where}: {key} must be keys with values, not {value!r}")
        return {str(name): each for name, each in value.items()}

    def items(self, key: str) -> list[Any]:
        """Take a list; empty where the key is absent."""
        value = self._take(key)
        if value is None:
            return []
        if not isinstance(value, list) or not value:
            raise ExperimentError(f"{self.where}: {key} must be a list of something, not {value!r}")
        return list(value)

    def end(self) -> None:
        """Refuse keys that nobody took."""
        unknown = sorted(set(self._data) - set(self._known))
        if unknown:
            raise ExperimentError(
                f"{self.where}: unknown {', '.join(unknown)}; there are {', '.join(self._known)}"
            )
