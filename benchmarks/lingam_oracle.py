# SPDX-License-Identifier: Apache-2.0
"""Compare our LiNGAM with the package ``lingam``, in a throw-away environment of its own.

``lingam`` holds scipy and numpy back, so it is no dependency and no extra of ours. Both get the
same seeded metrics with non-Gaussian noise; printed is how often each finds a true link, and how
often the two agree on one.

    python benchmarks/lingam_oracle.py [--graphs 20] [--metrics 10] [--steps 2000]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

import numpy as np

from rca_engine.discovery import lingam

PACKAGE = "lingam==1.13.0"
ALGORITHMS: dict[lingam.Algorithm, str] = {"ica": "ICALiNGAM", "direct": "DirectLiNGAM"}
_LEAST = 0.05
"""Coefficient, between standardised metrics, below which a link of ``lingam`` does not count: its
lasso leaves tiny ones."""

_THEIRS = """
import sys, time
import numpy as np, lingam
data = np.load(sys.argv[1])
found = {}
for name in sys.argv[3:]:
    began = time.process_time()
    models = [getattr(lingam, name)(random_state=0).fit(values) for values in data["values"]]
    seconds = (time.process_time() - began) / len(data["values"])
    found[name] = np.stack([np.abs(model.adjacency_matrix_).T for model in models])
    found[name + "_seconds"] = seconds
np.savez(sys.argv[2], **found)
"""


def metrics(seed: int, size: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return standardised metrics, shape (steps, size), and which causes which, (size, size)."""
    rng = np.random.default_rng(seed)
    present = np.triu(rng.random((size, size)) < 2.0 / size, 1)
    signs = rng.choice([-1.0, 1.0], (size, size))
    effects = present * signs * rng.uniform(0.5, 1.2, (size, size))
    values = rng.uniform(-1.0, 1.0, (steps, size))
    for column in range(size):
        values[:, column] += values @ effects[:, column]
    shown = rng.permutation(size)
    values = values[:, shown]
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    return scaled, present[np.ix_(shown, shown)]


def theirs(values: np.ndarray) -> dict[str, np.ndarray]:
    """Return the strengths that ``lingam`` finds by algorithm, shape (graphs, size, size)."""
    with tempfile.TemporaryDirectory(prefix="lingam_oracle.") as folder:
        root = Path(folder)
        venv.create(root / "venv", with_pip=True)
        python = str(root / "venv" / "bin" / "python")
        install = [python, "-m", "pip", "install", "--quiet", PACKAGE]
        subprocess.run(install, check=True)
        np.savez(root / "in.npz", values=values)
        arguments = [root / "in.npz", root / "out.npz", *ALGORITHMS.values()]
        subprocess.run([python, "-c", _THEIRS, *map(str, arguments)], check=True)
        with np.load(root / "out.npz") as found:
            return dict(found)


def ours(values: np.ndarray, algorithm: lingam.Algorithm) -> tuple[np.ndarray, float]:
    """Return the strengths that we find, and the CPU seconds of one graph."""
    began = time.process_time()
    graphs = [lingam.discover(each, algorithm=algorithm, alpha=0.01) for each in values]
    seconds = (time.process_time() - began) / len(values)
    return np.stack([graph.weights for graph in graphs if graph.weights is not None]), seconds


def main() -> int:
    """Print one line of JSON for each algorithm."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--graphs", type=int, default=20)
    parser.add_argument("--metrics", type=int, default=10)
    parser.add_argument("--steps", type=int, default=2000)
    options = parser.parse_args()
    made = [metrics(seed, options.metrics, options.steps) for seed in range(options.graphs)]
    values, true = (np.stack(each) for each in zip(*made, strict=True))
    reference = theirs(values)
    for algorithm, name in ALGORITHMS.items():
        found, seconds = ours(values, algorithm)
        mine, other = found > _LEAST, reference[name] > _LEAST
        difference = np.abs(found - reference[name])[mine & other]
        report = {
            "algorithm": algorithm,
            "true_links": int(true.sum()),
            "found_by_us": int((mine & true).sum()),
            "found_by_lingam": int((other & true).sum()),
            "false_by_us": int((mine & ~true).sum()),
            "false_by_lingam": int((other & ~true).sum()),
            "links_of_both": int((mine & other).sum()),
            "links_of_one": int((mine ^ other).sum()),
            "largest_difference": round(float(difference.max()), 3),
            "our_seconds": round(seconds, 4),
            "lingam_seconds": round(float(reference[name + "_seconds"]), 4),
        }
        sys.stdout.write(json.dumps(report) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
