# SPDX-License-Identifier: Apache-2.0
"""Mooncake's trace (Qin et al., FAST 2025), JSON Lines.

``timestamp`` is in milliseconds; ``hash_ids`` names the prompt's blocks of 512 tokens, so that the
sharing of prefixes is played again too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import orjson

from loadgen.trace import Format, Row, RowError, whole_number


def _recognises(first: str) -> bool:
    try:
        value = orjson.loads(first)
    except orjson.JSONDecodeError:
        return False
    return isinstance(value, dict) and {"timestamp", "input_length"} <= value.keys()


def _reader(_first: str) -> Callable[[str], Row | None]:
    return _read


def _read(line: str) -> Row | None:
    if not line.strip():
        return None
    try:
        value: Any = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise RowError(f"no JSON: {error}") from error
    if not isinstance(value, dict):
        raise RowError("no JSON object")
    when = value.get("timestamp")
    if isinstance(when, bool) or not isinstance(when, int | float) or not math.isfinite(when):
        raise RowError(f"timestamp is no number of milliseconds: {when!r}")
    blocks = value.get("hash_ids") or []
    if not isinstance(blocks, list) or not all(type(block) is int for block in blocks):
        raise RowError("hash_ids is no list of whole numbers")
    return Row(
        round(when * 1e6),
        whole_number("input_length", value.get("input_length"), least=1),
        max(1, whole_number("output_length", value.get("output_length", 1))),
        tuple(blocks),
    )


FORMAT = Format("mooncake", _recognises, _reader)
