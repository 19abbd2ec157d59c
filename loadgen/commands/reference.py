# SPDX-License-Identifier: Apache-2.0
"""The reference load tool's options: their names, their meaning, and what became of the others.

Most are other names of this tool's options. Those here have no use or no place in it, and say so.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

DEFAULTS: dict[str, Any] = {
    "provider": "auto",
    "prompts": "padding",
    "prompt_tokens": 512,
    "output_tokens": 64,
    "stream": False,
    "endpoint": "completions",
    "temperature": 1.0,
}
"""What the reference tool does where nothing is said; in force with its ``-H``."""

ARRIVALS = {"constant": "constant", "uniform": "uniform", "exponential": "poisson"}
"""Its names of the distributions of gaps."""

_REFUSED = {
    ("-k", "--api-key"): "a key on the command line shows in every `ps`: put it into the variable "
    "LOADGEN_API_KEY or into a file (--api-key-file)",
    ("--tokenizer",): "no tokenizer is needed: the service's own counts are used",
    ("--show-response",): "answers are recorded nowhere; ask the service with curl to see one",
}
_NEEDLESS = ("--headless", "--reset-stats", "--only-summary", "--no-show-response")


class _Refuse(argparse.Action):
    """An option that ends the program with what to do instead."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,  # noqa: ARG002 - argparse's
        values: str | Sequence[Any] | None,  # noqa: ARG002 - argparse's
        option_string: str | None = None,
    ) -> None:
        parser.error(f"{option_string}: {_why(str(option_string))}")


def add_reference(parser: argparse.ArgumentParser) -> None:
    """Add the options that are there for the reference tool's command lines alone."""
    add = parser.add_argument_group(
        "the reference tool's own",
        "Its command lines work as they stand; -m, -t, -u, -r, -p, -o and the like are above. -H\n"
        "also brings its defaults: padding prompts of 512 tokens, completions, no stream,\n"
        "temperature 1, the provider guessed. With --qps, -u and -r mean nothing: no request\n"
        "waits for a user here.",
    ).add_argument
    add("-H", "--host", metavar="URL", help="as --url, with these defaults")
    add(
        "--qps-distribution",
        choices=ARRIVALS,
        metavar="KIND",
        help=f"as --arrivals: {', '.join(ARRIVALS)}",
    )
    add("--burst", type=float, metavar="S", help="as --burst-every, with bursts of -u requests")
    add("--chat", dest="chat", action=argparse.BooleanOptionalAction, help="as --endpoint")
    for flags in _REFUSED:
        add(*flags, action=_Refuse, nargs="?", help=argparse.SUPPRESS)
    for flag in _NEEDLESS:
        add(flag, action="store_true", help=argparse.SUPPRESS)


def translate(arguments: argparse.Namespace) -> None:
    """Bring what the reference tool's options mean into this tool's own."""
    if arguments.qps_distribution is not None:
        arguments.arrivals = ARRIVALS[arguments.qps_distribution]
    if arguments.chat is not None:
        arguments.endpoint = "chat" if arguments.chat else "completions"
    if arguments.burst is not None:
        arguments.burst_every, arguments.burst_size = arguments.burst, arguments.users or 1
        arguments.users = None
    if arguments.host is not None:
        arguments.url = arguments.host
        for name, value in DEFAULTS.items():
            if getattr(arguments, name) is None:
                setattr(arguments, name, value)
        if arguments.rate is not None:
            arguments.users = None


def _why(option: str) -> str:
    return next(why for flags, why in _REFUSED.items() if option in flags)
