# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One request over HTTP, with every failure an `OSError` that says what failed."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from pathlib import Path

TIMEOUT_S = 3.0


class AnsweredError(OSError):
    """A server answered, and with an error; ``status`` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def date(url: str) -> str:
    """Return the ``Date`` header of a server's answer, whatever else it answers.

    Raises
    ------
    OSError
        If nobody answers, or without a date.
    """
    host, _slash, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=TIMEOUT_S)
    try:
        connection.request("GET", f"/{path}")
        found = connection.getresponse().headers["Date"]
    except http.client.HTTPException as error:
        raise OSError(f"{url} answers no HTTP: {error!r}") from error
    finally:
        connection.close()
    if found is None:
        raise OSError(f"{url} answers without a Date")
    return str(found)


def request(
    url: str,
    method: str = "GET",
    body: bytes | None = None,
    token_file: str | None = None,
    timeout_s: float = TIMEOUT_S,
) -> bytes:
    """Ask a server, with JSON where there is a body; return what it answers.

    Parameters
    ----------
    token_file
        A file with the bearer token; its content is never part of a message.

    Raises
    ------
    AnsweredError
        If the answer is an error.
    OSError
        If nobody answers.
    """
    if not url.startswith(("http://", "https://")):
        raise OSError(f"{url} is no URL of a server (http:// or https://)")
    headers = {"Content-Type": "application/json"}
    if token_file is not None:
        token = Path(token_file).read_text(encoding="ascii").strip()
        headers["Authorization"] = f"Bearer {token}"
    asked = urllib.request.Request(url, body, headers, method=method)  # noqa: S310 - see above
    try:
        with urllib.request.build_opener().open(asked, timeout=timeout_s) as answer:
            data: bytes = answer.read()
    except urllib.error.HTTPError as error:
        raise AnsweredError(error.code, f"{url} answers {error.code} to {method}") from error
    except http.client.HTTPException as error:
        raise OSError(f"{url} answers no HTTP: {error!r}") from error
    return data
