# SPDX-License-Identifier: Apache-2.0
"""``loadgen run`` and ``loadgen mock``."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import uvloop
from rich.console import Console

from loadgen.audit import Verdict
from loadgen.errors import LoadgenError, ProfileError
from loadgen.mock.server import serve
from loadgen.mock.settings import Fault, FaultRule, MockSettings, Pause
from loadgen.profile import Profile, Timeouts
from loadgen.progress import progress_on
from loadgen.provider import providers
from loadgen.report import describe
from loadgen.runner import run
from rcalab_common.slo import Slo

T = TypeVar("T")

API_KEY_VARIABLE = "LOADGEN_API_KEY"

EXIT_OK, EXIT_ERROR, EXIT_INVALID = 0, 1, 3

_RUN_EPILOG = f"""\
examples:
  two requests a second for five minutes, after a warm-up of 20 s:
    loadgen run --url http://127.0.0.1:8000 --model tiny --rate 2 --duration 300 --warmup 20 \\
      --out results/load
  a service with a key, a strict SLO, and an exit code that tells whether to trust the figures:
    {API_KEY_VARIABLE}=... loadgen run --url https://llm.example --model m --rate 5 --duration 60 \\
      --slo-ttft-ms 500 --slo-latency-ms 3000 --strict --out results/load

exit codes: 0 the run is done, whatever the service answered; 1 bad input, no service, or no room
for the output; 3 with --strict, the run is invalid by its own audit; 130, 143 stopped by SIGINT or
SIGTERM (the records so far and a summary are kept)
"""

_MOCK_EPILOG = """\
examples:
  a quick engine of eight places:
    loadgen mock --port 8000 --model tiny --ttft-ms 80 --itl-ms 15 --max-concurrency 8
  requests 20 to 39 lose their connection within the stream, and nothing moves from 10 s to 12 s:
    loadgen mock --fault reset-midstream@20-39 --pause 10:2
  an engine that a CPU quota starves, under Ray's metric names:
    loadgen mock --cpu-ms-per-token 2 --metrics-prefix ray_vllm_ --replica llm-0
"""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, with the exit code of all bad input."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_ERROR, f"loadgen: error: {message}; see {self.prog} --help\n")


@dataclass(slots=True)
class _Stop:
    """Set by SIGINT and SIGTERM, or by the end of standard input."""

    event: asyncio.Event
    exit_code: int = EXIT_OK

    def on_signal(self, number: signal.Signals) -> None:
        self.exit_code = 128 + number
        self.event.set()

    def on_eof(self) -> None:
        """Stop when whoever holds the other end of standard input is gone."""
        if not os.read(sys.stdin.fileno(), 4096):
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            self.on_signal(signal.SIGTERM)


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


def _stop_on_signals() -> _Stop:
    stop = _Stop(asyncio.Event())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.on_signal, number)
    return stop


def _watch_stdin(stop: _Stop) -> None:
    try:
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stop.on_eof)
    except OSError as error:
        raise ProfileError("--stop-on-eof needs a pipe or a terminal as standard input") from error


async def _run(arguments: argparse.Namespace, console: Console) -> int:
    stop = _stop_on_signals()
    if arguments.stop_on_eof:
        _watch_stdin(stop)
    with closing(progress_on(console)) as progress:
        result = await run(
            _profile(arguments),
            arguments.out,
            api_key=_api_key(arguments.api_key_file),
            stop=stop.event,
            progress=progress,
            force=arguments.force,
        )
    sys.stdout.write(describe(result))
    if stop.exit_code:
        return stop.exit_code
    return EXIT_INVALID if arguments.strict and result.verdict is Verdict.INVALID else EXIT_OK


async def _mock(arguments: argparse.Namespace, console: Console) -> int:
    stop = _stop_on_signals()
    chosen = {field.name: getattr(arguments, field.name) for field in fields(MockSettings)}
    settings = MockSettings(**chosen | {"faults": tuple(arguments.faults)})
    async with serve(settings, arguments.host, arguments.port) as url:
        console.print(f"mock serves {settings.model} on {url}", markup=False, highlight=False)
        await stop.event.wait()
    return EXIT_OK


def _profile(arguments: argparse.Namespace) -> Profile:
    try:
        slo = Slo(
            ttft_ms=arguments.slo_ttft_ms,
            latency_ms=arguments.slo_latency_ms,
            target=arguments.slo_target,
            window_s=arguments.slo_window,
        )
    except ValueError as error:
        raise ProfileError(str(error)) from error
    return Profile(
        base_url=arguments.url,
        model=arguments.model,
        rate_per_s=arguments.rate,
        duration_s=arguments.duration,
        warmup_s=arguments.warmup,
        prompt_tokens=arguments.prompt_tokens,
        output_tokens=arguments.output_tokens,
        seed=arguments.seed,
        provider=arguments.provider,
        timeouts=Timeouts(
            connect_s=arguments.connect_timeout,
            first_byte_s=arguments.first_byte_timeout,
            stall_s=arguments.stall_timeout,
            total_s=arguments.total_timeout,
        ),
        slo=slo,
        drain_s=arguments.drain,
    )


def _api_key(path: Path | None) -> str | None:
    """Read the key from the file or the environment: a command line shows in every `ps`."""
    if path is None:
        return os.environ.get(API_KEY_VARIABLE)
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(f"can't read the API key from {path}: {error}") from error


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="loadgen",
        description="Put an honest load on an LLM service: every request leaves at its own time, "
        "however slow the service gets, and every one is accounted for.",
    )
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(
        verbs.add_parser(
            "run",
            help="put a load on a service",
            description="Send streaming chat requests at a constant rate; write requests.jsonl "
            "and summary.json.",
            epilog=_RUN_EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
    )
    _add_mock(
        verbs.add_parser(
            "mock",
            help="play an LLM service",
            description="Serve vLLM's OpenAI API and metrics without a model.",
            epilog=_MOCK_EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
    )
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    """Options of ``run``; their defaults are the profile's own."""
    default: dict[str, Any] = {field.name: field.default for field in fields(Profile)}
    waits, slo = Timeouts(), Slo()
    parser.set_defaults(command=_run)
    add = parser.add_argument
    add("--url", required=True, help="root of the service, such as http://127.0.0.1:8000")
    add("--model", required=True, help="name of the model, as /v1/models lists it")
    add("--rate", type=float, required=True, metavar="R", help="requests per second")
    add("--duration", type=float, required=True, metavar="S", help="measured seconds")
    add("--out", type=Path, required=True, metavar="DIR", help="folder of the results")
    add("--force", action="store_true", help="replace a finished run in DIR")
    _number(add, "--warmup", default["warmup_s"], "S", "seconds of load before, not measured")
    _number(add, "--prompt-tokens", default["prompt_tokens"], "N", "words of a prompt")
    _number(add, "--output-tokens", default["output_tokens"], "N", "tokens to ask for")
    _number(add, "--seed", default["seed"], "N", "of prompts and identifiers")
    add(
        "--provider",
        default=default["provider"],
        help=f"dialect: {', '.join(sorted(providers()))} (default: %(default)s)",
    )
    _number(add, "--connect-timeout", waits.connect_s, "S", "for name, TCP and TLS")
    _number(add, "--first-byte-timeout", waits.first_byte_s, "S", "to the first byte")
    _number(add, "--stall-timeout", waits.stall_s, "S", "of silence within an answer")
    _number(add, "--total-timeout", waits.total_s, "S", "for a whole answer")
    _number(add, "--drain", default["drain_s"], "S", "for requests in flight at the end")
    _number(add, "--slo-ttft-ms", slo.ttft_ms, "MS", "longest good time to first token")
    _number(add, "--slo-latency-ms", slo.latency_ms, "MS", "longest good time of a request")
    _number(add, "--slo-target", slo.target, "X", "share of requests that must be good")
    _number(add, "--slo-window", slo.window_s, "S", "window in which the share is taken")
    add(
        "--api-key-file",
        type=Path,
        metavar="FILE",
        help=f"file with the API key (else the variable {API_KEY_VARIABLE}, else none is sent)",
    )
    add("--strict", action="store_true", help="exit with 3 if the run's own audit says invalid")
    add("--stop-on-eof", action="store_true", help="stop as on SIGTERM when standard input ends")


def _add_mock(parser: argparse.ArgumentParser) -> None:
    """Options of ``mock``; their defaults are the settings' own."""
    own = MockSettings()
    parser.set_defaults(command=_mock)
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    _number(add, "--port", 8000, "N", "port to listen on, 0 for a free one")
    add("--model", default=own.model, help="name of the model (default: %(default)s)")
    _number(add, "--ttft-ms", own.ttft_ms, "MS", "from admission to the first token")
    _number(add, "--itl-ms", own.itl_ms, "MS", "between tokens")
    _number(add, "--slowdown", own.slowdown, "X", "stretch for each further running request")
    _number(add, "--max-concurrency", own.max_concurrency, "N", "requests that run at a time")
    _number(add, "--cpu-ms-per-token", own.cpu_ms_per_token, "MS", "CPU time that a token burns")
    _number(add, "--kv-tokens", own.kv_tokens, "N", "size of the key-value cache")
    _number(add, "--max-tokens", own.max_tokens, "N", "most tokens of an answer")
    add("--metrics-prefix", default=own.metrics_prefix, help="(default: %(default)s)")
    add("--replica", metavar="NAME", help="name to send as x-replica")
    add("--arrivals", type=Path, metavar="FILE", help="log every arrival, JSON Lines")
    add(
        "--fault",
        dest="faults",
        action="append",
        default=[],
        type=_checked(FaultRule.parse),
        metavar="KIND@FIRST[-LAST]",
        help=f"spoil these requests, counted from 0: {', '.join(Fault)} (may be repeated)",
    )
    add("--pause", type=_checked(Pause.parse), metavar="START:SECONDS", help="stop all tokens")


def _number(
    add: Callable[..., argparse.Action], flag: str, default: float, metavar: str, text: str
) -> None:
    add(
        flag,
        type=type(default),
        default=default,
        metavar=metavar,
        help=f"{text} (default: {default:g})",
    )


def _checked(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Give a parser's own message to the user, as argparse shows no other exception's."""

    def checked(text: str) -> T:
        try:
            return parse(text)
        except ProfileError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return checked
