# SPDX-License-Identifier: Apache-2.0
"""Causal discovery over metrics: each file one algorithm, from (steps, metrics) to a graph."""
