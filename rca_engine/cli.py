# SPDX-License-Identifier: Apache-2.0
"""``rca-engine``: harvest, diagnose, evaluate, report.

Exit status: 0, 1 for what failed, 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from rca_engine.commands import (
    convert,
    diagnose,
    evaluate,
    harvest,
    methods,
    report,
    simulate,
)
from rca_engine.errors import RcaEngineError

_EXAMPLES = """\
examples:
  rca-engine simulate /tmp/case && rca-engine diagnose /tmp/case
  rca-engine diagnose telemetry.csv
  rca-engine evaluate data/petshop_low --format petshop --out out/petshop

`rca-engine COMMAND --help` has more.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
    except RcaEngineError as error:
        _complain(str(error))
        return 1
    except KeyboardInterrupt:
        _complain("stopped; evaluate goes on where it was when it is started again")
        return 130
    except BrokenPipeError:
        # The reader of a pipe has seen enough; nothing is left to say, not even at exit.
        sys.stdout = None
        return 0
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rca-engine",
        description="Harvest cases, rank their root causes, evaluate methods, and report.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (methods, diagnose, evaluate, convert, simulate, harvest, report):
        command.add(commands)
    return parser


def _complain(message: str) -> None:
    from rich.console import Console

    Console(stderr=True).print(f"rca-engine: {message}", style="red", markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
