# SPDX-License-Identifier: Apache-2.0
"""What ``run``, ``merge`` and ``report`` do with a finished run: outputs, assertions, exit code."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TextIO

from loadgen.assertions import NAMES, Assertion, check_all
from loadgen.audit import Verdict
from loadgen.commands.common import EXIT_ASSERTION, EXIT_INVALID, EXIT_OK, Add, checked
from loadgen.errors import saving
from loadgen.outputs import html, parquet, vllm
from loadgen.report import describe
from loadgen.result import Result
from rcalab_common.files import write_json

OUTPUTS = {output.kind: output for output in (html.OUTPUT, parquet.OUTPUT, vllm.OUTPUT)}
"""What can be written beside records, summary and time series."""


def add_finish(add: Add) -> None:
    """Add the options that ask for outputs and assertions."""
    add(
        "--write",
        action="append",
        default=[],
        choices=OUTPUTS,
        metavar="KIND",
        help="write this too: "
        + ", ".join(f"{kind} ({output.file})" for kind, output in OUTPUTS.items())
        + " (may be repeated)",
    )
    add(
        "--assert",
        dest="assertions",
        action="append",
        default=[],
        type=checked(Assertion.parse),
        metavar="FIGURE<BOUND",
        help=f"exit with 4 unless it holds, such as p95_ttft_ms<500; figures: {NAMES} (may be "
        "repeated)".replace("%", "%%"),
    )
    add("--strict", action="store_true", help="exit with 3 if the run's own audit says invalid")


def check_outputs(kinds: Sequence[str]) -> None:
    """Raise, before any work, if what an output needs is not installed."""
    for kind in kinds:
        OUTPUTS[kind].check()


def finish(result: Result, arguments: argparse.Namespace, out: TextIO) -> int:
    """Check assertions, write outputs, print the figures; return the exit code."""
    checks = check_all(arguments.assertions, result.summary)
    if checks:
        # Part of the run's figures: whoever reads them later sees what they were held to.
        result.summary["assertions"] = [each.to_dict() for each in checks]
        with saving(result.summary_path):
            write_json(result.summary_path, result.summary)
    written = [OUTPUTS[kind].write(result) for kind in dict.fromkeys(arguments.write)]
    out.write(describe(result))
    out.writelines(f"{path}\n" for path in written)
    if arguments.strict and result.verdict is Verdict.INVALID:
        return EXIT_INVALID
    return EXIT_OK if all(each.held for each in checks) else EXIT_ASSERTION
