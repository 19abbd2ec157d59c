# SPDX-License-Identifier: Apache-2.0
"""Make the tables of figures in docs/evaluation.md: accuracy, specificity and speed, as Markdown.

    benchmarks/rca_figures.py DATA --work .cache/figures --into docs/evaluation.md

``DATA`` holds ``rcd_sockshop``, ``petshop_low`` and ``nezha_tt``. Results are kept in ``--work``
and an interrupted run goes on where it was. ``--into`` puts each table between its markers in a
Markdown file, and leaves those that were not asked for; without it they are printed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _published import SOCK_SHOP
from _tables import DASH, header, insert, line

from rca_engine import methods
from rca_engine.case import Case
from rca_engine.diagnosis import diagnose
from rca_engine.evaluation.evaluate import Evaluation, evaluate
from rca_engine.evaluation.plan import Options
from rca_engine.formats._build import in_memory, topology_of, truth_of
from rca_engine.formats._wide import long_table
from rca_engine.model import NS, Metric

LATE_S = (0.0, 30.0, 60.0, 120.0)
UNTOLD = "baro,nsigma"
"""Methods that also run on Sock Shop without being told a time."""
SERVICES, KINDS, STEPS, FAULT_AT = 40, ("cpu", "mem", "latency", "load", "error"), 600, 400
SHOP_FAULTS = ("cpu", "mem")
START_NS = 1_767_225_600 * NS


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=Path(".cache/figures"))
    parser.add_argument("--methods", help="with commas; default: all")
    parser.add_argument(
        "--untold", default=UNTOLD, help="also without a time (default: %(default)s)"
    )
    parser.add_argument("--only", default="sockshop,petshop,nezha,speed", metavar="TABLES")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--into", type=Path, metavar="FILE.md")
    parser.add_argument("--time-method", metavar="METHOD", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.time_method:
        sys.stdout.write(json.dumps(seconds_of(options.time_method)))
        return 0
    names = options.methods.split(",") if options.methods else list(methods.available())
    tables: dict[str, Callable[[argparse.Namespace, list[str]], Iterable[str]]] = {
        "sockshop": sock_shop,
        "petshop": petshop,
        "nezha": nezha,
        "speed": speed,
    }
    for key in options.only.split(","):
        text = "\n".join(tables[key](options, names))
        if options.into:
            insert(options.into, key, text)
        else:
            sys.stdout.write(f"{text}\n")
    return 0


def sock_shop(options: argparse.Namespace, names: list[str]) -> Iterable[str]:
    """Yield the table of Sock Shop: Avg@5 by service for each lateness, and at the metric level."""
    told = run(options, names, "rcd_sockshop", "rcd", Options("oracle", LATE_S))
    untold_names = [name for name in options.untold.split(",") if name in names]
    yield "### Sock Shop 1 (50 cases), told the fault's true time"
    yield ""
    late = [f"{late:g} s late" for late in LATE_S[1:]]
    head = ["method", "Avg@5 cpu", "mem", "published", "all (95 %)", "AC@1", *late]
    head += ["Avg@5 by metric", "quiet", "s", "failed"]
    yield from header(head)
    rows = told.summary
    for name in ranked(rows[rows["late_s"] == 0.0], names):
        own = rows[rows["method"] == name]
        whole = pick(own, level="component", late_s=0.0, fault="*")
        yield line(
            name,
            *(
                share(pick(own, level="component", late_s=0.0, fault=f), "avg5")
                for f in ("cpu", "mem")
            ),
            published(name),
            interval(whole),
            share(whole, "ac1"),
            *(share(pick(own, level="component", late_s=s, fault="*"), "avg5") for s in LATE_S[1:]),
            share(pick(own, level="metric", late_s=0.0, fault="*"), "avg5"),
            share(whole, "specificity"),
            figure(whole, "seconds_mean"),
            count(whole, "failed"),
        )
    yield from references(
        pick(rows, level="component", late_s=0.0, fault="*"), 4, ("avg5", "ac1"), len(head)
    )
    yield ""
    yield "Published: ASE 2024, Table 5, cpu / mem. Those in brackets bind nobody:"
    yield ""
    for error in dict.fromkeys(each.error for each in SOCK_SHOP.values() if each.error):
        wrong = [name for name, each in SOCK_SHOP.items() if each.error == error]
        yield f"- {', '.join(wrong)}: {error}."
    yield ""
    if untold_names:
        untold = run(
            options, untold_names, "rcd_sockshop", "rcd", Options("none"), "untold"
        ).summary
        said = ", ".join(
            f"{name} {share(pick(untold, level='component', fault='*', method=name), 'avg5')}"
            for name in untold_names
        )
        yield f"Told no time, Avg@5 by service: {said}."
        yield ""


def published(name: str) -> str:
    """Return the published figures of a method, in brackets where they rest on an error."""
    if name not in SOCK_SHOP:
        return ""
    known = SOCK_SHOP[name]
    text = f"{known.cpu:.2f} / {known.mem:.2f}"
    return f"({text})" if known.error else text


def petshop(options: argparse.Namespace, names: list[str]) -> Iterable[str]:
    """Yield the table of PetShop: top-1 / top-3 for each split and kind of issue, specificity."""
    rows = run(options, names, "petshop_low", "petshop", Options("alert")).summary
    test, train = "petshop-low_traffic-test", "petshop-low_traffic-train"
    groups = [
        (system, fault) for fault in ("latency", "availability") for system in (test, train, "*")
    ]
    titles = {test: "test", train: "train", "*": "all"}
    yield "### PetShop, low traffic (26 issues), told the alert: top-1 / top-3"
    yield ""
    wide = [f"{fault}, {titles[system]}" for system, fault in groups]
    yield from header(["method", *wide, "quiet: latency", "availability", "s", "failed"])
    for name in ranked(rows, names, system="*"):
        own = rows[rows["method"] == name]
        at = {
            group: pick(own, level="component", system=group[0], fault=group[1]) for group in groups
        }
        whole = pick(own, level="component", system="*", fault="*")
        yield line(
            name,
            *(f"{share(row, 'ac1')} / {share(row, 'ac3')}" for row in at.values()),
            *(share(at["*", fault], "specificity") for fault in ("latency", "availability")),
            figure(whole, "seconds_mean"),
            count(whole, "failed"),
        )
    for reference, title in REFERENCES.items():
        cells = [
            f"{share(row, f'{reference}_ac1')} / {share(row, f'{reference}_ac3')}"
            for group in groups
            for row in [pick(rows, level="component", system=group[0], fault=group[1])]
        ]
        yield line(f"*{title}*", *cells, "", "", "", "")
    yield ""


def nezha(options: argparse.Namespace, names: list[str]) -> Iterable[str]:
    """Yield the table of Nezha: AC@1/3/5 over all faults, AC@1 for each kind."""
    rows = run(options, names, "nezha_tt", "nezha", Options("oracle")).summary
    faults = sorted(set(rows["fault"]) - {"*"})
    yield "### Nezha, Train Ticket (28 faults), told the fault's true time"
    yield ""
    head = ["method", "AC@1 (95 %)", "AC@3", "AC@5", "MRR", *(f"AC@1 {each}" for each in faults)]
    head += ["quiet", "s", "failed"]
    yield from header(head)
    for name in ranked(rows, names, by="ac1"):
        own = rows[rows["method"] == name]
        whole = pick(own, level="component", fault="*")
        yield line(
            name,
            interval(whole, "ac1"),
            *(share(whole, key) for key in ("ac3", "ac5", "mrr")),
            *(share(pick(own, level="component", fault=fault), "ac1") for fault in faults),
            share(whole, "specificity"),
            figure(whole, "seconds_mean"),
            count(whole, "failed"),
        )
    whole, keys = pick(rows, level="component", fault="*"), ("ac1", "ac3", "ac5", "mrr")
    yield from references(whole, 1, keys, len(head))
    yield ""


def speed(options: argparse.Namespace, names: list[str]) -> Iterable[str]:
    """Yield the table of seconds at 200 metrics and 600 samples, one thread, after a warm-up."""
    width = SERVICES * len(KINDS)
    yield f"### Seconds at {width} metrics x {STEPS} samples, one thread"
    yield ""
    yield from header(["method", "wall s", "CPU s", "answer"])
    for name in names:
        command = [sys.executable, __file__, str(options.data), "--time-method", name]
        env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(command, check=True, capture_output=True, env=env)
        told = json.loads(done.stdout)
        yield line(name, f"{told['wall']:.3f}", f"{told['cpu']:.3f}", told["answer"])
    yield ""


def seconds_of(name: str) -> dict[str, Any]:
    """Return what a method takes, after a first run on little data that pays for its imports."""
    diagnose(synthetic(services=3, steps=200, fault_at=120), name, time="oracle")
    case = synthetic(services=SERVICES, steps=STEPS, fault_at=FAULT_AT)
    case.table("metrics")
    wall, cpu = time.perf_counter(), time.process_time()
    diagnosis = diagnose(case, name, time="oracle")
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    rank = diagnosis.rank_of(case.truth) if case.truth else None
    answer = diagnosis.reason if diagnosis.status == "failed" else f"true cause at rank {rank}"
    return {"wall": wall, "cpu": cpu, "answer": answer}


def synthetic(*, services: int, steps: int, fault_at: int, seed: int = 0) -> Case:
    """Return a case of services in a chain, each slowed by the next; one of them breaks."""
    rng = np.random.default_rng(seed)
    guilty = services // 2
    shape = (steps, services, len(KINDS))
    noise = rng.normal(0.0, 1.0, shape)
    values = np.zeros(shape)
    for step in range(steps):
        before = values[step - 1] if step else np.zeros(shape[1:])
        values[step] = 0.6 * before + noise[step]
        values[step, :, 1:] += 0.3 * values[step, :, :1]
        values[step, :-1, 2] += 0.3 * before[1:, 2]
        if step >= fault_at:
            values[step, guilty, :3] += 4.0
    keys = [(f"service/s{at:02d}", kind) for at in range(services) for kind in KINDS]
    times = START_NS + NS * np.arange(steps, dtype=np.int64)
    names = [f"service/s{at:02d}" for at in range(services)]
    return in_memory(
        Path("synthetic"),
        run_id="synthetic",
        experiment="speed",
        scenario="speed",
        run=0,
        step_s=1.0,
        tables={"metrics": long_table(times, keys, 50.0 + values.reshape(steps, -1))},
        metric_table={kind: Metric(kind, "gauge", "") for kind in KINDS},
        topology=topology_of(names, itertools.pairwise(names)),
        truth=truth_of("cpu", "cpu", {names[guilty]: ["cpu"]}, int(times[fault_at])),
    )


def run(
    options: argparse.Namespace,
    names: list[str],
    folder: str,
    layout: str,
    asked: Options,
    suffix: str = "",
) -> Evaluation:
    """Evaluate on one data set, with a line now and then to say how far it is."""
    last = [0.0]

    def progress(done: int, total: int, case: str) -> None:
        if time.monotonic() - last[0] > 10 or done == total:
            last[0] = time.monotonic()
            sys.stderr.write(f"{folder}: {done} of {total} runs, last {case}\n")

    out = options.work / f"{folder}{suffix}"
    evaluation = evaluate(
        options.data / folder,
        out,
        format=layout,
        methods=names,
        options=asked,
        workers=options.workers,
        progress=progress,
    )
    evaluation.write(out)
    return evaluation


REFERENCES = {
    "chance": "chance",
    "constant": "best constant guess",
    "hindsight": "the same in hindsight",
}


def pick(rows: pd.DataFrame, **wanted: object) -> pd.Series | None:
    """Return the first row with these values; a ``*`` that is not there stands for the only one."""
    for key, value in wanted.items():
        matching = rows[rows[key] == value]
        rows = rows if value == "*" and matching.empty and len(set(rows[key])) == 1 else matching
    return None if rows.empty else rows.iloc[0]


def ranked(rows: pd.DataFrame, names: list[str], by: str = "avg5", **wanted: object) -> list[str]:
    """Return methods, the best first."""
    value = {}
    for name in names:
        row = pick(rows, method=name, level="component", fault="*", **wanted)
        value[name] = -1.0 if row is None else float(row[by])
    return sorted(names, key=lambda name: (-value[name], name))


def references(row: pd.Series | None, at: int, keys: Sequence[str], width: int) -> Iterable[str]:
    """Yield a line for each thing to compare with, its figures from column ``at`` of ``width``."""
    for key, title in REFERENCES.items():
        figures = [share(row, f"{key}_{each}") for each in keys]
        yield line(f"*{title}*", *[""] * (at - 1), *figures, *[""] * (width - at - len(keys)))


def share(row: pd.Series | None, key: str) -> str:
    """Return a figure from 0 to 1."""
    return DASH if row is None or pd.isna(row[key]) else f"{row[key]:.2f}"


def interval(row: pd.Series | None, key: str = "avg5") -> str:
    """Return a figure with its interval."""
    if row is None:
        return DASH
    return f"**{row[key]:.2f}** ({row[f'{key}_low']:.2f} to {row[f'{key}_high']:.2f})"


def figure(row: pd.Series | None, key: str) -> str:
    """Return a figure to three digits."""
    return DASH if row is None or pd.isna(row[key]) else f"{row[key]:.3g}"


def count(row: pd.Series | None, key: str) -> str:
    """Return a number; none for zero."""
    return "" if row is None or not row[key] else str(int(row[key]))


if __name__ == "__main__":
    sys.exit(main())
