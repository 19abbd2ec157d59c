# SPDX-License-Identifier: Apache-2.0
"""A server that plays vLLM's OpenAI API, on purpose well or badly: for tests and as a simulator."""
