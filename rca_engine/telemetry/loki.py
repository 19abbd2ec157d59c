# SPDX-License-Identifier: Apache-2.0
"""Log lines from Loki: every line of a window once, however its pages fall.

A page that is full says nothing of what it left out. So pages go forward in time, each begins at
the last timestamp of the one before, and lines that come twice count once. A page that holds a
single timestamp is passed by a larger limit, then by asking for its streams in parts. In the end
Loki counts the lines itself, and the manifest says both numbers.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rca_engine.errors import TelemetryError
from rca_engine.model import NS, Window
from rca_engine.telemetry.http import Connection, Deadline, Endpoint, Progress, silent
from rca_engine.telemetry.logs import LEVELS
from rca_engine.telemetry.placement import Placement
from rca_engine.telemetry.samples import label_key
from rca_engine.telemetry.source import Gathered, unplaced

_log = logging.getLogger(__name__)

_LIMIT = 5000
"""Lines a page; Loki's own default for the most it allows."""
_SLICE_S = 3600
"""Longest window of one query, far below what Loki allows (721 h)."""
_TRIES = 2
"""How often a slice is read before its count is believed to differ."""
_CAP = re.compile(r"max_entries_limit_per_query \(\d+ > (\d+)\)")
_RANGE, _QUERY = "/loki/api/v1/query_range", "/loki/api/v1/query"
_STREAM_LABELS = ("stream", "filename", "container")
_LEVEL_LABELS = ("level", "detected_level", "severity_text")

Line = tuple[int, str, str, str]
"""(time in ns, labels of the stream, structured metadata, text); labels as JSON."""


@dataclass(frozen=True)
class Source:
    """Which lines to fetch: ``query`` is a LogQL log query, such as ``{namespace="ray"}``."""

    endpoint: Endpoint
    query: str
    limit: int = _LIMIT


def gather(
    source: Source,
    placement: Placement,
    window: Window,
    *,
    deadline_s: float = 120.0,
    progress: Progress = silent,
) -> Gathered:
    """Fetch the lines of a window, both ends inclusive, as rows of ``logs``.

    Raises
    ------
    TelemetryError
        If Loki can't be reached or refuses, the deadline passes, or more lines of one stream share
        a timestamp than a page may hold.
    """
    with Connection(source.endpoint, Deadline(deadline_s), "Loki") as connection:
        reader = Reader(connection, source.query, source.limit, progress)
        rows: list[tuple[Any, ...]] = []
        warnings: list[str] = []
        strangers: Counter[str] = Counter()
        expected = received = 0
        # Loki counts over whole seconds, so whole seconds are fetched.
        end_ns = window.start_ns + -(-(window.end_ns + 1 - window.start_ns) // NS) * NS
        for begin, end in _slices(window.start_ns, end_ns):
            lines, counted = reader.verified(begin, end)
            received, expected = received + len(lines), expected + counted
            if len(lines) != counted:
                warnings.append(
                    f"Loki counts {counted} lines from {begin} to {end} ns, {len(lines)} came"
                )
            for line in lines:
                if line[0] > window.end_ns:
                    continue
                row = _row(line, reader.labels, placement)
                if row is None:
                    strangers[_name(reader.labels[line[1]])] += 1
                else:
                    rows.append(row)
        queries = tuple(connection.asked)
    return Gathered(
        "logs",
        rows,
        queries,
        (*warnings, *unplaced("lines", strangers)),
        {"expected": expected, "received": received},
    )


class Reader:
    """Reads pages of one query."""

    def __init__(
        self,
        connection: Connection,
        query: str,
        limit: int = _LIMIT,
        progress: Progress = silent,
    ) -> None:
        self._connection, self._query, self._limit = connection, query, limit
        self._progress, self._read = progress, 0
        # Else structured metadata comes among a stream's labels and splits it into many.
        flags = {"X-Loki-Response-Encoding-Flags": "categorize-labels"}
        connection.session.headers.update(flags)
        self._cap: int | None = None
        self.labels: dict[str, Mapping[str, str]] = {}
        """Labels and metadata by their JSON."""

    def verified(self, begin_ns: int, end_ns: int) -> tuple[list[Line], int]:
        """Return the lines of [begin, end), whole seconds long, and how many Loki counts there."""
        for attempt in range(1, _TRIES + 1):
            lines = list(self.lines(begin_ns, end_ns))
            counted = self._count(begin_ns, end_ns)
            if len(lines) == counted or attempt == _TRIES:
                return lines, counted
            # Lines still arrive, or an index was behind: what came now may be whole.
            _log.warning("Loki: %d lines came of %d, asking again", len(lines), counted)
        raise AssertionError("the last attempt returns")

    def lines(self, begin_ns: int, end_ns: int) -> Iterator[Line]:
        """Yield each line of [begin, end) once, in order of time."""
        yield from self._lines(self._query, begin_ns, end_ns)

    def _lines(self, query: str, begin_ns: int, end_ns: int) -> Iterator[Line]:
        seen: set[Line] = set()
        while begin_ns < end_ns:
            page, full = self._page(query, begin_ns, end_ns)
            last_ns = page[-1][0] if page else end_ns
            if full and last_ns == begin_ns:
                # One timestamp fills the page: no later start would show what it left out.
                yield from (line for line in self._burst(query, begin_ns) if line not in seen)
                begin_ns, seen = begin_ns + 1, set()
                continue
            yield from (line for line in page if line not in seen)
            if not full:
                return
            # The next page begins with what this one holds of its last timestamp.
            seen = {line for line in page if line[0] == last_ns}
            begin_ns = last_ns

    def _page(self, query: str, begin_ns: int, end_ns: int) -> tuple[list[Line], bool]:
        """Return the first lines of [begin, end) and whether the page is full."""
        limit = self._limit
        answer = self._connection.get(
            _RANGE,
            {
                "query": query,
                "start": begin_ns,
                "end": end_ns,
                "limit": limit,
                "direction": "forward",
            },
            note=f"{query} [{begin_ns}, {end_ns}) limit {limit}",
        )
        cap = _CAP.search(answer.text()) if answer.status == 400 else None
        if cap is not None:
            self._limit = self._cap = int(cap.group(1))
            return self._page(query, begin_ns, end_ns)
        document = self._connection.json(answer)
        try:
            lines = list(self._decoded(document["data"]))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise TelemetryError(
                f"{self._connection.url}: not an answer of Loki to {query!r}: {error!r}"
            ) from None
        self._connection.rows(len(lines))
        self._read += len(lines)
        self._progress(f"Loki: {self._read} lines")
        lines.sort(key=lambda line: line[0])
        return lines, len(lines) >= limit

    def _decoded(self, data: Mapping[str, Any]) -> Iterator[Line]:
        if data["resultType"] != "streams":
            raise ValueError(f"the query gives a {data['resultType']}, not log lines")
        for stream in data["result"]:
            labels = self._known(stream["stream"])
            for time, text, *more in stream["values"]:
                metadata = {}
                for part in more[:1]:
                    metadata = {**part.get("structuredMetadata", {}), **part.get("parsed", {})}
                # Times are text: a float would lose a nanosecond's hundreds.
                yield int(time), labels, self._known(metadata), text

    def _known(self, labels: Mapping[str, str]) -> str:
        key = label_key(labels)
        self.labels.setdefault(key, labels)
        return key

    def _burst(self, query: str, time_ns: int) -> list[Line]:
        """Return all lines of one timestamp."""
        lines, full = self._page(query, time_ns, time_ns + 1)
        while full and self._cap is None:
            self._limit *= 4
            lines, full = self._page(query, time_ns, time_ns + 1)
        if not full:
            return lines
        lines = []
        for part in self._parts(query, time_ns):
            lines += self._burst(part, time_ns)
        return lines

    def _parts(self, query: str, time_ns: int) -> list[str]:
        """Split a query by the label that tells most of its streams apart at a timestamp."""
        answer = self._connection.get(
            "/loki/api/v1/series",
            {"match[]": _selector(query), "start": time_ns, "end": time_ns + 1},
            note=f"series of {query} at {time_ns}",
        )
        streams = self._connection.json(answer)["data"]
        self._connection.rows(len(streams))
        values = {
            key: sorted({stream.get(key, "") for stream in streams})
            for key in sorted({key for stream in streams for key in stream})
        }
        label = max(values, key=lambda key: len(values[key]), default=None)
        if label is None or len(values[label]) < 2:
            raise TelemetryError(
                f"{self._connection.url}: more than {self._limit} lines of one stream of {query} "
                f"have the timestamp {time_ns}; raise max_entries_limit_per_query in Loki"
            )
        return [with_matcher(query, label, value) for value in values[label]]

    def _count(self, begin_ns: int, end_ns: int) -> int:
        """Let Loki count the lines of [begin, end), whose length is whole seconds.

        The range of a count is open at its left end and closed at its right one.
        """
        seconds = (end_ns - begin_ns) // NS
        query = f"sum(count_over_time({self._query} [{seconds}s]))"
        answer = self._connection.get(
            _QUERY, {"query": query, "time": end_ns - 1}, note=f"{query} @ {end_ns - 1}"
        )
        result = self._connection.json(answer)["data"]["result"]
        return int(result[0]["value"][1]) if result else 0


def with_matcher(query: str, label: str, value: str) -> str:
    """Return a LogQL query with one more matcher in its selector."""
    selector = _selector(query)
    inner = selector[1:-1].strip().rstrip(",")
    quoted = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    matcher = f'{label}="{quoted}"'
    more = f"{inner},{matcher}" if inner else matcher
    return query.replace(selector, "{" + more + "}", 1)


def _selector(query: str) -> str:
    """Return the stream selector that a log query begins with."""
    match = re.match(r'\s*(\{(?:[^{}"`]|"(?:[^"\\]|\\.)*"|`[^`]*`)*\})', query)
    if match is None:
        raise TelemetryError(f"not a LogQL log query, which begins with a selector: {query!r}")
    return match.group(1)


def _slices(begin_ns: int, end_ns: int) -> Iterator[tuple[int, int]]:
    for begin in range(begin_ns, end_ns, _SLICE_S * NS):
        yield begin, min(begin + _SLICE_S * NS, end_ns)


def _row(
    line: Line, known: Mapping[str, Mapping[str, str]], placement: Placement
) -> tuple[Any, ...] | None:
    time_ns, stream, metadata, text = line
    labels = {**known[metadata], **known[stream]}
    component = placement.of(labels) or placement.node(labels)
    if component is None:
        return None
    name = next((labels[key] for key in _STREAM_LABELS if labels.get(key)), "loki")
    level = next((labels[key] for key in _LEVEL_LABELS if labels.get(key)), "")
    return time_ns, component, name, LEVELS.get(level.upper()), text


def _name(labels: Mapping[str, str]) -> str:
    return next(
        (labels[key] for key in ("pod", "service_name", "job") if labels.get(key)),
        label_key(labels),
    )
