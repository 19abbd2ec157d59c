# SPDX-License-Identifier: Apache-2.0
"""Results on disk: a whole file each, named by its run's key."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rcalab_common.files import write_json

Document = dict[str, Any]


@dataclass(frozen=True)
class Store:
    """The folder of one evaluation's results; safe for several writers, for files are whole."""

    folder: Path

    def read(self, key: str) -> Document | None:
        """Return the result under ``key``; None if there is none, or not a whole one."""
        try:
            document = json.loads(self._path(key).read_text(encoding="utf-8"))
        except (FileNotFoundError, UnicodeDecodeError, json.JSONDecodeError):
            return None
        return document if isinstance(document, dict) else None

    def write(self, key: str, document: Document) -> None:
        """Keep a result."""
        write_json(self._path(key), document)

    def _path(self, key: str) -> Path:
        # Ten thousands of files in one folder make every listing of it slow.
        return self.folder / key[:2] / f"{key}.json"
