# SPDX-License-Identifier: Apache-2.0
"""The options of ``loadgen run``; their defaults are the profile's own."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

from loadgen.arrivals import ARRIVALS
from loadgen.commands.common import Add, checked, number, seconds
from loadgen.commands.finish import add_finish
from loadgen.commands.reference import add_reference
from loadgen.curves import CURVES, parse_curve
from loadgen.profile import Profile, Timeouts
from loadgen.prompts.spec import DATASETS, PROMPTS, Prompts
from loadgen.provider import providers
from loadgen.shard import WHOLE, Shard
from loadgen.workload import LENGTHS, THINKING, TRACE_FORMATS, Api, Lengths
from rcalab_common.slo import Slo

API_KEY_VARIABLE = "LOADGEN_API_KEY"

USAGE = "loadgen run --url URL LOAD END [option ...]"

DESCRIPTION = """\
Send requests by a schedule that is made before the first one and that no slow service changes, or
as users who wait for their answers; write requests.jsonl and summary.json."""

EPILOG = f"""\
examples:
  two requests a second for five minutes, after a warm-up of 20 s:
    loadgen run --url http://127.0.0.1:8000 --model tiny --rate 2 --duration 300 --warmup 20 \\
      --out results/load
  a service with a key, a strict SLO, and an exit code that tells whether to trust the figures:
    {API_KEY_VARIABLE}=... loadgen run --url https://llm.example --model m --rate 5 --duration 60 \\
      --slo-ttft-ms 500 --slo-latency-ms 3000 --strict --out results/load
  Poisson arrivals from 1 to 20 requests a second, over ten minutes:
    loadgen run --url http://127.0.0.1:8000 --curve ramp:1,20@600 --arrivals poisson --duration 10m
  eight users who think for two seconds, in conversations of five turns:
    loadgen run --url http://127.0.0.1:8000 --users 8 --think 2 --turns 5 --duration 5m
  an hour of Azure's trace at ten times its speed, with prompts to the token:
    loadgen run --url http://127.0.0.1:8000 --trace AzureLLMInferenceTrace_conv.csv \\
      --trace-speed 10 --duration 6m --exact
  the same load while something breaks: windows that another tool marks, and what must hold:
    loadgen run --url http://127.0.0.1:8000 --rate 5 --duration 5m --events faults.jsonl \\
      --assert 'time_to_recover_s<30' --assert 'p95_ttft_ms<2000' --write html
  one load from three machines, which start together; then loadgen merge a b c --out whole:
    loadgen run --url http://llm:8000 --rate 300 --duration 5m --shard 0/3 \\
      --start-at 2026-01-31T12:00:00Z --out a
  a command line of the reference tool:
    loadgen run -H http://127.0.0.1:8000 -t 360s -u 300 -r 300 -p 512 -o 256 --stream --chat \\
      --qps 5 --qps-distribution constant --prompt-randomize --summary-file results.csv

exit codes: 0 the run is done, whatever the service answered; 1 bad input, no service, or no room
for the output; 3 with --strict, the run is invalid by its own audit; 4 an assertion doesn't hold;
130, 143 stopped by SIGINT or SIGTERM (the records so far and a summary are kept)
"""


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add all options of ``run``."""
    add_service(parser)
    _add_load(parser)
    add_prompts(parser)
    add_waits(parser)
    _add_sight(parser)
    _add_sharing(parser)
    _add_results(parser)
    add_reference(parser)


def add_service(parser: argparse.ArgumentParser) -> None:
    """Add the options: Which service, and how it is asked."""
    add, api = parser.add_argument_group("service").add_argument, Api()
    add("--url", help="root of the service, such as http://127.0.0.1:8000")
    add("-m", "--model", help="name of the model (default: the first that the service lists)")
    add(
        "--provider",
        help=f"dialect: {', '.join(sorted(providers()))}, or auto to guess it (default: vllm)",
    )
    add(
        "--endpoint",
        choices=("chat", "completions"),
        help=f"of a provider with both (default: {api.endpoint})",
    )
    add(
        "--stream",
        action=argparse.BooleanOptionalAction,
        help="take tokens as they are made (default: yes)",
    )
    add(
        "--temperature",
        type=float,
        metavar="T",
        help=f"of the sampling (default: {api.temperature:g})",
    )
    add(
        "--logprobs",
        type=checked(_logprobs),
        metavar="N",
        help="ask for log probabilities, which count tokens where there is no usage",
    )
    add(
        "--api-key-file",
        type=Path,
        metavar="FILE",
        help=f"file with the API key (else the variable {API_KEY_VARIABLE}, else none is sent)",
    )


def _add_load(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "load", "One of --rate, --curve, --burst-every, --users and --trace, and an end."
    )
    add = group.add_argument
    add("--rate", "--qps", type=float, metavar="R", help="requests per second")
    add("--curve", type=checked(_curve), help=f"changing rate: {'; '.join(CURVES.values())}")
    _choice(add, "--arrivals", choices=ARRIVALS, text="how the gaps of a rate or curve vary")
    number(add, "--burstiness", default=1.0, metavar="K", text="of gamma: below 1 is burstier")
    add("--burst-every", type=float, metavar="S", help="seconds between bursts")
    number(add, "--burst-size", default=1, metavar="N", text="requests of a burst")
    add("-u", "--users", type=int, metavar="N", help="users who wait for their answers")
    number(add, "--think", default=0.0, metavar="S", text="seconds between answer and request")
    _choice(add, "--thinking", choices=THINKING, text="how that time varies")
    add(
        "-r",
        "--spawn-rate",
        type=float,
        metavar="R",
        help="users that start per second (default: all at random within the first)",
    )
    add("--trace", type=Path, metavar="FILE", help="recorded load to play again")
    _choice(add, "--trace-format", choices=TRACE_FORMATS, text="whose trace it is")
    number(add, "--trace-speed", default=1.0, metavar="X", text="how much faster than recorded")
    add(
        "-t",
        "--duration",
        "--run-time",
        type=checked(seconds),
        metavar="TIME",
        help="of the measured load: 300, 300s, 5m",
    )
    add("--requests", type=int, metavar="N", help="measured requests after which it ends")
    add(
        "--warmup",
        type=checked(seconds),
        default=0.0,
        metavar="TIME",
        help="load before it, not measured (default: 0)",
    )
    default: dict[str, Any] = {field.name: field.default for field in fields(Profile)}
    number(
        add,
        "--seed",
        default=default["seed"],
        metavar="N",
        text="everything random follows from it",
    )
    number(add, "--processes", default=1, metavar="N", text="processes that share the one schedule")


def add_prompts(parser: argparse.ArgumentParser) -> None:
    """Add the options: What is asked, and how long the answers are."""
    own, lengths = Prompts(), Lengths()
    add = parser.add_argument_group("prompts and answers").add_argument
    add("-p", "--prompt-tokens", type=int, metavar="N", help="words of a prompt (default: 128)")
    add("--exact", action="store_true", help="make that tokens, calibrated on the service's count")
    add(
        "--prompts",
        choices=PROMPTS,
        metavar="KIND",
        help=f"one of {', '.join(PROMPTS)} (default: {own.kind})",
    )
    add("--prompt-text", metavar="TEXT", help="always this one; @FILE reads it from a file")
    add("--prompt-file", type=Path, metavar="FILE", help="prompts or conversations, JSON (Lines)")
    _choice(add, "--prompt-format", choices=DATASETS, text="what is in it")
    add("--prompt-chars", type=int, metavar="N", help="length of padding prompts in characters")
    add(
        "--prompt-randomize",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="ten random letters before padding and text",
    )
    for flag, default, metavar, text in (
        ("--shared-tokens", own.shared_tokens, "N", "tokens of a prefix that prompts share"),
        ("--prefix-groups", own.groups, "N", "how many such prefixes there are"),
        ("--zipf", own.zipf, "S", "how unevenly they are used, 0 is evenly"),
        ("--turns", own.turns, "N", "requests of a conversation"),
        ("--sessions", own.sessions, "N", "conversations side by side, without --users"),
    ):
        number(add, flag, default=default, metavar=metavar, text=text)
    add(
        "-o",
        "--output-tokens",
        "--max-tokens",
        type=int,
        metavar="N",
        help="tokens to ask for, or their mean (default: 64)",
    )
    _choice(
        add,
        "--output-distribution",
        "--max-tokens-distribution",
        choices=LENGTHS,
        text="how their number varies",
    )
    number(
        add,
        "--output-range",
        "--max-tokens-range",
        default=lengths.range,
        metavar="X",
        text="relative width of uniform and normal",
    )
    add("--output-cap", "--max-tokens-cap", type=int, metavar="N", help="most tokens to ask for")


def add_waits(parser: argparse.ArgumentParser) -> None:
    """Add the options: How long to wait, and what a good request is."""
    waits, slo, drain_s = Timeouts(), Slo(), 30.0
    add = parser.add_argument_group("waiting").add_argument
    for flag, default, metavar, text in (
        ("--connect-timeout", waits.connect_s, "S", "for name, TCP and TLS"),
        ("--first-byte-timeout", waits.first_byte_s, "S", "to the first byte"),
        ("--stall-timeout", waits.stall_s, "S", "of silence within an answer"),
        ("--total-timeout", waits.total_s, "S", "for a whole answer"),
        ("--drain", drain_s, "S", "for requests in flight at the end"),
        ("--slo-ttft-ms", slo.ttft_ms, "MS", "longest good time to first token"),
        ("--slo-latency-ms", slo.latency_ms, "MS", "longest good time of a request"),
        ("--slo-target", slo.target, "X", "share of requests that must be good"),
        ("--slo-window", slo.window_s, "S", "window in which the share is taken"),
    ):
        number(add, flag, default=default, metavar=metavar, text=text)


def _add_sight(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "windows and live figures", "They are for the reader alone: no event changes the load."
    )
    add = group.add_argument
    add(
        "--events",
        metavar="FILE|URL",
        help="JSON Lines that mark windows while it runs, each with time, event (window_start or "
        "window_end) and name",
    )
    add("--metrics-port", type=int, metavar="N", help="serve Prometheus metrics, 0 for a free port")
    add("--metrics-host", default="127.0.0.1", help="where to (default: %(default)s)")


def _add_sharing(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "several machines", "Each makes the same schedule and sends its part; see loadgen merge."
    )
    add = group.add_argument
    add(
        "--shard",
        type=checked(Shard.parse),
        default=WHOLE,
        metavar="I/N",
        help="send every N-th request, from the I-th, counted from 0",
    )
    add("--start-at", metavar="TIME", help="UTC time to start at, such as 2026-01-31T12:00:00Z")


def _add_results(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("results").add_argument
    add("--stop-on-eof", action="store_true", help="stop as on SIGTERM when standard input ends")
    add("--out", type=Path, metavar="DIR", help="folder of the results (default: loadgen-TIME)")
    add("--force", action="store_true", help="replace a finished run in DIR")
    add(
        "--summary-file",
        type=Path,
        metavar="FILE",
        help="append a row with the reference tool's columns to this CSV file",
    )
    add_finish(add)


def _choice(add: Add, *flags: str, choices: tuple[str, ...], text: str) -> None:
    """Add an option for one of some words, of which the first is the default."""
    add(
        *flags,
        choices=choices,
        default=choices[0],
        metavar="KIND",
        help=f"{text}: {', '.join(choices)} (default: %(default)s)",
    )


def _curve(text: str) -> str:
    parse_curve(text)
    return text


def _logprobs(text: str) -> int:
    """Read a number of alternatives; ``true`` is the reference tool's word for none of them."""
    if text.lower() == "true":
        return 0
    try:
        return int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"logprobs is a number or true, got {text!r}") from error
