# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that survive a crash: whole or not at all, and on the disk when the call returns."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def sync_folder(folder: Path) -> None:
    """Put the names in ``folder`` on the disk (a new or renamed file is lost without it)."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` whole or not at all, synced, readable by all."""
    # One writer a file and process: the pid keeps two processes' temporary files apart.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as handle:
        json.dump(value, handle, indent=2, allow_nan=False)
        handle.write("\n")
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def append_json_line(path: Path, value: Any) -> None:
    """Append ``value`` as one line, synced."""
    line = json.dumps(value, allow_nan=False) + "\n"
    # One write with O_APPEND: lines of two processes never mix.
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.write(handle, line.encode())
        os.fsync(handle)
    finally:
        os.close(handle)


def rename(path: Path, new: Path) -> None:
    """Rename ``path``, synced."""
    path.replace(new)
    sync_folder(new.parent)
