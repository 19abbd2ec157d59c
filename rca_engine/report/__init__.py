# SPDX-License-Identifier: Apache-2.0
"""One self-contained HTML page per run."""

from rca_engine.report.write import write_report

__all__ = ["write_report"]
