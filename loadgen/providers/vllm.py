# SPDX-License-Identifier: Apache-2.0
"""vLLM's own server: OpenAI's API, with answers of exactly the asked length."""

from __future__ import annotations

from loadgen.openai_family import OpenAIFamily

PROVIDER = OpenAIFamily("vllm", own_keys=lambda _ask: {"ignore_eos": True})
