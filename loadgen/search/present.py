# SPDX-License-Identifier: Apache-2.0
"""A search or a sweep as a table for a person, as CSV, and as a page."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from loadgen import page
from loadgen.errors import saving
from rcalab_common.charts import Chart, figure, level, line
from rcalab_common.files import whole_file
from rcalab_common.words import number, quantity

Row = Mapping[str, Any]

_COLORS = ("--series-1", "--series-2", "--series-3", "--series-faint")


def table(rows: Sequence[Row], columns: Mapping[str, str]) -> str:
    """Write rows as text, one line each.

    Parameters
    ----------
    rows
        Values by name; a name with a dot goes into a nested value.
    columns
        Titles by name; a title that ends with ``%`` makes the value a share.
    """
    cells = [list(columns.values())]
    cells += [[_text(_at(row, name), title) for name, title in columns.items()] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        + "\n"
        for line in cells
    )


def write_csv(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> None:
    """Write the same rows for other programs, infinite quantiles as ``inf``."""
    with (
        saving(path),
        whole_file(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow(_cell(name, _at(row, name)) for name in columns)


def write_search_page(path: Path, title: str, found: Row, text: str) -> None:
    """Write the page of a search: throughput over users, attainment over rates."""
    ladder, probes = found["ladder"], sorted(found["probes"], key=lambda each: each["rate_per_s"])
    users = [float(rung["users"]) for rung in ladder]
    rates = [float(probe["rate_per_s"]) for probe in probes]
    charts = [
        _chart(
            "ladder",
            "Throughput by number of users",
            f"at most {quantity(found['capacity_per_s'], '1/s')}",
            [_line("succeeded", users, [rung["success_per_s"] for rung in ladder], 0)],
            unit="1/s",
            x=users,
            suffix="",
        ),
        _chart(
            "attainment",
            "SLO met, by rate",
            "share of the scheduled requests, with its interval",
            [
                _line("seen", rates, [100 * probe["attainment"] for probe in probes], 0),
                _line("low", rates, [100 * probe["interval"][0] for probe in probes], 3),
                _line("high", rates, [100 * probe["interval"][1] for probe in probes], 3),
                level(
                    [0, max(rates, default=1)], 100 * found["slo"]["target"], "--ink", dash="dot"
                ),
            ],
            unit="%",
            x=rates,
            suffix="/s",
            keys=[("line-1", "seen"), ("line-faint", "interval"), ("dotted", "target")],
        ),
        _ttft(rates, probes, found["slo"]["ttft_ms"]),
    ]
    page.write_page(path, title, "search.html.j2", charts, verdict=text, found=found)


def write_sweep_page(path: Path, title: str, kind: str, rows: Sequence[Row]) -> None:
    """Write the page of a sweep: a chart for each figure, a line for each pair of lengths."""
    done = [row for row in rows if row["step"] is not None]
    pairs = list(dict.fromkeys((row["prompt_tokens"], row["output_tokens"]) for row in done))
    suffix = "/s" if kind == "rate_per_s" else ""
    charts = []
    for name, heading, unit, factor in (
        ("success_per_s", "Throughput", "1/s", 1),
        ("response_ttft_ms.p95", "TTFT p95", "ms", 1),
        ("response_latency_ms.p95", "Latency p95", "ms", 1),
        ("attainment", "SLO met", "%", 100),
    ):
        data, keys = [], []
        for place, pair in enumerate(pairs):
            chosen = [row for row in done if (row["prompt_tokens"], row["output_tokens"]) == pair]
            label = f"{pair[0]} → {pair[1]} tokens"
            points = [float(row[kind]) for row in chosen]
            data.append(
                _line(label, points, [factor * _finite(_at(row, name)) for row in chosen], place)
            )
            keys.append((_key(place), label))
        x = [float(row[kind]) for row in done]
        said = "infinite where too many requests failed" if unit == "ms" else "by load"
        charts.append(
            _chart(
                name.partition(".")[0],
                heading,
                said,
                data,
                unit=unit,
                x=x,
                suffix=suffix,
                keys=keys,
            )
        )
    page.write_page(path, title, "sweep.html.j2", charts, kind=kind, rows=rows)


def _ttft(rates: list[float], probes: Sequence[Row], limit_ms: float) -> Chart:
    data = [
        _line(rank, rates, [_finite(probe["response_ttft_ms"][rank]) for probe in probes], place)
        for place, rank in enumerate(("p50", "p95"))
    ]
    data.append(level([0, max(rates, default=1)], limit_ms, "--ink", dash="dot"))
    return _chart(
        "ttft",
        "Time to first token, by rate",
        "failed requests count as infinitely slow",
        data,
        unit="ms",
        x=rates,
        suffix="/s",
        keys=[("line-1", "p50"), ("line-2", "p95"), ("dotted", "SLO")],
    )


def _line(name: str, x: Sequence[float], y: Sequence[float], place: int) -> dict[str, Any]:
    drawn = line(name, x, y, _COLORS[place % len(_COLORS)], hover="%{y:.4~g}")
    return drawn | {"mode": "lines+markers"}


def _key(place: int) -> str:
    return ("line-1", "line-2", "line-3", "line-faint")[place % len(_COLORS)]


def _chart(
    name: str,
    title: str,
    said: str,
    data: list[dict[str, Any]],
    *,
    unit: str,
    x: Sequence[float],
    suffix: str,
    keys: Sequence[tuple[str, str]] = (),
) -> Chart:
    end = 1.05 * max(x, default=1.0)
    return Chart(
        id=name,
        title=title,
        subtitle=said,
        summary=f"{title}: {said}.",
        keys=tuple(keys),
        figure=figure(
            data, unit, height=240, x_range=(0.0, end), x_suffix=suffix, axis=f"load{suffix}"
        ),
    )


def _at(row: Row, name: str) -> Any:
    value: Any = row
    for part in name.split("."):
        # A step that was left out has no figures.
        if not isinstance(value, Mapping) or part not in value:
            return ""
        value = value[part]
    return value


def _text(value: Any, title: str) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return "inf" if "p" in title else "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.1%}" if title.endswith("%") else number(float(value))


def _cell(name: str, value: Any) -> Any:
    return "inf" if value is None and "_ms." in name else "" if value is None else value


def _finite(value: float | None) -> float:
    return float("nan") if value is None else value
