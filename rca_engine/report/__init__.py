# SPDX-License-Identifier: Apache-2.0
"""Self-contained HTML pages: one for each run, and one that leads to all runs of an experiment."""

from rca_engine.report.index import write_index
from rca_engine.report.write import write_report

__all__ = ["write_index", "write_report"]
