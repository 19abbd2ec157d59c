# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock: the checksum of every artifact, recorded once and enforced ever after."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from .errors import ArtifactError

_FORMAT = 1
_CHUNK = 1 << 20


def sha256_of(path: Path) -> str:
    """Return the checksum of a file of any size."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def write_whole(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.chmod(mode)
    temporary.replace(path)


class Lock:
    """Checksums by the artifacts' paths; for an image the registry's digest."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files: dict[str, dict[str, str]] = {}
        if path.is_file():
            self._files = self._read()

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            found = content["format"]
            files: dict[str, dict[str, str]] = content["files"]
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{self.path} is no lock of artifacts: {error}") from error
        if found != _FORMAT:
            raise ArtifactError(f"{self.path} has format {found}, this collection knows {_FORMAT}")
        return files

    def recorded(self, name: str) -> str | None:
        """Return what the lock holds for a path, or nothing."""
        return self._files.get(name, {}).get("sha256")

    def enforce(self, name: str, found: str) -> None:
        """Refuse what is not what was recorded.

        Raises
        ------
        ArtifactError
            If the lock holds another checksum.
        """
        expected = self.recorded(name)
        if expected is not None and expected != found:
            raise ArtifactError(
                f"{name}: {self.path} expects sha256 {expected}, found {found}. Either the file was"
                " changed, and must be removed and fetched again, or its publisher replaced it"
            )

    def record(self, name: str, found: str, source: str, witness: str) -> None:
        """Record a checksum for the first time, and who vouches for it."""
        if name in self._files:
            return
        self._files[name] = {"sha256": found, "source": source, "witness": witness}
        text = json.dumps({"format": _FORMAT, "files": self._files}, indent=2, sort_keys=True)
        write_whole(self.path, f"{text}\n".encode())
