# SPDX-License-Identifier: Apache-2.0
"""Together: OpenAI's API; usage comes with a stream's last chunk, unasked.

Its first API (``POST /`` with ``stream_tokens``), which the reference tool still speaks, is gone.
"""

from __future__ import annotations

from loadgen.openai_family import OpenAIFamily

PROVIDER = OpenAIFamily("together", own_keys=lambda _ask: {"ignore_eos": True}, asks_usage=False)
