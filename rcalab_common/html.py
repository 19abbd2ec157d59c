# SPDX-License-Identifier: Apache-2.0
"""The frame of every HTML page: one self-contained file that asks nothing of any server.

The frame is the second lock behind escaping. Its Content-Security-Policy lets a script run only
if its SHA-256 is listed, so that markup which slipped into the body could still neither run nor
call home.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterable
from importlib import resources
from typing import Any

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
{body}
{scripts}
</body>
</html>
"""


def page(title: str, body: str, *, style: str = "", scripts: Iterable[str] = ()) -> str:
    """Return a whole HTML page around ``body``.

    Parameters
    ----------
    title
        Plain text; escaped here.
    body
        HTML of the body; whoever made it has escaped what it holds.
    style
        CSS that follows the shared style sheet (``page.css``).
    scripts
        JavaScript sources, run in this order at the end of the body. Nothing else runs.

    Raises
    ------
    ValueError
        If a script holds ``</script`` or ``<!--``, with which it would not end where it should.
    """
    # Parsers turn CRLF into LF before they hash, so the hash must be taken of LF text.
    sources = [script.replace("\r\n", "\n").replace("\r", "\n") for script in scripts]
    for source in sources:
        if "</script" in source.lower() or "<!--" in source:
            raise ValueError("a script for an HTML page must hold neither '</script' nor '<!--'")
    shared = resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    return _PAGE.format(
        policy=_policy(sources),
        title=html.escape(title),
        style=f"{shared}\n{style}",
        body=body,
        scripts="\n".join(f"<script>{source}</script>" for source in sources),
    )


def json_block(element_id: str, value: Any) -> str:
    """Return ``value`` as a JSON data block that scripts read by ``element_id``.

    The characters that could end the block or open a comment are written as JSON escapes, so any
    text in ``value`` stays data.

    Raises
    ------
    ValueError
        If ``value`` holds a number that JSON has not (NaN, infinity); use None.
    """
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f'<script type="application/json" id="{html.escape(element_id)}">{text}</script>'


def _policy(sources: list[str]) -> str:
    hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()) for text in sources)
    allowed = " ".join(f"'sha256-{digest.decode()}'" for digest in hashes) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
