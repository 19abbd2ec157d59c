# SPDX-License-Identifier: Apache-2.0
"""vLLM's own chat: OpenAI's, with answers of exactly the asked length."""

from __future__ import annotations

from loadgen.providers.openai import OpenAIChat

PROVIDER = OpenAIChat("vllm", extra={"ignore_eos": True})
