# SPDX-License-Identifier: Apache-2.0
"""``loadgen run``."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from loadgen.commands.common import Stop, stop_on_signals, watch_stdin
from loadgen.commands.finish import check_outputs, finish
from loadgen.commands.profiles import complete, read_api_key
from loadgen.commands.reference import translate
from loadgen.errors import ProfileError
from loadgen.live_metrics import live_metrics
from loadgen.profile import Profile
from loadgen.progress import Progress, progress_on
from loadgen.reference_csv import append_row
from loadgen.runner import Sharing, run
from rcalab_common.times import parse_utc


async def run_load(arguments: argparse.Namespace, console: Console) -> int:
    """Do what the options of ``run`` say; return the exit code."""
    with stop_on_signals() as stop:
        if arguments.stop_on_eof:
            watch_stdin(stop)
        return await _run(arguments, console, stop)


async def _run(arguments: argparse.Namespace, console: Console, stop: Stop) -> int:
    translate(arguments)
    check_outputs(arguments.write)
    sharing = _sharing(arguments)
    api_key = read_api_key(arguments.api_key_file)
    profile = await complete(arguments, api_key)
    with ExitStack() as stack:
        progress: Progress = stack.enter_context(closing(progress_on(console)))
        progress = _with_metrics(arguments, console, profile, progress, stack)
        result = await run(
            profile,
            arguments.out or Path(f"loadgen-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"),
            api_key=api_key,
            stop=stop.event,
            progress=progress,
            force=arguments.force,
            events=arguments.events,
            sharing=sharing,
        )
    if arguments.summary_file is not None:
        append_row(arguments.summary_file, result, profile)
    code = finish(result, arguments, sys.stdout)
    return stop.exit_code or code


def _with_metrics(
    arguments: argparse.Namespace,
    console: Console,
    profile: Profile,
    progress: Progress,
    stack: ExitStack,
) -> Progress:
    """Serve live metrics where they are asked for."""
    if arguments.metrics_port is None:
        return progress
    progress, url = stack.enter_context(
        live_metrics(progress, profile, host=arguments.metrics_host, port=arguments.metrics_port)
    )
    console.print(f"metrics on {url}", markup=False, highlight=False)
    return progress


def _sharing(arguments: argparse.Namespace) -> Sharing:
    if arguments.start_at is None:
        return Sharing(shard=arguments.shard)
    try:
        return Sharing(shard=arguments.shard, start_ns=parse_utc(arguments.start_at))
    except ValueError as error:
        raise ProfileError(
            f"--start-at is a time such as 2026-01-31T12:00:00Z, got {arguments.start_at!r}"
        ) from error
