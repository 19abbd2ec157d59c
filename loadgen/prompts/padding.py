# SPDX-License-Identifier: Apache-2.0
"""The reference load tool's prompt, so that its runs can be repeated.

Its task is 35 tokens long for the Llama tokenizer, each padding word one, and its ten letters in
front, against prefix caches, ten.
"""

from __future__ import annotations

import random
import string

TASK = (
    "Generate a Django application with Authentication, JWT, Tests, DB support. "
    "Show docker-compose for python and postgresql. Show the complete code for every file!"
)
TASK_TOKENS, LETTERS = 35, 10

_PAD = "Pad "


def least_tokens(*, randomize: bool) -> int:
    """Return the length of the shortest padding prompt, in tokens."""
    return TASK_TOKENS + (LETTERS if randomize else 0)


def padding(tokens: int, *, randomize: bool) -> str:
    """Write the prompt of so many tokens, less the random letters that :func:`letters` gives."""
    return _PAD * (tokens - least_tokens(randomize=randomize)) + TASK


def padding_chars(chars: int) -> str:
    """Write the prompt of so many characters, or the bare task where they are fewer."""
    missing = max(0, chars - len(TASK))
    return (_PAD * (missing // len(_PAD) + 1))[:missing] + TASK


def letters(seed: int, index: int) -> str:
    """Write ten letters, ten tokens for most tokenizers."""
    rng = random.Random(f"letters/{seed}/{index}")  # noqa: S311 - a load, no secret
    return " ".join(rng.choices(string.ascii_lowercase, k=LETTERS)) + " "
