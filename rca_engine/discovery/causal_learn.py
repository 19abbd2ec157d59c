# SPDX-License-Identifier: Apache-2.0
"""causal-learn as a second backend: the only place that knows it.

It is slow (pure Python) and refuses duplicated metrics, but its results are widely known.
"""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np

from rca_engine.discovery.graph import CausalGraph, Mark
from rca_engine.errors import MethodError
from rca_engine.methods._scores import Floats

Backend = Literal["own", "causal-learn"]

_MARKS = {0: Mark.NONE, -1: Mark.TAIL, 1: Mark.ARROW, 2: Mark.CIRCLE}


def chosen(backend: str) -> bool:
    """Return whether causal-learn was asked for.

    Raises
    ------
    MethodError
        If there is no such backend.
    """
    if backend not in get_args(Backend):
        raise MethodError(f"backend is one of {', '.join(get_args(Backend))}, not {backend!r}")
    return backend == "causal-learn"


def pc(values: Floats, alpha: float) -> CausalGraph:
    """Run its PC (stable, Fisher's z, colliders as they come)."""
    run = _function("ConstraintBased.PC", "pc")
    return _graph(_call(run, values, alpha, "fisherz", show_progress=False).G.graph)


def fci(values: Floats, alpha: float) -> CausalGraph:
    """Run its FCI (Fisher's z)."""
    run = _function("ConstraintBased.FCI", "fci")
    graph, _ = _call(run, values, "fisherz", alpha, verbose=False, show_progress=False)
    return _graph(graph.graph)


def ges(values: Floats, penalty: float) -> CausalGraph:
    """Run its GES with the BIC, whose price of a link is ``penalty`` times half a log of steps."""
    run = _function("ScoreBased.GES", "ges")
    found = _call(run, values, "local_score_BIC", parameters={"lambda_value": penalty / 2.0})
    return _graph(found["G"].graph)


def lingam(values: Floats, algorithm: str, seed: int) -> Floats:
    """Run its LiNGAM, ``ica`` or ``direct``; return how strongly ``i`` drives ``j``."""
    name, options = ("ICALiNGAM", (seed,)) if algorithm == "ica" else ("DirectLiNGAM", ())
    model = _call(_function("FCMBased.lingam", name), *options)
    _call(model.fit, values)
    return np.abs(np.asarray(model.adjacency_matrix_, dtype=np.float64)).T


def _function(module: str, name: str) -> Callable[..., Any]:
    try:
        found = importlib.import_module(f"causallearn.search.{module}")
    except ImportError as error:
        raise MethodError(
            f"backend causal-learn is not installed ({error}); "
            f"install it with: pip install 'rcalab-llm[causal]'"
        ) from None
    function: Callable[..., Any] = getattr(found, name)
    return function


def _call(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it reports on stdout
            return function(*args, **options)
    except (ValueError, np.linalg.LinAlgError) as error:
        raise MethodError(
            f"causal-learn refuses these metrics ({error}); use backend own"
        ) from error


def _graph(matrix: np.ndarray[Any, np.dtype[Any]]) -> CausalGraph:
    """Read its marks: ``matrix[j, i]`` is the one at the end of ``j``."""
    marks = np.zeros(matrix.shape, dtype=np.int8)
    for code, mark in _MARKS.items():
        marks[code == matrix.T] = mark
    return CausalGraph(marks)
