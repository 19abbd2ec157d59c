# SPDX-License-Identifier: Apache-2.0
"""What ``search`` and ``sweep`` share: the options of a step, and where steps go."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from loadgen import page
from loadgen.arrivals import ARRIVALS
from loadgen.commands.common import Stop, checked, number, seconds, stop_on_signals
from loadgen.commands.run_options import add_prompts, add_service, add_waits
from loadgen.profile import Profile
from loadgen.search.steps import Stepper, StoppedError

# What `run` has and a step does not: its load is the search's business.
_NO_LOAD: dict[str, Any] = {
    "rate": 1.0,
    "curve": None,
    "burst_every": None,
    "burst_size": 1,
    "users": None,
    "thinking": "constant",
    "spawn_rate": None,
    "trace": None,
    "trace_format": "auto",
    "trace_speed": 1.0,
    "requests": None,
}


def add_steps(parser: argparse.ArgumentParser) -> None:
    """Add the options of all steps."""
    add_service(parser)
    add = parser.add_argument_group("steps").add_argument
    add(
        "--arrivals",
        choices=ARRIVALS,
        default="poisson",
        metavar="KIND",
        help=f"gaps of the rates: {', '.join(ARRIVALS)} (default: %(default)s)",
    )
    number(add, "--burstiness", default=1.0, metavar="K", text="of gamma: below 1 is burstier")
    number(add, "--think", default=0.0, metavar="S", text="seconds that users think")
    for flag, default, text in (
        ("--duration", 30.0, "of a step's measured load"),
        ("--warmup", 5.0, "of load before it"),
    ):
        add(
            flag,
            type=checked(seconds),
            default=default,
            metavar="TIME",
            help=f"{text} (default: {default:g})",
        )
    number(add, "--seed", default=0, metavar="N", text="everything random follows from it")
    number(add, "--processes", default=1, metavar="N", text="processes that share a schedule")
    add_prompts(parser)
    add_waits(parser)
    add = parser.add_argument_group("results").add_argument
    add("--out", type=Path, metavar="DIR", help="folder of the steps (default: loadgen-TIME)")
    add("--force", action="store_true", help="do steps of another search in DIR again")
    add("--write", action="append", default=[], choices=("html",), help="write a page too")
    parser.set_defaults(**_NO_LOAD)


Work = Callable[[argparse.Namespace, Console, Stop], Awaitable[int]]


async def until_stopped(work: Work, arguments: argparse.Namespace, console: Console) -> int:
    """Do the steps and return the exit status: also when a person ends them, who is told."""
    with stop_on_signals() as stop:
        try:
            return await work(arguments, console, stop)
        except StoppedError as error:
            console.print(f"loadgen: {error}", markup=False, highlight=False)
            return stop.exit_code


def check_page(arguments: argparse.Namespace, name: str) -> None:
    """Raise, before any step, if what a page needs is not installed."""
    if arguments.write:
        page.check(name)


def make_stepper(
    arguments: argparse.Namespace, console: Console, stop: Stop, api_key: str | None
) -> Stepper:
    """Return what does the steps."""

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False)

    folder = arguments.out or Path(f"loadgen-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    return Stepper(folder=folder, stop=stop.event, say=say, api_key=api_key, force=arguments.force)


def described(profile: Profile) -> str:
    """Say in a line what the steps have in common."""
    return (
        f"{profile.model} at {profile.base_url}, prompts of {profile.prompt_tokens}, answers of "
        f"{profile.output_tokens} tokens"
    )
