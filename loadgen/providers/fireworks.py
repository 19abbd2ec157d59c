# SPDX-License-Identifier: Apache-2.0
"""Fireworks: OpenAI's API; usage comes with a stream's last chunk, unasked.

``min_tokens`` makes answers as long as asked, ``prompt_cache_max_len`` keeps its prompt cache out
of the measurement.
"""

from __future__ import annotations

from typing import Any

from loadgen.openai_family import OpenAIFamily
from loadgen.provider import Ask


def _own_keys(ask: Ask) -> dict[str, Any]:
    return {"min_tokens": ask.output_tokens, "prompt_cache_max_len": 0}


PROVIDER = OpenAIFamily("fireworks", own_keys=_own_keys, asks_usage=False)
