# SPDX-License-Identifier: Apache-2.0
"""``loadgen sweep``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TypeVar

from rich.console import Console

from loadgen.commands.common import EXIT_OK, Stop, checked
from loadgen.commands.profiles import complete, read_api_key
from loadgen.commands.searching import add_steps, check_page, make_stepper, until_stopped
from loadgen.errors import ProfileError, saving
from loadgen.search.present import table, write_csv, write_sweep_page
from loadgen.search.sweep import Grid, sweep
from rcalab_common.files import write_json

N = TypeVar("N", int, float)

USAGE = "loadgen sweep --url URL (--rates LIST | --users LIST) [option ...]"

DESCRIPTION = """\
Run the same load at each of several rates, or numbers of users, and lengths. Every step is a whole
run in a folder of its own; the same command again goes on where it was. Above a rate at which
requests pile up, higher ones are left out."""

EPILOG = """\
examples:
  loadgen sweep --url http://127.0.0.1:8000 --rates 1,2,4,8 --out results/sweep --write html
  loadgen sweep --url http://127.0.0.1:8000 --users 1,4,16 --prompt-lengths 128,1024 \\
    --output-lengths 32,256 --duration 1m

It writes sweep.json and steps.csv beside the steps.
"""

_COLUMNS = {
    "prompt_tokens": "prompt",
    "output_tokens": "output",
    "success_per_s": "ok/s",
    "output_tokens_per_s": "tokens/s",
    "response_ttft_ms.p50": "TTFT p50",
    "response_ttft_ms.p95": "TTFT p95",
    "response_latency_ms.p95": "latency p95",
    "attainment": "SLO %",
    "stopped": "ended as",
    "audit": "audit",
}


def add_sweep(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``sweep``."""
    parser.set_defaults(command=_sweep)
    add = parser.add_argument_group("sweep").add_argument
    whole, real = checked(_list(int)), checked(_list(float))
    add("--rates", type=real, default=[], metavar="LIST", help="requests per second: 1,2,4")
    add("--users", dest="crowds", type=whole, default=[], metavar="LIST", help="users: 1,4,16")
    add("--prompt-lengths", type=whole, metavar="LIST", help="instead of one -p: 128,1024")
    add("--output-lengths", type=whole, metavar="LIST", help="instead of one -o: 32,256")
    add_steps(parser)


async def _sweep(arguments: argparse.Namespace, console: Console) -> int:
    return await until_stopped(_run, arguments, console)


async def _run(arguments: argparse.Namespace, console: Console, stop: Stop) -> int:
    check_page(arguments, "sweep.html")
    if bool(arguments.rates) == bool(arguments.crowds):
        raise ProfileError("sweep over --rates or over --users")
    api_key = read_api_key(arguments.api_key_file)
    profile = await complete(arguments, api_key)
    stepper = make_stepper(arguments, console, stop, api_key)
    grid = Grid(
        rates_per_s=arguments.rates,
        users=arguments.crowds,
        prompt_tokens=arguments.prompt_lengths or [profile.prompt_tokens],
        output_tokens=arguments.output_lengths or [profile.output_tokens],
    )
    points = await sweep(stepper, profile, grid, arguments.think)
    kind = "rate_per_s" if arguments.rates else "users"
    rows = [point.to_dict(kind) for point in points]
    columns = {kind: "rate/s" if arguments.rates else "users", **_COLUMNS}
    sys.stdout.write(table(rows, columns) + "\n")
    folder = stepper.folder
    write_csv(folder / "steps.csv", rows, list(columns))
    written = [folder / "steps.csv", folder / "sweep.json"]
    if arguments.write:
        written.append(folder / "sweep.html")
        write_sweep_page(written[-1], f"{profile.model} at {profile.base_url}", kind, rows)
    found = {"format": 1, "profile": profile.to_dict(), "steps": rows}
    with saving(folder):
        write_json(folder / "sweep.json", found)
    sys.stdout.writelines(f"{path}\n" for path in written)
    return EXIT_OK


def _list(kind: type[N]) -> Callable[[str], list[N]]:
    def parse(text: str) -> list[N]:
        try:
            values = [kind(word) for word in text.split(",")]
        except ValueError as error:
            raise ProfileError(
                f"a list is numbers with commas, such as 1,2,4; got {text!r}"
            ) from error
        if len(set(values)) < len(values) or min(values) <= 0:
            raise ProfileError(f"the numbers of a list must be above 0 and differ; got {text!r}")
        return values

    return parse
