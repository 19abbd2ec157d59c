# SPDX-License-Identifier: Apache-2.0
"""RCAEval 1.8.1 and this engine on the same Sock Shop cases: accuracy, and the ratio of seconds.

    benchmarks/rcaeval_peer.py DATA/rcd_sockshop --into docs/evaluation.md

RCAEval runs in its own environment (``--venv``, made if absent: Python 3.12 or 3.10 and the
packages below), this engine in its own, each method in a process of its own, one thread, one after
the other, with a run to warm up that does not count. RCAEval gets the columns of its published
recipe (without ``lat_50`` and ``lat_99``, filled forward); the engine gets all. Both are told the
true time of the fault, and asked for a ranking: what can be ruled out, which RCAEval does not say,
the engine does not say here either. Seconds are CPU seconds unless ``--clock wall``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from _tables import insert

from rca_engine import formats, methods
from rca_engine.case import Case
from rca_engine.diagnosis import diagnose
from rca_engine.evaluation.scores import NOTHING, Hits, hits, ties
from rca_engine.formats import Entry
from rca_engine.formats._names import split_name

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venvs" / "rcaeval"
WORKER = Path(__file__).with_name("_rcaeval_worker.py")
PYTHONS = ("python3.12", "python3.10")
PEER = "RCAEval==1.8.1"
NEEDS = """
numpy<2 pandas<2.3 scikit-learn statsmodels<0.15 causal-learn tigramite scikit-network
networkx==2.5 decorator<5 pingouin tqdm numba seaborn matplotlib requests igraph openpyxl
toml xarray setuptools
"""
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
UNREAD = ("_lat_50", "_lat_99")
SLOWER_BY, SLOWER_S = 1.2, 0.02
_REASON_CHARS = 100


@dataclass(frozen=True)
class Answer:
    """One side's answer to one case."""

    found: Hits
    seconds: float
    failed: str | None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison and print it as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="the Sock Shop data (rcd_sockshop)")
    parser.add_argument("--every", type=int, default=5, help="take every Nth case (default: 5)")
    parser.add_argument("--methods", help="with commas; default: all that both sides have")
    parser.add_argument(
        "--limit", type=float, default=300.0, metavar="S", help="wall seconds a method and side"
    )
    parser.add_argument("--venv", type=Path, default=VENV, help="default: .venvs/rcaeval")
    parser.add_argument("--clock", choices=("cpu", "wall"), default="cpu")
    parser.add_argument("--into", type=Path, metavar="FILE.md", help="put the tables there too")
    parser.add_argument("--own", metavar="METHOD", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.own:
        return answer_own(options.own, options.data, options.every)
    text = compare(options)
    sys.stdout.write(text)
    if options.into:
        insert(options.into, "peer", text)
    return 0


def chosen(data: Path, every: int) -> list[Entry]:
    """Return every Nth case."""
    return list(formats.get("rcd").entries(data))[::every]


def compare(options: argparse.Namespace) -> str:
    """Return the comparison as Markdown."""
    python = environment(options.venv)
    offered = peer_methods(python)
    own = set(methods.available())
    names = options.methods.split(",") if options.methods else sorted(own & offered)
    entries = chosen(options.data, options.every)
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        cases = [prepare(entry, Path(folder)) for entry in entries]
        for name in names:
            sys.stderr.write(f"{name}: RCAEval ...\n")
            peer = run_peer(python, name, cases, options)
            sys.stderr.write(f"{name}: this engine ...\n")
            results[name] = (peer, run_own(name, options))
    missing = sorted(own - offered)
    return render(results, len(entries), missing, options.clock)


def environment(folder: Path) -> Path:
    """Return RCAEval's Python; make its environment in ``folder`` if there is none.

    Raises
    ------
    SystemExit
        If no Python that it runs on is there.
    """
    python = folder / "bin" / "python"
    if python.exists():
        return python
    base = next(filter(None, map(interpreter, PYTHONS)), None)
    if base is None:
        raise SystemExit(f"RCAEval needs one of {', '.join(PYTHONS)}; none is installed")
    subprocess.run([base, "-m", "venv", folder], check=True)
    for packages in (["--no-deps", PEER], NEEDS.split()):
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    return python


def interpreter(name: str) -> str | None:
    """Return a Python of that version, from the path or from pyenv."""
    version = name.removeprefix("python")
    candidates = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/{name}"))
    return str(candidates[-1]) if candidates else shutil.which(name)


def peer_methods(python: Path) -> set[str]:
    """Return the names that RCAEval offers in its environment."""
    script = (
        "import json, inspect, RCAEval.e2e as e; print(json.dumps([n for n in dir(e) "
        "if inspect.isfunction(getattr(e, n)) and not n.startswith('_')]))"
    )
    told = subprocess.run([python, "-W", "ignore", "-c", script], check=True, capture_output=True)
    return set(json.loads(told.stdout.splitlines()[-1]))


def prepare(entry: Entry, folder: Path) -> dict[str, Any]:
    """Write a case as RCAEval's recipe has it and say what a worker needs of it."""
    case = entry.load()
    matrix = case.matrix()
    keys = matrix.columns.to_flat_index()
    wide = matrix.set_axis([f"{key[0].partition('/')[2]}_{key[1]}" for key in keys], axis=1)
    wide = wide.loc[:, [name for name in wide.columns if not name.endswith(UNREAD)]]
    wide = wide.ffill().fillna(0.0)
    wide.insert(0, "time", pd.DatetimeIndex(matrix.index).as_unit("s").asi8)
    path = folder / f"{entry.case_id.replace('/', '-')}.csv"
    wide.to_csv(path, index=False)
    truth = case.truth
    if truth is None or truth.fault_window is None:
        raise SystemExit(f"{entry.case_id}: no true time")
    return {
        "id": entry.case_id,
        "csv": str(path),
        "inject_time": truth.fault_window[0] // 10**9,
        "truth": sorted(truth.root_causes),
    }


def run_peer(
    python: Path, name: str, cases: list[dict[str, Any]], options: argparse.Namespace
) -> dict[str, Answer]:
    """Return RCAEval's answers by case, as far as it got in time."""
    truth = {case["id"]: set(case["truth"]) for case in cases}
    asked = json.dumps({"method": name, "cases": cases})
    answers = {}
    for line in lines_of([python, "-W", "ignore", WORKER], asked, options.limit):
        names = list(dict.fromkeys(split_name(column)[0] for column in line["ranks"]))
        found = hits([frozenset([each]) for each in names], truth[line["case"]])
        answers[line["case"]] = Answer(found, line[f"{options.clock}_s"], line["failed"])
    return answers


def run_own(name: str, options: argparse.Namespace) -> dict[str, Answer]:
    """Return this engine's answers by case, as far as it got in time."""
    command = [sys.executable, __file__, options.data, "--every", options.every, "--own", name]
    return {
        line["case"]: Answer(
            Hits(tuple(line["at"]), line["mrr"]), line[f"{options.clock}_s"], line["failed"]
        )
        for line in lines_of(command, "", options.limit)
    }


def answer_own(name: str, data: Path, every: int) -> int:
    """Answer every case with one of this engine's methods, a JSON line each."""
    entries = chosen(data, every)
    # On a case that lacks its last step, so that what is remembered of a case can't help.
    diagnose(without_last_step(entries[0].load()), name, time="oracle")
    for entry in entries:
        case = entry.load()
        wall, cpu = time.perf_counter(), time.process_time()
        diagnosis = diagnose(case, name, time="oracle", explain=False)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        ranked = diagnosis.candidates.components()
        groups = ties([each.component for each in ranked], [each.score for each in ranked])
        found = hits(groups, set(case.truth.root_causes)) if case.truth else NOTHING
        answer = {
            "case": entry.case_id,
            "at": found.at,
            "mrr": found.reciprocal,
            "failed": diagnosis.reason if diagnosis.status == "failed" else None,
            "wall_s": wall,
            "cpu_s": cpu,
        }
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    return 0


def without_last_step(case: Case) -> Case:
    """Return a case that ends a step earlier."""
    metrics = case.table("metrics")
    kept = metrics[metrics["timestamp"] < metrics["timestamp"].max()]
    return replace(case, loaded={"metrics": kept})


def lines_of(command: Sequence[object], asked: str, limit_s: float) -> Iterator[dict[str, Any]]:
    """Yield the JSON lines of a process; it is killed when its time is over."""
    process = subprocess.Popen(
        [str(each) for each in command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT)},
    )
    timer = threading.Timer(limit_s, process.kill)
    timer.start()
    try:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a process without pipes")
        process.stdin.write(asked)
        process.stdin.close()
        for line in process.stdout:
            yield json.loads(line)
    finally:
        timer.cancel()
        process.kill()
        process.wait()


def render(
    results: dict[str, tuple[dict[str, Answer], dict[str, Answer]]],
    cases: int,
    missing: Sequence[str],
    clock: str,
) -> str:
    """Return the tables."""
    what = f"{cases} cases; AC@1 and Avg@5 by component"
    lines = [
        f"{what}, mean {clock} seconds a case over the cases that both did.",
        "",
        "| method | AC@1 RCAEval | own | Avg@5 RCAEval | own | s RCAEval | own | ratio | remarks |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    ratios, totals, slower = [], [0.0, 0.0], []
    for name, sides in results.items():
        shared = [
            case
            for case in sides[0].keys() & sides[1].keys()
            if sides[0][case].failed is None and sides[1][case].failed is None
        ]
        remarks = [
            remark
            for who, side in zip(("RCAEval", "own"), sides, strict=True)
            for remark in remarks_on(who, side, cases)
        ]
        row = [name]
        for figure in ("ac1", "avg5"):
            row += [f"{accuracy(side, cases, figure):.2f}" for side in sides]
        if shared:
            seconds = [statistics.fmean(side[case].seconds for case in shared) for side in sides]
            ratios.append(seconds[0] / seconds[1])
            totals = [total + mean for total, mean in zip(totals, seconds, strict=True)]
            row += [f"{seconds[0]:.3f}", f"{seconds[1]:.3f}", f"{ratios[-1]:.1f}"]
            if seconds[1] > SLOWER_BY * seconds[0] and seconds[1] > seconds[0] + SLOWER_S:
                slower.append(name)
        else:
            row += ["", "", ""]
        lines.append(f"| {' | '.join([*row, '; '.join(remarks)])} |")
    if ratios:
        geometric = math.exp(statistics.fmean(map(math.log, ratios)))
        shares = f"total {totals[0] / totals[1]:.1f}, geometric mean {geometric:.1f}"
        shares += f", median {statistics.median(ratios):.1f}"
        lines += [
            "",
            f"Ratio of seconds over {len(ratios)} methods: {shares}.",
            f"Slower by more than 20 % and 20 ms: {', '.join(slower) or 'none'}.",
        ]
    lines += ["", f"Not in RCAEval's environment: {', '.join(missing) or 'none'}.", ""]
    return "\n".join(lines)


def remarks_on(who: str, side: dict[str, Answer], cases: int) -> Iterator[str]:
    """Say which answers are missing, and why."""
    failures = [answer.failed for answer in side.values() if answer.failed is not None]
    if failures:
        reason = " ".join(failures[0].replace("|", "/").split())
        yield f"{who} failed {len(failures)} of {cases}: {reason[:_REASON_CHARS]}"
    if unreached := cases - len(side):
        yield f"{who} gave no answer to {unreached} of {cases} in time"


def accuracy(side: dict[str, Answer], cases: int, figure: str) -> float:
    """Return the mean over all cases; one that failed or was not reached counts 0."""
    found = [answer.found for answer in side.values() if answer.failed is None]
    return sum(first(each) if figure == "ac1" else each.average for each in found) / cases


def first(found: Hits) -> float:
    """Return AC@1."""
    return found.at[0]  # noqa: PD008 - no DataFrame


if __name__ == "__main__":
    sys.exit(main())
