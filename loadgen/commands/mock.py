# SPDX-License-Identifier: Apache-2.0
"""``loadgen mock``."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from rich.console import Console

from loadgen.commands.common import EXIT_OK, checked, number, stop_on_signals
from loadgen.mock.server import serve
from loadgen.mock.settings import OPENAI_PROVIDERS, Fault, FaultRule, MockSettings, Pause

USAGE = "loadgen mock [option ...]"

DESCRIPTION = """\
Serve every provider's API (OpenAI's, text-generation-inference's, Triton's) and vLLM's metrics
without a model."""

EPILOG = """\
examples:
  a quick engine of eight places:
    loadgen mock --port 8000 --model tiny --ttft-ms 80 --itl-ms 15 --max-concurrency 8
  requests 20 to 39 lose their connection within the stream, and nothing moves from 10 s to 12 s:
    loadgen mock --fault reset-midstream@20-39 --pause 10:2
  an engine that a CPU quota starves, under Ray's metric names:
    loadgen mock --cpu-ms-per-token 2 --metrics-prefix ray_vllm_ --replica llm-0
  a tokenizer with a template, for which words of more than six letters are two tokens:
    loadgen mock --template-tokens 12 --split-above 6
"""


def add_mock(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``mock``; their defaults are the settings' own."""
    own = MockSettings()
    parser.set_defaults(command=_mock)
    add = parser.add_argument_group("server").add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    number(add, "--port", default=8000, metavar="N", text="port to listen on, 0 for a free one")
    add("--model", default=own.model, help="name of the model (default: %(default)s)")
    add(
        "--provider",
        default=own.provider,
        choices=OPENAI_PROVIDERS,
        help="whose OpenAI API to play (default: %(default)s); the other APIs are always there",
    )
    add("--metrics-prefix", default=own.metrics_prefix, help="(default: %(default)s)")
    add("--replica", metavar="NAME", help="name to send as x-replica")
    add("--arrivals", type=Path, metavar="FILE", help="log every arrival, JSON Lines")
    add = parser.add_argument_group("engine").add_argument
    for flag, default, metavar, text in (
        ("--ttft-ms", own.ttft_ms, "MS", "from admission to the first token"),
        ("--itl-ms", own.itl_ms, "MS", "between tokens"),
        ("--slowdown", own.slowdown, "X", "stretch for each further running request"),
        ("--max-concurrency", own.max_concurrency, "N", "requests that run at a time"),
        ("--cpu-ms-per-token", own.cpu_ms_per_token, "MS", "CPU time that a token burns"),
        ("--kv-tokens", own.kv_tokens, "N", "size of the key-value cache"),
        ("--max-tokens", own.max_tokens, "N", "most tokens of an answer"),
        ("--template-tokens", own.template_tokens, "N", "tokens added to every prompt"),
        ("--split-above", own.split_above, "N", "letters above which a word is two tokens"),
    ):
        number(add, flag, default=default, metavar=metavar, text=text)
    add = parser.add_argument_group("faults").add_argument
    add(
        "--fault",
        dest="faults",
        action="append",
        default=[],
        type=checked(FaultRule.parse),
        metavar="KIND@FIRST[-LAST]",
        help=f"spoil these requests, counted from 0: {', '.join(Fault)} (may be repeated)",
    )
    add("--pause", type=checked(Pause.parse), metavar="START:SECONDS", help="stop all tokens")


async def _mock(arguments: argparse.Namespace, console: Console) -> int:
    chosen = {field.name: getattr(arguments, field.name) for field in fields(MockSettings)}
    settings = MockSettings(**chosen | {"faults": tuple(arguments.faults)})
    with stop_on_signals() as stop:
        async with serve(settings, arguments.host, arguments.port) as url:
            console.print(f"mock serves {settings.model} on {url}", markup=False, highlight=False)
            await stop.event.wait()
    return EXIT_OK
