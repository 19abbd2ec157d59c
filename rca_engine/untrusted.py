# SPDX-License-Identifier: Apache-2.0
"""Text that some program of the lab wrote (log lines, names of spans): shown, never obeyed.

A line may hold terminal escapes, text that runs backwards, or a megabyte. HTML is escaped where
HTML is made; here a text becomes one bounded line that a terminal only prints.
"""

from __future__ import annotations

import unicodedata

SHOWN = 300
"""Characters of a text that are kept."""
_LOOKED_AT = 8 * SHOWN
"""Characters that are looked at, so that a huge line costs no more than a long one."""
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
"""Controls, formats (that turn the direction too), surrogates, private use, line separators."""


def one_line(text: str, limit: int = SHOWN) -> str:
    """Return a text as one line without control characters, at most ``limit`` characters long.

    Runs of blanks become one; what is cut off shows as an ellipsis.
    """
    printable = "".join(
        " " if character.isspace() or unicodedata.category(character) in _UNPRINTABLE else character
        for character in text[:_LOOKED_AT]
    )
    line = " ".join(printable.split())
    cut = len(line) > limit or len(text) > _LOOKED_AT
    return f"{line[: limit - 1]}…" if cut else line
