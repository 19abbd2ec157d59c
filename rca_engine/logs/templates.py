# SPDX-License-Identifier: Apache-2.0
"""Which log templates a component wrote more of, or less, than before: counts and their surprise.

A template that is new, or that has vanished, is one of these and no special case. Rates are per
unit of traffic, for a busy minute writes more of everything. Compare He, Lin et al., Identifying
Impactful Service System Problems via Log Analysis, FSE 2018, which weighs templates likewise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from rca_engine.logs import drain

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_ANSCOMBE = 3.0 / 8.0
_WEIGHTS = {"debug": 0.5, "trace": 0.5, "warn": 1.5, "warning": 1.5}
_ERROR_WEIGHT = 2.0
_ERROR_LEVEL = re.compile(r"err|fatal|crit|alert|emerg|panic|severe", re.IGNORECASE)
_ERROR_TEXT = re.compile(
    r"(?<![a-z])(?:error|fail(?:s|ed|ure|ing)?|fatal|critical|panic|traceback|abort(?:ed)?|refused"
    r"|timed?[ -]?out|unavailable|out of memory|oom|killed|segfault|xid)(?![a-z])"
    r"|exception|(?:status|code)\W{1,3}5\d\d(?!\d)",
    re.IGNORECASE,
)
_LONGEST = 2000


@dataclass(frozen=True)
class TemplateCounts:
    """Lines of each component by template.

    Parameters
    ----------
    keys
        (component, template), sorted.
    weights
        Shape (keys,): 2 for errors, 1.5 for warnings, 1 for information, 0.5 below.
    counts
        Shape (keys, periods).
    samples
        One line of each, the first by time.
    """

    keys: tuple[tuple[str, str], ...]
    weights: Floats
    counts: Floats
    samples: tuple[str, ...]

    @property
    def components(self) -> tuple[str, ...]:
        """Each key's component."""
        return tuple(component for component, _ in self.keys)


def count_templates(
    logs: pd.DataFrame, period: Ints, periods: int, options: drain.DrainOptions | None = None
) -> TemplateCounts:
    """Count each component's lines by template and period.

    Parameters
    ----------
    logs
        A ``logs`` table; may be empty.
    period
        Shape (rows,): the period of each line, from 0; -1 for lines that count in none. They
        still take part in finding the templates.
    periods
        Their number.
    options
        Of Drain.
    """
    parsed = drain.parse(logs["message"], options)
    templates = np.array(parsed.templates, dtype=object)[parsed.ids]
    table = pd.DataFrame(
        {
            "component": logs["component"].to_numpy(),
            "template": templates,
            "time": logs["timestamp"].to_numpy(),
            "message": logs["message"].to_numpy(),
            "period": period,
            "weight": line_weights(logs),
        }
    ).sort_values(["component", "template", "time", "message"], kind="stable")
    table = table[table["period"] >= 0]
    groups = table.groupby(["component", "template"], sort=True)
    first = groups.first()
    number = groups.ngroup().to_numpy(dtype=np.int64)
    counts = np.bincount(
        number * periods + table["period"].to_numpy(), minlength=len(first) * periods
    )
    return TemplateCounts(
        keys=tuple((str(component), str(template)) for component, template in first.index),
        weights=groups["weight"].max().to_numpy(dtype=np.float64),
        counts=counts.reshape(len(first), periods).astype(np.float64),
        samples=tuple(first["message"].astype(str)),
    )


def surprise(before: Floats, after: Floats, ratio: Floats) -> Floats:
    """Return by how many standard deviations counts differ from what the traffic would make them.

    Both are taken to be Poisson, so their square roots have nearly the same spread (Anscombe,
    Biometrika 1948), also where one of them is zero.

    Parameters
    ----------
    before, after
        Counts, of one shape.
    ratio
        Traffic after, as a multiple of that before; above 0; broadcast.

    Returns
    -------
    Floats
        Positive where there are more lines than expected.
    """
    expected = np.sqrt((before + _ANSCOMBE) * ratio)
    difference: Floats = 2.0 * (np.sqrt(after + _ANSCOMBE) - expected) / np.sqrt(1.0 + ratio)
    # A fraction of a line is no line: nothing before and nothing after is no surprise.
    return np.where((before == 0) & (after == 0), 0.0, difference)


def line_weights(logs: pd.DataFrame) -> Floats:
    """Return how much each line's level matters; shape (rows,)."""
    levels = logs["level"].fillna("").astype(str).str.lower()
    known = {level: _WEIGHTS.get(level, 1.0) for level in levels.unique()}
    weights: Floats = levels.map(known).to_numpy(dtype=np.float64)
    return np.where(error_lines(logs), _ERROR_WEIGHT, weights)


def error_lines(logs: pd.DataFrame) -> Mask:
    """Return which lines tell of an error, by their level or else by their words, in any case.

    A line whose level says that it is none (information, debug) is none, whatever words it quotes;
    a line without a level is judged by its words, and by a status of 5xx.

    Parameters
    ----------
    logs
        A ``logs`` table.
    """
    levels = logs["level"].fillna("").astype(str)
    by_level = {level: bool(_ERROR_LEVEL.search(level)) for level in levels.unique()}
    messages = logs["message"].astype(str)
    by_text = {text: bool(_ERROR_TEXT.search(text[:_LONGEST])) for text in messages.unique()}
    told = levels.map(by_level).to_numpy(dtype=np.bool_)
    read = messages.map(by_text).to_numpy(dtype=np.bool_)
    level_says_no = levels.str.lower().isin(["info", "information", "debug", "trace"]).to_numpy()
    found: Mask = told | (read & ~level_says_no)
    return found
