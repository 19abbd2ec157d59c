# SPDX-License-Identifier: Apache-2.0
"""Synthetic text: random words that follow from a seed and a name alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache

# Short, common words: most tokenizers make one token of each.
_TEXT = (
    "able about above after again air also and animal answer apple area arm art ask back ball "
    "bank base bear bed before bell best big bird black blue board boat body book both box boy "
    "bread bring brown build bus buy call camp car care carry case cat cause city clean clear "
    "close coat cold come cook cool copy corn cost count cover cross cut dance dark day deep "
    "desk dog door down draw dress drive dry ear earth east easy eat edge egg end even eye face "
    "fall farm fast feel field fight fill find fire fish five flat floor fly food foot form "
    "four free fresh friend front fruit full game garden gate girl give glass gold good grass "
    "gray great green ground grow hand happy hard hat head hear heart heat heavy help high hill "
    "hold home horse hot house hour ice idea inch iron island job join jump keep key kind king "
    "knee know lake land large last late"
)
WORDS = tuple(_TEXT.split())
"""The vocabulary, unless a calibration chose some of it."""


def prompt(seed: int, index: int, words: int, vocabulary: Sequence[str] = WORDS) -> str:
    """Write the prompt of one request: random words, so that no prefix cache helps.

    Parameters
    ----------
    seed, index
        The run's seed and the request's place in the schedule.
    words
        Length; about as many tokens.
    vocabulary
        What to choose from.
    """
    return text(f"prompt/{seed}/{index}", words, vocabulary)


def text(name: str, words: int, vocabulary: Sequence[str] = WORDS) -> str:
    """Write words that follow from a name: the same name, the same text."""
    # A text seed is hashed with SHA-512 by `random`: no collisions, no PYTHONHASHSEED.
    return " ".join(random.Random(name).choices(vocabulary, k=words))  # noqa: S311


@lru_cache(maxsize=4096)
def shared_text(name: str, words: int, vocabulary: tuple[str, ...] = WORDS) -> str:
    """Write the words of :func:`text` and remember them: for what many prompts begin with."""
    return text(name, words, vocabulary)
