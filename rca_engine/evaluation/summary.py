# SPDX-License-Identifier: Apache-2.0
"""Sum up runs: each method beside chance and a constant guess, per system and per fault."""

from __future__ import annotations

import itertools
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from rca_engine.evaluation.scores import (
    DEPTH,
    Floats,
    Hits,
    bootstrap,
    chance,
    constant_guess,
    from_json,
)
from rca_engine.evaluation.store import Document

ALL = "*"
LEVELS = ("component", "metric")
FIGURES = ("ac1", "ac3", "ac5", "avg5", "mrr")
_REFERENCES = ("chance", "constant", "hindsight")
_QUESTION = ["method", "time_source", "late_s"]


def run_table(documents: Sequence[Document], facts: Mapping[str, Document]) -> pd.DataFrame:
    """Return one row a run, in order of system, case, method, time and part.

    Hits become the columns ``<level>_ac1`` .. ``_ac5``, ``_avg5``, ``_mrr``, NaN where there is
    nothing to score; the reference figures of the case stand beside them.
    """
    references = _references(documents, facts)
    rows = [_row(document, references.get(document["case"], {})) for document in documents]
    if not rows:
        return pd.DataFrame(
            columns=["case", "system", "fault", *_QUESTION, "part", "status", "reason"]
        )
    rows.sort(key=_order)
    return pd.DataFrame(rows)


def summarise(runs: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Return one row for each method, time source, lateness, level, system and fault.

    ``*`` stands for all systems or all faults. Intervals are paired: within a group of cases every
    method is judged by the same resamples.
    """
    rows = []
    for question, own in runs.groupby(_QUESTION, sort=True, dropna=False):
        method, time_source, late_s = question
        normal = runs[(runs["method"] == method) & (runs["part"] == "normal")]
        for (system, fault), group in _groups(own[own["part"] == "incident"]):
            cases = group[group["status"] != "skipped"]
            if cases.empty:
                continue
            shared = {
                "method": method,
                "time_source": time_source,
                "late_s": late_s,
                "system": system,
                "fault": fault,
                **_costs(cases),
                **_specificity(_of_group(normal, system, fault), str(time_source)),
            }
            for level in LEVELS:
                scored = _scores(cases, level, seed)
                if scored is not None:
                    rows.append({**shared, "level": level, **scored})
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    front = ["level", "system", "fault", *_QUESTION]
    table = table[[*front, *(name for name in table.columns if name not in front)]]
    return table.sort_values(front, kind="stable", ignore_index=True)


def _references(
    documents: Sequence[Document], facts: Mapping[str, Document]
) -> dict[str, dict[str, float]]:
    """Return the reference figures of each case, by their column names."""
    system_of = {document["case"]: document["system"] for document in documents}
    found: dict[str, dict[str, float]] = {}
    for level, truth_name, all_name in (
        ("component", "truth", "components"),
        ("metric", "truth_pairs", "pairs"),
    ):
        truths = {
            case: frozenset(map(_hashable, known[truth_name]))
            for case, known in facts.items()
            if known.get(truth_name) and case in system_of
        }
        for case, truth in truths.items():
            candidates = frozenset(map(_hashable, facts[case][all_name])) | truth
            same = [other for other in truths if system_of[other] == system_of[case]]
            figures = {
                "chance": chance(len(truth), len(candidates)),
                "constant": constant_guess(
                    [truths[other] for other in same if other != case], truth, candidates
                ),
                "hindsight": constant_guess([truths[other] for other in same], truth, candidates),
            }
            for name, value in figures.items():
                found.setdefault(case, {}).update(_columns(f"{name}_{level}", value))
    return found


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _row(document: Document, references: Mapping[str, float]) -> dict[str, Any]:
    plain = {
        key: value
        for key, value in document.items()
        if key not in ("component_hits", "metric_hits", "options", "top")
    }
    plain["options"] = ", ".join(f"{key}={value}" for key, value in document["options"].items())
    plain["top"] = " > ".join(document["top"])
    scored = document["part"] == "incident" and bool(references)
    for level in LEVELS:
        known = f"chance_{level}_ac1" in references
        value = from_json(document.get(f"{level}_hits")) if scored and known else None
        plain |= _columns(level, value)
        for name in _REFERENCES:
            keys = _columns(f"{name}_{level}", None)
            plain |= {key: references.get(key, np.nan) if scored else np.nan for key in keys}
    return plain


def _columns(prefix: str, value: Hits | None) -> dict[str, float]:
    at = value.at if value else (np.nan,) * DEPTH
    figures = {f"{prefix}_ac{k}": at[k - 1] for k in range(1, DEPTH + 1)}
    figures[f"{prefix}_avg5"] = value.average if value else np.nan
    figures[f"{prefix}_mrr"] = value.reciprocal if value else np.nan
    return figures


def _order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    parts = [(int(text), "") if text.isdigit() else (-1, text) for text in _digits(row["case"])]
    return (row["system"], parts, *(row[name] for name in _QUESTION), row["part"])


def _digits(text: str) -> list[str]:
    return [part for part in re.split(r"(\d+)", text) if part]


def _groups(cases: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    """Yield every system with every fault, and each with all of the other.

    A pool of all systems comes only where there are several: it is never the only figure.
    """
    systems, faults = (sorted(cases[name].unique()) for name in ("system", "fault"))
    wider = [[*names, ALL] if len(names) > 1 else names for names in (systems, faults)]
    for system, fault in itertools.product(*wider):
        group = _of_group(cases, system, fault)
        if len(group):
            yield (system, fault), group


def _of_group(cases: pd.DataFrame, system: str, fault: str) -> pd.DataFrame:
    for name, value in (("system", system), ("fault", fault)):
        if value != ALL:
            cases = cases[cases[name] == value]
    return cases


def _scores(cases: pd.DataFrame, level: str, seed: int) -> dict[str, Any] | None:
    """Return the figures of one level, or None if its cases have no truth or no answer at it."""
    cases = cases[cases[f"chance_{level}_ac1"].notna() | (cases["status"] == "failed")]
    answered = cases[f"{level}_ac1"].notna() & (cases["status"] != "failed")
    if cases.empty or cases[f"chance_{level}_ac1"].isna().all():
        return None
    if level == "metric" and not answered.any():
        return None
    values = cases[[f"{level}_{name}" for name in FIGURES]].fillna(0.0).to_numpy(dtype=np.float64)
    low, high = bootstrap(values, _rng(cases, seed))
    scored: dict[str, Any] = {"cases": len(cases)}
    for at, name in enumerate(FIGURES):
        scored |= {
            name: float(values[:, at].mean()),
            f"{name}_low": float(low[at]),
            f"{name}_high": float(high[at]),
        }
    for reference, name in itertools.product(_REFERENCES, FIGURES):
        scored[f"{reference}_{name}"] = float(cases[f"{reference}_{level}_{name}"].mean())
    scored["lift_avg5"] = scored["avg5"] / scored["chance_avg5"]
    return scored


def _rng(cases: pd.DataFrame, seed: int) -> np.random.Generator:
    """Return the generator of a group of cases, the same for every method."""
    return np.random.default_rng([seed, zlib.crc32("\n".join(cases["case"]).encode())])


def _costs(cases: pd.DataFrame) -> dict[str, Any]:
    seconds = cases["seconds"].dropna().to_numpy(dtype=np.float64)
    cpu = cases["cpu_seconds"].dropna().to_numpy(dtype=np.float64)
    memory = cases["memory_mib"].dropna().to_numpy(dtype=np.float64)
    return {
        "failed": int((cases["status"] == "failed").sum()),
        "degraded": int((cases["status"] == "degraded").sum()),
        "seconds_median": _or_nan(np.median, seconds),
        "seconds_mean": _or_nan(np.mean, seconds),
        "seconds_max": _or_nan(np.max, seconds),
        "cpu_seconds_mean": _or_nan(np.mean, cpu),
        "memory_mib_max": _or_nan(np.max, memory),
    }


def _or_nan(figure: Any, values: Floats) -> float:
    return float(figure(values)) if values.size else float("nan")


def _specificity(normal: pd.DataFrame, time_source: str) -> dict[str, Any]:
    """Return how often a method said that there was nothing where there was nothing.

    ``specificity`` is told the time in the same way as on the fault, ``specificity_untold`` is told
    none. A run that failed said nothing, and counts 0.
    """
    figures: dict[str, Any] = {}
    for name, source in (("specificity", time_source), ("specificity_untold", "none")):
        asked = normal[normal["time_source"] == source]
        silent = asked["found_nothing"].to_numpy(dtype=bool)
        figures[name] = float(silent.mean()) if len(asked) else float("nan")
        figures[f"{name}_cases"] = len(asked)
        figures[f"{name}_failed"] = int((asked["status"] == "failed").sum())
    return figures
