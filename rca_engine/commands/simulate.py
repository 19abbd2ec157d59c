# SPDX-License-Identifier: Apache-2.0
"""``rca-engine simulate``: a synthetic case."""

from __future__ import annotations

import argparse
from pathlib import Path

from rca_engine.commands import Commands, new_parser

_EXAMPLES = """\
  rca-engine simulate /tmp/case --seed 7 && rca-engine diagnose /tmp/case
  rca-engine simulate /tmp/sham --sham        # all steps, no fault: the answer should be none
"""


def add(commands: Commands) -> None:
    """Add the command's parser."""
    parser = new_parser(commands, "simulate", "make a synthetic case", _EXAMPLES)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sham", action="store_true", help="without a fault")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Simulate, and write the case."""
    from rich.console import Console

    from rca_engine.simulate import simulate

    case_dir = simulate(arguments.run_dir, seed=arguments.seed, sham=arguments.sham)
    Console().print(f"case: {case_dir}", markup=False, soft_wrap=True)
    return 0
