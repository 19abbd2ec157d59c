# SPDX-License-Identifier: Apache-2.0
"""How late loadgen sends, beside a bare aiohttp client, and what a 10 s stall does to its schedule.

    benchmarks/loadgen_lag.py --into docs/loadgen.md

Both clients send the same constant rate to the mock server (50 ms to the first token, 10 ms between
tokens), one after the other, again and again; the table has the median of the runs. The bare client
(``_bare_client.py``) is the least that a Python client can do: a precomputed schedule, aiohttp, no
record and no parsing. Lag is the real send less the intended time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from _mock import OURS, Mock, Truth, machine, mock, timed
from _tables import insert

BARE = Path(__file__).with_name("_bare_client.py")
TOKENS, RATES = 32, (50, 200)
STALL_START_S, STALL_S, STALL_RATE, STALL_RUN_S = 8, 10, 50, 25


@dataclass(frozen=True)
class Figures:
    """One run of one client."""

    sent: int
    lag_p50_ms: float
    lag_p99_ms: float
    ttft_mean_ms: float
    server_ttft_ms: float
    cpu_us_per_chunk: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the measurements and print them as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5, help="of each client (default: 5)")
    parser.add_argument("--seconds", type=int, default=15, help="of each run (default: 15)")
    parser.add_argument("--into", type=Path, metavar="FILE.md", help="put the tables there too")
    options = parser.parse_args(arguments)
    text = "\n".join([f"{machine()}.\n", rates(options.runs, options.seconds), stall()])
    sys.stdout.write(text)
    if options.into:
        insert(options.into, "lag", text)
    return 0


def rates(runs: int, seconds: int) -> str:
    """Return the table of lags."""
    title = (
        f"Median of {runs} runs of {seconds} s, {TOKENS} tokens an answer, times in ms; TTFT error "
        "is the client's mean less the server's.\n"
    )
    lines = [
        title,
        "| rate, 1/s | client | sent | lag p50 | lag p99 | TTFT error | CPU a chunk, µs |",
        "|---|---|---|---|---|---|---|",
    ]
    for rate in RATES:
        found: dict[str, list[Figures]] = {"loadgen": [], "bare": []}
        for number in range(runs):
            for name, figures in found.items():
                sys.stderr.write(f"{rate}/s, {name}, run {number + 1}\n")
                figures.append(once(name, rate, seconds))
        for name, each in found.items():
            lines.append(row(rate, name, each, rate * seconds))
    return "\n".join(lines) + "\n"


def row(rate: int, name: str, runs: list[Figures], due: int) -> str:
    """Return a line of the table."""
    sent = min(run.sent for run in runs)
    p50, p99, error, cpu = (
        statistics.median(values)
        for values in zip(
            *(
                (
                    run.lag_p50_ms,
                    run.lag_p99_ms,
                    run.ttft_mean_ms - run.server_ttft_ms,
                    run.cpu_us_per_chunk,
                )
                for run in runs
            ),
            strict=True,
        )
    )
    return (
        f"| {rate} | {name} | {sent} of {due} | {p50:.2f} | {p99:.2f} | {error:.2f} | {cpu:.0f} |"
    )


def once(name: str, rate: int, seconds: int) -> Figures:
    """Run one client once."""
    with tempfile.TemporaryDirectory() as folder, mock(Path(folder)) as server:
        client = run_loadgen if name == "loadgen" else run_bare
        return client(server, Path(folder), rate, seconds)


def run_loadgen(server: Mock, folder: Path, rate: int, seconds: int) -> Figures:
    """Run loadgen; read its records and its audit."""
    records = put_load(server, folder, rate, seconds)
    summary = json.loads((folder / "out" / "summary.json").read_text(encoding="utf-8"))
    lag, chunks = summary["audit"]["schedule_lag_ms"], rate * seconds * TOKENS
    return Figures(
        sent=len(records),
        lag_p50_ms=lag["p50"],
        lag_p99_ms=lag["p99"],
        ttft_mean_ms=statistics.fmean(r["service_ttft_ms"] for r in records),
        server_ttft_ms=server.truth().ttft_mean_ms,
        cpu_us_per_chunk=1e6 * summary["audit"]["cpu_s"] / chunks,
    )


def run_bare(server: Mock, _folder: Path, rate: int, seconds: int) -> Figures:
    """Run the bare client; it prints its own figures."""
    command = [sys.executable, str(BARE), server.url, str(rate), str(seconds), str(TOKENS)]
    cost = timed(command, env=OURS, limit_s=seconds + 60)
    if cost.code:
        raise SystemExit(f"the bare client failed: {cost.output}")
    told = json.loads(cost.output)
    chunks = rate * seconds * TOKENS
    return Figures(
        sent=told["sent"],
        lag_p50_ms=told["lag_p50_ms"],
        lag_p99_ms=told["lag_p99_ms"],
        ttft_mean_ms=told["ttft_mean_ms"],
        server_ttft_ms=server.truth().ttft_mean_ms,
        cpu_us_per_chunk=1e6 * told["cpu_s"] / chunks,
    )


def put_load(
    server: Mock, folder: Path, rate: int, seconds: int, tokens: int = TOKENS
) -> list[dict[str, float]]:
    """Put a constant rate on the server with loadgen; return its records."""
    out = folder / "out"
    command = [sys.executable, "-m", "loadgen", "run", "--url", server.url, "--rate", str(rate)]
    command += ["--duration", str(seconds), "-p", "32", "-o", str(tokens), "--out", str(out)]
    cost = timed(command, env=OURS, limit_s=seconds + 90)
    if cost.code:
        raise SystemExit(f"loadgen failed: {cost.output}")
    lines = (out / "requests.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def stall() -> str:
    """Return what a stall of 10 s does."""
    sys.stderr.write("stall\n")
    with (
        tempfile.TemporaryDirectory() as folder,
        mock(Path(folder), "--pause", f"{STALL_START_S}:{STALL_S}") as server,
    ):
        records = put_load(server, Path(folder), STALL_RATE, STALL_RUN_S, tokens=16)
        truth: Truth = server.truth()
    told = statistics.fmean(record["response_ttft_ms"] for record in records)
    end_s = STALL_START_S + STALL_S
    due = STALL_S * STALL_RATE
    during = truth.within(STALL_START_S, end_s, 0.5 / STALL_RATE)
    return (
        f"\nA stall of {STALL_S} s at {STALL_RATE} requests/s: "
        f"{during} of {due} arrivals within it, at most "
        f"{truth.most_in_a_second(end_s)} in any second after it; mean TTFT {told:.0f} ms told, "
        f"{truth.ttft_mean_ms:.0f} ms true ({told / truth.ttft_mean_ms - 1:+.2%}).\n"
    )


if __name__ == "__main__":
    sys.exit(main())
