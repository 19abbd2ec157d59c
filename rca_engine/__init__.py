# SPDX-License-Identifier: Apache-2.0
"""Cases of LLM-inference incidents, harvested, diagnosed and reported."""
