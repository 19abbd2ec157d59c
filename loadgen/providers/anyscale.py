# SPDX-License-Identifier: Apache-2.0
"""Anyscale's services: OpenAI's API, served by Ray Serve."""

from __future__ import annotations

from loadgen.openai_family import OpenAIFamily

PROVIDER = OpenAIFamily("anyscale")
