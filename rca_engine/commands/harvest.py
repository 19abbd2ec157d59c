# SPDX-License-Identifier: Apache-2.0
"""``rca-engine harvest``: a case from a run's telemetry."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

from rca_engine.commands import Commands, new_parser

_EXAMPLES = """\
  rca-engine harvest results/demo/cpu/run-01 --prometheus http://127.0.0.1:9090 \\
      --pods /run/lab/pods.json --log replica/llm-0:engine:/run/lab/replica-0/logs
  rca-engine harvest results/demo/kill/run-01 --settings cluster.yml   # docs/harvest.md
"""


def add(commands: Commands) -> None:
    """Add the command's parser."""
    parser = new_parser(commands, "harvest", "make a case of a run's telemetry", _EXAMPLES)
    parser.add_argument("run_dir", type=Path, help="holds load/requests.jsonl")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--prometheus", metavar="URL", help="that of a lab on one machine")
    where.add_argument("--settings", type=Path, metavar="FILE", help="those of a cluster's harvest")
    parser.add_argument("--pods", type=Path, help="the lab's pods.json, with --prometheus")
    parser.add_argument("--start", help="RFC 3339; default: the load's first request")
    parser.add_argument("--end", help="RFC 3339; default: the end of the load's last request")
    parser.add_argument(
        "--log",
        action="append",
        default=[],
        metavar="COMPONENT:STREAM:PATH",
        help="a log file, or a folder of them; give it again for more",
    )
    parser.add_argument("--scenario", default="")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", default="vllm", help="with --prometheus")
    parser.add_argument("--note", action="append", default=[], help="for every reader")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Harvest the run's window."""
    from rich.console import Console

    from rca_engine.telemetry import settings
    from rca_engine.telemetry.harvest import Harvest, harvest, parse_log_source, parse_window
    from rca_engine.telemetry.http import silent

    plan = Harvest(
        run_dir=arguments.run_dir,
        prometheus_url=arguments.prometheus or "",
        pods_file=arguments.pods,
        cluster=None if arguments.settings is None else settings.read(arguments.settings),
        window=parse_window(arguments.start, arguments.end),
        logs=[parse_log_source(text) for text in arguments.log],
        scenario=arguments.scenario,
        seed=arguments.seed,
        engine=arguments.engine,
        notes=arguments.note,
    )
    shown = Console(stderr=True)
    with shown.status("harvesting") if shown.is_terminal else contextlib.nullcontext() as status:
        case_dir = harvest(plan, silent if status is None else status.update)
    Console().print(f"case: {case_dir}", markup=False, soft_wrap=True)
    return 0
