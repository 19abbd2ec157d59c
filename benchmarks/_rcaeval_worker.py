# SPDX-License-Identifier: Apache-2.0
"""Run one of RCAEval's methods on cases, in RCAEval's own environment; see ``rcaeval_peer.py``.

Reads a JSON object from standard input (method, cases) and writes a JSON line for each case. It
shares nothing with this project: its Python and its packages are others.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import sys
import time
import warnings

import pandas as pd

_SLI = "front-end_cpu"
"""The indicator that RCAEval names for Sock Shop; where a case has it, its own main.py takes the
latency of the true root cause instead, which gives the answer away."""


def main() -> None:
    """Answer what standard input asks."""
    warnings.filterwarnings("ignore")
    asked = json.load(sys.stdin)
    out, sys.stdout = sys.stdout, io.StringIO()
    e2e = importlib.import_module("RCAEval.e2e")
    method = getattr(e2e, asked["method"], None)
    if method is None:
        raise SystemExit(f"RCAEval has no {asked['method']} in this environment")
    for number, case in enumerate([asked["cases"][0], *asked["cases"]]):
        answer = ask(method, case)
        # The first run pays for imports and compilation: it warms up, on both sides.
        if number:
            out.write(json.dumps(answer) + "\n")
            out.flush()


def ask(method, case) -> dict:
    """Return a method's ranking of columns with its seconds; the time to read is not counted."""
    data = pd.read_csv(case["csv"])
    arguments = argparse.Namespace(root_path=".", data_path=case["csv"])
    said = io.StringIO()
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        with contextlib.redirect_stderr(said):
            answer = method(
                data,
                case["inject_time"],
                dataset="sock-shop-1",
                anomalies=None,
                dk_select_useful=False,
                sli=_SLI,
                verbose=False,
                n_iter=data.shape[1] - 1,
                args=arguments,
            )
        ranks, failed = [str(each) for each in answer["ranks"]], None
    except Exception as error:
        ranks, failed = [], f"{type(error).__name__}: {error}"
    # Its wrapper answers a failure with the order of the columns, and says so here only.
    if "returning the unranked column order" in said.getvalue():
        ranks, failed = [], said.getvalue().strip().splitlines()[-1]
    return {
        "case": case["id"],
        "ranks": ranks,
        "failed": failed,
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
    }


if __name__ == "__main__":
    main()
