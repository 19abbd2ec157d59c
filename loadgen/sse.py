# SPDX-License-Identifier: Apache-2.0
"""Server-sent events out of timed pieces of a body (WHATWG HTML, section 9.2.6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

DONE = b"[DONE]"
"""Data of OpenAI's last event."""


def events(chunks: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Yield each event's data with the arrival time of the piece that completed it.

    Comments and other fields than ``data`` are skipped, as the standard asks. Lines end with LF or
    CRLF; a lone CR, which the standard allows and no LLM server sends, ends none. An event without
    its blank line at the end of the body is dropped, save one that is a whole ``[DONE]``: some
    servers send no blank line after their last word.

    Parameters
    ----------
    chunks
        Arrival time (ns) and bytes of each piece, in order, cut anywhere.

    Yields
    ------
    tuple of int and bytes
        Time (ns) and data; the lines of data of one event are joined with LF.
    """
    rest = b""
    data: list[bytes] = []
    arrival_ns = 0
    for arrival_ns, chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for raw in lines:
            line = raw.removesuffix(b"\r")
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
            elif not line and data:
                yield arrival_ns, b"\n".join(data)
                data = []
    if rest.startswith(b"data:"):
        data.append(rest[5:].strip())
    if data == [DONE]:
        yield arrival_ns, data[0]
