# SPDX-License-Identifier: Apache-2.0
"""``loadgen search``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import Any

from rich.console import Console

from loadgen.checks import check_number
from loadgen.commands.common import EXIT_NOT_FOUND, EXIT_OK, Stop, number
from loadgen.commands.profiles import complete, read_api_key
from loadgen.commands.searching import add_steps, check_page, described, make_stepper, until_stopped
from loadgen.curves import MAX_RATE_PER_S
from loadgen.errors import TargetError, saving
from loadgen.profile import Profile
from loadgen.search.intervals import CONFIDENCE
from loadgen.search.ladder import Rung, capacity_per_s, climb
from loadgen.search.present import table, write_csv, write_search_page
from loadgen.search.rates import RateSearch
from loadgen.search.steps import Stepper
from rcalab_common.files import write_json

USAGE = "loadgen search --url URL [option ...]"

DESCRIPTION = """\
Find the highest rate at which a service keeps an SLO. First more and more users, to see what it can
do at all, checked by Little's law; then rates, halved in between, each until its Wilson interval
lies on one side of the target. A step in which requests pile up is ended early. Every step is a
whole run in a folder of its own; the same command again goes on where it was."""

EPILOG = """\
examples:
  the highest rate at which 95 % see their first token within half a second:
    loadgen search --url http://127.0.0.1:8000 -p 512 -o 128 --slo-ttft-ms 500 \\
      --slo-target 0.95 --out results/search
  a quick look, with a page of charts:
    loadgen search --url http://127.0.0.1:8000 --duration 10 --precision 0.2 --write html

It writes search.json and steps.csv beside the steps. Rates in a step last longer than --duration
where too few requests would be due to show the target.

exit codes: 0 a rate was found; 1 bad input, no service; 5 no rate keeps the SLO; 130, 143 stopped
"""

_LADDER = {
    "users": "users",
    "success_per_s": "ok/s",
    "cycle_s": "cycle s",
    "little": "Little",
    "attainment": "SLO %",
    "response_ttft_ms.p50": "TTFT p50",
    "response_ttft_ms.p95": "TTFT p95",
    "audit": "audit",
}
_PROBES = {
    "rate_per_s": "rate/s",
    "due": "due",
    "attainment": "SLO %",
    "low": "low %",
    "high": "high %",
    "response_ttft_ms.p50": "TTFT p50",
    "response_ttft_ms.p95": "TTFT p95",
    "verdict": "verdict",
    "audit": "audit",
}
_CSV = ("kind", "users", "rate_per_s", "success_per_s", "due", "attainment", "low", "high")
_CSV_MORE = ("response_ttft_ms.p50", "response_ttft_ms.p95", "little", "verdict", "stopped")


def add_search(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``search``."""
    parser.set_defaults(command=_search)
    add = parser.add_argument_group("search").add_argument
    number(add, "--max-users", default=1024, metavar="N", text="highest number of users to try")
    number(add, "--max-rate", default=1000.0, metavar="R", text="highest rate to try")
    number(add, "--precision", default=0.05, metavar="X", text="relative width of the answer")
    number(add, "--repeats", default=3, metavar="N", text="tries of a rate that stays undecided")
    add_steps(parser)


async def _search(arguments: argparse.Namespace, console: Console) -> int:
    return await until_stopped(_find, arguments, console)


async def _find(arguments: argparse.Namespace, console: Console, stop: Stop) -> int:
    check_page(arguments, "search.html")
    check_number("max-users", arguments.max_users, least=1, most=100_000)
    check_number("max-rate", arguments.max_rate, above=0, most=MAX_RATE_PER_S)
    check_number("precision", arguments.precision, least=0.001, most=0.9)
    check_number("repeats", arguments.repeats, least=1, most=100)
    api_key = read_api_key(arguments.api_key_file)
    profile = await complete(arguments, api_key)
    stepper = make_stepper(arguments, console, stop, api_key)
    rates = RateSearch(
        stepper=stepper,
        profile=profile,
        precision=arguments.precision,
        repeats=arguments.repeats,
        most_per_s=arguments.max_rate,
    )
    rungs = await climb(stepper, profile, think_s=arguments.think, most_users=arguments.max_users)
    capacity = capacity_per_s(rungs)
    if capacity <= 0:
        raise TargetError(
            f"no request of any user succeeded: see {stepper.folder}/users-1/requests.jsonl"
        )
    kept, broken = await rates.bisect(capacity)
    found = _found(profile, rungs, rates, kept, broken)
    return _present(arguments, profile, stepper, found)


def _found(
    profile: Profile,
    rungs: list[Rung],
    rates: RateSearch,
    kept: float | None,
    broken: float | None,
) -> dict[str, Any]:
    return {
        "format": 1,
        "profile": profile.to_dict(),
        "slo": asdict(profile.slo),
        "confidence": CONFIDENCE,
        "precision": rates.precision,
        "capacity_per_s": capacity_per_s(rungs),
        "max_rate_per_s": kept,
        "broken_at_per_s": broken,
        "ladder": [rung.to_dict() for rung in rungs],
        "probes": [probe.to_dict(profile.slo.target) for probe in rates.probes],
    }


def _present(
    arguments: argparse.Namespace, profile: Profile, stepper: Stepper, found: dict[str, Any]
) -> int:
    folder = stepper.folder
    probes = [
        probe | {"low": probe["interval"][0], "high": probe["interval"][1]}
        for probe in found["probes"]
    ]
    text = _verdict(found)
    sys.stdout.write(f"{table(found['ladder'], _LADDER)}\n{table(probes, _PROBES)}\n{text}\n")
    steps = [rung | {"kind": "users"} for rung in found["ladder"]]
    steps += [probe | {"kind": "rate"} for probe in probes]
    write_csv(folder / "steps.csv", steps, [*_CSV, *_CSV_MORE])
    written = [folder / "steps.csv", folder / "search.json"]
    if arguments.write:
        written.append(folder / "search.html")
        write_search_page(written[-1], described(profile), found, text)
    with saving(folder):
        write_json(folder / "search.json", found)
    sys.stdout.writelines(f"{path}\n" for path in written)
    return EXIT_OK if found["max_rate_per_s"] is not None else EXIT_NOT_FOUND


def _verdict(found: dict[str, Any]) -> str:
    slo, kept, broken = found["slo"], found["max_rate_per_s"], found["broken_at_per_s"]
    promise = (
        f"{slo['target']:.4g} of all requests within {slo['ttft_ms']:g} ms to the first token and "
        f"{slo['latency_ms']:g} ms to the end"
    )
    if kept is None:
        return f"No rate down to {broken:g}/s was shown to keep the SLO: {promise}."
    if broken is None:
        return f"{kept:g}/s, the highest rate tried, keeps the SLO: {promise}."
    return f"{kept:g}/s keeps the SLO, {broken:g}/s was not shown to: {promise}."
