# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Download a file whole, going on where an earlier attempt was cut off."""

from __future__ import annotations

import http.client
import os
import urllib.error
from pathlib import Path
from typing import Any

from ansible.module_utils.urls import open_url

from .errors import ArtifactError

_CHUNK = 1 << 20
_ATTEMPTS = 4
_TIMEOUT_S = 60
_RANGE_REFUSED = 416


def read_url(url: str) -> bytes:
    """Return a small file, such as a list of checksums.

    Raises
    ------
    ArtifactError
        If the server has no such file or can't be reached.
    """
    try:
        with open_url(url, timeout=_TIMEOUT_S) as response:
            content: bytes = response.read()
            return content
    except (OSError, http.client.HTTPException) as error:
        raise ArtifactError(f"{url}: {_reason(error)}") from error


def download(url: str, part: Path) -> None:
    """Write a URL's content to `part`; what is there already is kept if it is still right.

    Raises
    ------
    ArtifactError
        If the server refuses, or the connection ends early each time. `part` stays then, and the
        next call goes on from it.
    """
    part.parent.mkdir(parents=True, exist_ok=True)
    reason = ""
    for _attempt in range(_ATTEMPTS):
        try:
            missing = _receive(url, part)
        except urllib.error.HTTPError as error:
            if error.code != _RANGE_REFUSED:
                raise ArtifactError(f"{url}: {_reason(error)}") from error
            part.unlink(missing_ok=True)
            missing, reason = 1, _reason(error)
        except (OSError, http.client.HTTPException) as error:
            missing, reason = 1, _reason(error)
        else:
            reason = f"the connection ended {missing} bytes early"
        if not missing:
            _validator(part).unlink(missing_ok=True)
            return
    raise ArtifactError(f"{url}: {reason}, {_ATTEMPTS} times; run this again to go on from there")


def discard(part: Path) -> None:
    """Forget an attempt."""
    part.unlink(missing_ok=True)
    _validator(part).unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _validator(part: Path) -> Path:
    return part.with_name(f"{part.name}.validator")


def _receive(url: str, part: Path) -> int:
    """Receive what is missing and return how many bytes still are."""
    headers = {}
    # Without the server's word that the file is the same, two halves might not fit.
    known = _validator(part).read_text(encoding="utf-8") if _validator(part).is_file() else ""
    offset = part.stat().st_size if known and part.is_file() else 0
    if offset:
        headers = {"Range": f"bytes={offset}-", "If-Range": known}
    with open_url(url, headers=headers, timeout=_TIMEOUT_S, decompress=False) as response:
        resumed = response.status == http.client.PARTIAL_CONTENT
        validator = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        # A weak one does not vouch for bytes.
        if validator and not validator.startswith("W/"):
            _validator(part).write_text(validator, encoding="utf-8")
        else:
            _validator(part).unlink(missing_ok=True)
        return _copy(response, part, append=resumed)


def _copy(response: Any, part: Path, *, append: bool) -> int:
    announced = response.headers.get("Content-Length")
    received = 0
    with part.open("ab" if append else "wb") as file:
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            received += len(chunk)
        file.flush()
        os.fsync(file.fileno())
    return 0 if announced is None else int(announced) - received
