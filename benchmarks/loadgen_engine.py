# SPDX-License-Identifier: Apache-2.0
"""What loadgen's client saw beside what the engine and the gateway say of the same requests.

    benchmarks/loadgen_engine.py --case results/demo/cpu-starvation/run-01
    benchmarks/loadgen_engine.py --direct .venvs/models/tiny --into docs/loadgen.md

A case of the lab has the gateway's time to the first byte of each answer, and the engine's own sums
of the time per output token. With ``--direct`` a vLLM server of its own is started on loopback and
loaded, and its metrics are read before and after: nothing is between client and engine then. Means
are over the same requests: all that succeeded.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from _mock import ROOT, machine
from _tables import insert

from loadgen import Profile, run
from rca_engine.case import Case

SERVE = ROOT / ".venvs" / "serve" / "bin" / "python"

_TPOT = "request_time_per_output_token_seconds"
_TTFT = "time_to_first_token_seconds"
_START_S = 300
_WARM_UP_S = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, and print the tables as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", type=Path, action="append", default=[], help="of the lab")
    parser.add_argument("--direct", type=Path, metavar="MODEL", help="serve this model, load it")
    parser.add_argument("--rate", type=float, default=2.0, help="of --direct, 1/s (default: 2)")
    parser.add_argument("--seconds", type=float, default=60, help="of --direct (default: 60)")
    parser.add_argument("--into", type=Path, metavar="FILE.md", help="put the table there too")
    options = parser.parse_args(arguments)
    if not options.case and options.direct is None:
        parser.error("nothing to compare: give --case or --direct")
    lines = [
        f"{machine()}.\n",
        "| where | requests | figure | client | other | ratio | difference |",
        "|---|---|---|---|---|---|---|",
    ]
    for case in options.case:
        lines += of_case(case)
    if options.direct is not None:
        lines += direct(options.direct, options.rate, options.seconds)
    text = "\n".join(lines) + "\n"
    sys.stdout.write(text)
    if options.into:
        insert(options.into, "engine", text)
    return 0


def row(where: str, requests: int, figure: str, client_ms: float, other_ms: float) -> str:
    """Return a line of the table; times in ms."""
    return (
        f"| {where} | {requests} | {figure} | {client_ms:.1f} ms | {other_ms:.1f} ms "
        f"| {client_ms / other_ms:.3f} | {client_ms - other_ms:+.1f} ms |"
    )


def of_case(folder: Path) -> Iterator[str]:
    """Compare a case's requests with its gateway's log and its engines' sums."""
    case = Case.load(folder)
    requests = case.table("requests")
    good = requests[requests["outcome"] == "success"]
    logs = case.table("logs")
    told = pd.DataFrame(
        [json.loads(text) for text in logs.loc[logs["stream"] == "access", "message"]]
    )
    # One figure for each server that was tried, and the last is the one that answered.
    header_s = told["upstream_header_time"].str.rpartition(", ")[2].astype(float)
    both = good.merge(
        pd.DataFrame({"request_id": told["request_id"], "header_ms": 1e3 * header_s}),
        on="request_id",
        validate="one_to_one",
    )
    name = f"{folder.parent.name}/{folder.name}"
    yield row(
        name,
        len(both),
        "TTFT, gateway's upstream header",
        both["service_ttft_ms"].mean(),
        both["header_ms"].mean(),
    )
    engine_ms = 1e3 * grown(case, f"ray_vllm_{_TPOT}_sum") / grown(case, f"ray_vllm_{_TPOT}_count")
    yield row(name, len(good), "TPOT, engine's histogram", good["tpot_ms"].mean(), engine_ms)


def grown(case: Case, name: str) -> float:
    """Return by how much a counter grew over a case, over all its series."""
    series = case.table("series")
    mine = series.loc[series["name"] == name, "series"]
    if mine.empty:
        raise SystemExit(f"{case.path} has no {name}: harvest it with samples")
    samples = case.table("samples")
    values = samples[samples["series"].isin(mine)].sort_values("timestamp")
    grouped = values.groupby("series", observed=True)["value"]
    return float((grouped.last() - grouped.first()).sum())


def direct(model: Path, rate: float, seconds: float) -> Iterator[str]:
    """Serve a model, load it, and compare."""
    with tempfile.TemporaryDirectory() as folder, serving(model, Path(folder)) as url:
        load(url, rate, _WARM_UP_S, Path(folder, "warm"))
        before = sums(url)
        client = load(url, rate, seconds, Path(folder, "out"))
        after = sums(url)
    for figure, name, column in (
        ("TTFT, engine's histogram", _TTFT, "service_ttft_ms"),
        ("TPOT, engine's histogram", _TPOT, "tpot_ms"),
    ):
        total, count = (
            after[f"{name}_{each}"] - before[f"{name}_{each}"] for each in ("sum", "count")
        )
        yield row("direct", len(client), figure, client[column].mean(), 1e3 * total / count)


def load(url: str, rate: float, seconds: float, out: Path) -> pd.DataFrame:
    """Put a load on a server; return the requests, all of which succeeded."""
    profile = Profile(
        base_url=url,
        model="direct",
        rate_per_s=rate,
        duration_s=seconds,
        prompt_tokens=64,
        output_tokens=32,
    )
    records = [asdict(record) for record in asyncio.run(run(profile, out)).records()]
    frame = pd.DataFrame(records)
    if failed := int((frame["outcome"] != "success").sum()):
        raise SystemExit(f"{failed} of {len(frame)} requests failed")
    return frame


@contextmanager
def serving(model: Path, folder: Path) -> Iterator[str]:
    """Run a vLLM server on a free port of loopback until it is healthy, and end it afterwards."""
    with socket.socket() as handle:
        handle.bind(("127.0.0.1", 0))
        port = handle.getsockname()[1]
    command = [str(SERVE), "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    command += ["--served-model-name", "direct", "--enforce-eager"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "bfloat16"]
    command += ["--max-model-len", "2048", "--max-num-seqs", "16"]
    quiet = {"VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    quiet["OMP_NUM_THREADS"] = "1"
    log = folder / "vllm.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, stdout=output, stderr=output, env=os.environ | quiet, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_healthy(url, server, log)
        yield url
    finally:
        server.terminate()
        server.wait(60)


def wait_until_healthy(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Return when the server answers; end the program with its last words if it never does."""
    end = time.monotonic() + _START_S
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):  # noqa: S310 - our own server
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(1)
    last = log.read_text(encoding="utf-8", errors="replace")[-2000:]
    raise SystemExit(f"vLLM did not come up within {_START_S} s:\n{last}")


def sums(url: str) -> dict[str, float]:
    """Return the sums and counts of the engine's histograms."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:  # noqa: S310 - our own
        text = answer.read().decode()
    found = re.findall(r"^vllm:(\w+_(?:sum|count))\{[^}]*\} (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}


if __name__ == "__main__":
    sys.exit(main())
