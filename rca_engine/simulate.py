# SPDX-License-Identifier: Apache-2.0
"""A synthetic case in one call: the front of :mod:`rca_engine.simulator`."""

from rca_engine.simulator import simulate

__all__ = ["simulate"]
