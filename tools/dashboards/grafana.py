# SPDX-License-Identifier: Apache-2.0
"""Grafana's form of a dashboard."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .model import PROMETHEUS, Board, Panel, Row

_WIDTH = 24


def panel_json(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    """Return Grafana's form of a panel."""
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.maximum is not None:
        defaults["max"] = panel.maximum
    options: dict[str, Any] = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    if panel.kind == "logs":
        options = {"showTime": True, "sortOrder": "Descending", "wrapLogMessage": True}
        defaults = {}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": panel.source,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": 8},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "expr": query,
                "legendFormat": legend,
                "datasource": panel.source,
            }
            for index, (query, legend) in enumerate(panel.queries)
        ],
    }


def panels_json(rows: tuple[Row, ...]) -> Iterator[dict[str, Any]]:
    """Lay rows and panels out from top to bottom."""
    number, y = 1, 0
    for row in rows:
        grid = {"x": 0, "y": y, "w": _WIDTH, "h": 1}
        yield {"id": number, "type": "row", "title": row.title, "gridPos": grid, "panels": []}
        number, y, x = number + 1, y + 1, 0
        for panel in row.panels:
            if x + panel.width > _WIDTH:
                x, y = 0, y + 8
            yield panel_json(panel, number, x, y)
            number, x = number + 1, x + panel.width
        y += 8


def board_json(board: Board) -> dict[str, Any]:
    """Return Grafana's form of a dashboard."""
    return {
        "uid": f"rcalab-{board.name}",
        "title": board.title,
        "tags": ["rcalab"],
        "schemaVersion": 41,
        "timezone": "utc",
        "editable": False,
        "graphTooltip": 1,
        "refresh": "5s",
        "time": {"from": "now-15m", "to": "now"},
        "annotations": {
            "list": [
                {
                    "name": "Fault windows",
                    "datasource": {"type": "grafana", "uid": "-- Grafana --"},
                    "enable": True,
                    "iconColor": "red",
                    "target": {"type": "tags", "tags": ["rcalab"], "matchAny": True, "limit": 200},
                },
                {
                    "name": "Service level",
                    "datasource": PROMETHEUS,
                    "enable": True,
                    "iconColor": "orange",
                    "expr": 'ALERTS{alertstate="firing", severity="slo"}',
                    "titleFormat": "{{alertname}}",
                    "textFormat": "{{component}}",
                },
            ]
        },
        "templating": {
            "list": [
                {
                    "name": "component",
                    "type": "query",
                    "datasource": PROMETHEUS,
                    "query": {"query": board.series, "refId": "component"},
                    "refresh": 2,
                    "includeAll": True,
                    "multi": True,
                    "allValue": ".*",
                    "current": {"text": "All", "value": "$__all"},
                    "sort": 1,
                }
            ]
        },
        "panels": list(panels_json(board.rows)),
    }


def text(board: Board) -> str:
    """Return a dashboard's file."""
    return json.dumps(board_json(board), indent=1) + "\n"
