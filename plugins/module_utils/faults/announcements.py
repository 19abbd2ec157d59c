# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell others when a window begins and ends: loadgen by a file of events, people by Grafana.

Nobody's deafness stops a fault: what can't be told is a message in the ground truth.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from . import files, times, web
from .lab import Grafana

WINDOW_START, WINDOW_END = "window_start", "window_end"
_TIMEOUT_S = 2.0


def write_event(path: Path, event: str, name: str) -> None:
    """Append an event as loadgen reads it (``loadgen/schemas/events.json``)."""
    files.append_json_line(path, {"time": times.now_text(), "event": event, "name": name})


class Annotation:
    """One region in Grafana: begun with the dose, ended with its verified revert."""

    def __init__(self, grafana: Grafana, text: str, tags: list[str]) -> None:
        self._grafana = grafana
        self._content = {"text": text, "tags": ["rcalab", *tags]}
        self._id: int | None = None

    def begin(self) -> None:
        """Raise OSError if Grafana does not take it."""
        content = {**self._content, "time": time.time_ns() // 1_000_000}
        answer = self._send("POST", "/api/annotations", content)
        self._id = int(json.loads(answer)["id"])

    def end(self) -> None:
        """Raise OSError if Grafana does not take it."""
        if self._id is not None:
            content = {"timeEnd": time.time_ns() // 1_000_000}
            self._send("PATCH", f"/api/annotations/{self._id}", content)

    def _send(self, method: str, path: str, content: object) -> bytes:
        return web.request(
            self._grafana.url.rstrip("/") + path,
            method,
            json.dumps(content).encode(),
            self._grafana.token_file,
            _TIMEOUT_S,
        )
