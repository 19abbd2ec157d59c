# SPDX-License-Identifier: Apache-2.0
"""Command line of the dashboards."""

from __future__ import annotations

import argparse
import sys

from . import BOARDS, FOLDER, stale
from .grafana import text


def main() -> int:
    """Write the dashboards, or say which are stale."""
    parser = argparse.ArgumentParser(description="Write Grafana's dashboards.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing, and fail if one is stale"
    )
    if parser.parse_args().check:
        for path in stale():
            sys.stderr.write(f"{path} is not up to date: run `make docs`\n")
        return 1 if stale() else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for board in BOARDS:
        (FOLDER / f"{board.name}.json").write_text(text(board), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
