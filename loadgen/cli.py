# SPDX-License-Identifier: Apache-2.0
"""The command line: a verb is a file in ``commands`` and a line here."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Coroutine, Sequence
from types import ModuleType
from typing import Any, NoReturn

import uvloop
from rich.console import Console

from loadgen.commands import compare, merge, mock, report, run_options, search, sweep
from loadgen.commands.common import EXIT_ERROR
from loadgen.commands.run import run_load
from loadgen.errors import LoadgenError


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, with the exit code of all bad input."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_ERROR, f"loadgen: error: {message}; see {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace, Console], Coroutine[Any, Any, int]] = arguments.command
    console = Console(stderr=True, soft_wrap=True)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(command(arguments, console))
    except LoadgenError as error:
        console.print(f"loadgen: error: {error}", markup=False, highlight=False)
        return EXIT_ERROR


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="loadgen",
        description="Put an honest load on an LLM service: every request leaves at its own time, "
        "however slow the service gets, and every one is accounted for.",
    )
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")

    def verb(name: str, text: str, words: ModuleType) -> argparse.ArgumentParser:
        return verbs.add_parser(
            name,
            help=text,
            usage=words.USAGE,
            description=words.DESCRIPTION,
            epilog=words.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    run = verb("run", "put a load on a service", run_options)
    run.set_defaults(command=run_load)
    run_options.add_run_options(run)
    search.add_search(verb("search", "find the highest rate that keeps an SLO", search))
    sweep.add_sweep(verb("sweep", "run a load at several rates or numbers of users", sweep))
    report.add_report(verb("report", "show a finished run, write it in other forms", report))
    compare.add_compare(verb("compare", "compare two finished runs", compare))
    merge.add_merge(verb("merge", "make one run of the shards of several machines", merge))
    mock.add_mock(verb("mock", "play an LLM service", mock))
    return parser
