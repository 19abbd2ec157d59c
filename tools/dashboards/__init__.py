# SPDX-License-Identifier: Apache-2.0
"""Write Grafana's dashboards of the role ``prometheus_stack``: one file here, one dashboard.

``PYTHONPATH=tools python -m dashboards`` writes them; with ``--check`` it says which are stale.
"""

from __future__ import annotations

from pathlib import Path

from .faults import FAULTS
from .grafana import text
from .machines import MACHINES
from .service import SERVICE

FOLDER = Path(__file__).resolve().parents[2] / "roles/prometheus_stack/files/dashboards"
BOARDS = (SERVICE, MACHINES, FAULTS)


def stale() -> list[Path]:
    """Return the files that are not what is said here."""
    files = {FOLDER / f"{board.name}.json": text(board) for board in BOARDS}
    strange = set(FOLDER.glob("*.json")) - set(files)
    return sorted(
        strange
        | {
            path
            for path, wanted in files.items()
            if not path.is_file() or path.read_text(encoding="utf-8") != wanted
        }
    )
