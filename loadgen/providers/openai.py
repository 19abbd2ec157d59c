# SPDX-License-Identifier: Apache-2.0
"""OpenAI, and the many that follow it to the letter."""

from __future__ import annotations

from loadgen.openai_family import OpenAIFamily

PROVIDER = OpenAIFamily("openai")
