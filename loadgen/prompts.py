# SPDX-License-Identifier: Apache-2.0
"""Synthetic prompts and identifiers: each follows from seed and index alone."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

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
_WORDS = tuple(_TEXT.split())


def prompt(seed: int, index: int, words: int) -> str:
    """Write the prompt of one request: random words, so that no prefix cache helps.

    Parameters
    ----------
    seed, index
        The run's seed and the request's place in the schedule.
    words
        Length; about as many tokens.
    """
    # A text seed is hashed with SHA-512 by `random`: no collisions, no PYTHONHASHSEED.
    return " ".join(random.Random(f"prompt/{seed}/{index}").choices(_WORDS, k=words))  # noqa: S311


@dataclass(frozen=True, slots=True)
class Identity:
    """The names by which servers and traces know a request."""

    request_id: str
    traceparent: str


def identity(seed: int, index: int) -> Identity:
    """Derive a request's id and W3C trace context (version 00, sampled) from seed and index.

    The id is the trace id, so that logs and traces of one request meet.
    """
    digest = hashlib.sha256(f"identity/{seed}/{index}".encode()).hexdigest()
    trace_id, span_id = digest[:32], digest[32:48]
    return Identity(request_id=trace_id, traceparent=f"00-{trace_id}-{span_id}-01")
