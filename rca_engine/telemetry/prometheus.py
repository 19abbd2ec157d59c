# SPDX-License-Identifier: Apache-2.0
"""Raw samples from Prometheus: the only place that knows its HTTP API.

Samples are asked for by an instant query with a range selector, which returns the scraped values
with their scrape times; ``query_range`` would smear them over a step and a five-minute look-back.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException

from rca_engine.errors import TelemetryError
from rca_engine.model import NS, Window
from rca_engine.telemetry.http import (
    Connection,
    Deadline,
    Endpoint,
    Progress,
    side_by_side,
    silent,
)
from rca_engine.telemetry.samples import Floats, Ints, Samples, label_key

_log = logging.getLogger(__name__)

_CHUNK_S = 60
"""Length of one query: some 5000 series at one a second stay under 10 MB an answer."""
_MS = 1_000_000
_TOO_MANY = "too many samples"
"""What Prometheus says of a query beyond ``--query.max-samples``."""

_MARK = b'"values":[['

Labels = dict[str, str]
Relabel = Callable[[str | None, str, Labels], Labels | None]
"""Gives a series (job, name, labels) the labels that it is kept with; None leaves it out."""


@dataclass(frozen=True)
class Selection:
    """Which series to fetch: those of ``job`` with one of ``names``.

    ``matchers`` is PromQL that finds the job's series; by its label ``job`` if None.
    """

    job: str | None
    names: tuple[str, ...]
    matchers: str | None = None

    def selector(self) -> str:
        """Return the PromQL series selector."""
        names = "|".join(re.escape(name) for name in self.names)
        matchers = self.matchers
        if matchers is None:
            matchers = "" if self.job is None else f'job="{self.job}"'
        # In PromQL's strings a backslash is an escape too.
        quoted = names.replace("\\", "\\\\")
        return "{" + (f"{matchers}," if matchers else "") + f'__name__=~"{quoted}"}}'


@dataclass(frozen=True)
class Fetched:
    """Samples and the record of how they were got, for the manifest."""

    samples: Samples
    queries: tuple[Mapping[str, Any], ...]
    warnings: tuple[str, ...]


def fetch(
    server: str | Endpoint,
    selections: Iterable[Selection],
    window: Window,
    *,
    deadline_s: float = 120.0,
    relabel: Relabel | None = None,
    progress: Progress = silent,
) -> Fetched:
    """Fetch the raw samples of a window.

    Parameters
    ----------
    server
        Base URL of the server, or the endpoint.
    selections
        What to fetch.
    window
        Both ends inclusive.
    deadline_s
        For all queries and their retries together, in seconds.
    relabel
        Gives each series its labels, where the scrape did not.
    progress
        Told how far it is.

    Raises
    ------
    TelemetryError
        If the server can't be reached, refuses a query, or the deadline passes.
    """
    endpoint = Endpoint(server) if isinstance(server, str) else server
    warnings: list[str] = []
    queries: list[Mapping[str, Any]] = []
    pieces: list[_Piece] = []
    with Connection(endpoint, Deadline(deadline_s), "Prometheus") as connection:
        connection.session.hooks["response"].append(_decoder(warnings))
        asker = _Asker(connection, window, relabel or _as_scraped)
        parts = [
            (selection, begin, end) for selection in selections for begin, end in _chunks(window)
        ]
        for number, found in enumerate(side_by_side(asker.chunk, parts), start=1):
            pieces += found
            progress(f"Prometheus: {number} of {len(parts)} chunks")
        queries = sorted(connection.asked, key=lambda each: str(each["query"]))
    if asker.histograms:
        warnings.append(f"native histograms are not read: {', '.join(sorted(asker.histograms))}")
    return Fetched(Samples.join(pieces), tuple(queries), tuple(dict.fromkeys(warnings)))


_Piece = tuple[tuple[str, str], Ints, Floats]
"""((name, labels as JSON), times in ns, values)."""


def _chunks(window: Window) -> Iterator[tuple[int, int]]:
    """Yield (begin, end), in whole seconds, that together cover the window."""
    start, end = window.start_ns // NS, -(-window.end_ns // NS)
    for begin in range(start, end, _CHUNK_S):
        yield begin, min(begin + _CHUNK_S, end)


@dataclass
class _Asker:
    """Asks one server for the pieces of a window."""

    connection: Connection
    window: Window
    relabel: Relabel

    def __post_init__(self) -> None:
        self.histograms: set[str] = set()
        self._keys: dict[Hashable, tuple[str, str] | None] = {}
        self._lock = threading.Lock()
        # Its requests go through the connection's session and so through its retries.
        self._server = PrometheusConnect(
            url=self.connection.url, session=self.connection.session, retry=self.connection.retry
        )

    def chunk(self, part: tuple[Selection, int, int]) -> list[_Piece]:
        """Return the samples of a selection between two seconds."""
        selection, begin, end = part
        return list(self.samples(selection, begin, end, first=begin == self.window.start_ns // NS))

    def samples(
        self, selection: Selection, begin: int, end: int, *, first: bool
    ) -> Iterator[_Piece]:
        """Yield the samples after ``begin`` until ``end``; of the first chunk those at it, too.

        A range selector is open at its left end in Prometheus 3 and closed in 2: the first chunk
        reaches a second further back, and what lies before a chunk is left to the one before it.
        """
        query = f"{selection.selector()}[{end - begin + first}s]"
        answer = self._ask(query, end)
        if answer is None:
            if end - begin < 2:
                raise TelemetryError(
                    f"{self.connection.url}: one second of {selection.selector()} holds more "
                    f"samples than Prometheus loads (--query.max-samples)"
                )
            middle = (begin + end) // 2
            yield from self.samples(selection, begin, middle, first=first)
            yield from self.samples(selection, middle, end, first=False)
            return
        after = self.window.start_ns - 1 if first else begin * NS
        rows = 0
        for series in answer:
            piece = self._piece(series, selection.job, after)
            if piece is not None:
                rows += piece[1].size
                yield piece
        self.connection.rows(rows)

    def _piece(self, series: Mapping[str, Any], job: str | None, after_ns: int) -> _Piece | None:
        try:
            labels = dict(series["metric"])
            name = labels.pop("__name__")
            if "histograms" in series:
                self.histograms.add(name)
            values = series.get("values", []) if "histograms" in series else series["values"]
            seconds, readings = values if isinstance(values, tuple) else _of_rows(values)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise self._no_answer(str(series)[:100], error) from None
        # Prometheus keeps milliseconds: rounding to them restores what the float lost.
        times_ns = np.rint(seconds * 1000).astype(np.int64) * _MS
        inside = (times_ns > after_ns) & (times_ns <= self.window.end_ns)
        key = self._key(job, name, labels) if inside.any() else None
        return None if key is None else (key, times_ns[inside], readings[inside])

    def _key(self, job: str | None, name: str, labels: Labels) -> tuple[str, str] | None:
        """Return what a series is kept as, worked out once for all its chunks; None: not at all."""
        known = (job, name, *labels.items())
        with self._lock:
            if known not in self._keys:
                kept = self.relabel(job, name, labels)
                self._keys[known] = None if kept is None else (name, label_key(kept))
            return self._keys[known]

    def _ask(self, query: str, at_s: int) -> list[Mapping[str, Any]] | None:
        """Return the series of an answer; None where the server would have to load too much."""
        try:
            # A partial answer must say so: the server's own timeout ends before the client's.
            timeout_s = self.connection.timeout_s()
            answer = self._server.custom_query(
                query,
                params={"time": at_s, "timeout": f"{timeout_s * 1000:.0f}ms"},
                timeout=timeout_s,
            )
            self.connection.note(f"{query} @ {at_s}")
            return list(answer)
        except (PrometheusApiClientException, ValueError, LookupError, TypeError) as error:
            # First, for requests' own error about broken JSON is a ValueError too.
            if _TOO_MANY in str(error):
                return None
            raise self._no_answer(query, error) from None
        except requests.RequestException as error:
            raise self.connection.unreachable(error) from None

    def _no_answer(self, query: str, error: Exception) -> TelemetryError:
        return TelemetryError(
            f"{self.connection.url}: not an answer of Prometheus to {query!r}: {error}"
        )


def _decoded(body: bytes) -> Any:
    """Decode an answer, each series' ``values`` as (seconds, readings) without an object a sample.

    No string of JSON can hold the mark, for its quotes would be escaped. Other servers may put
    blanks into it: their values stay rows.
    """
    head, *parts = body.split(_MARK)
    skeleton, texts = [head], list[bytes]()
    for part in parts:
        text, _, after = part.partition(b"]]")
        skeleton += [b'"values":', str(len(texts)).encode(), after]
        texts.append(text)
    document = orjson.loads(b"".join(skeleton))
    if texts:
        for series in document["data"]["result"]:
            if isinstance(series.get("values"), int):
                series["values"] = _of_text(texts[series["values"]])
    return document


def _of_text(text: bytes) -> tuple[Floats, Floats]:
    flat = np.fromstring(text.translate(None, b'[]"').decode("ascii"), dtype=np.float64, sep=",")
    if flat.size != 2 * (text.count(b"],[") + 1):
        raise ValueError(f"samples that are no numbers: {text[:100]!r}")
    return flat[::2], flat[1::2]


def _of_rows(rows: Sequence[Any]) -> tuple[Floats, Floats]:
    return (
        np.fromiter((row[0] for row in rows), np.float64, len(rows)),
        np.fromiter((float(row[1]) for row in rows), np.float64, len(rows)),
    )


def _as_scraped(_job: str | None, _name: str, labels: Labels) -> Labels:
    return labels


def _decoder(warnings: list[str]) -> Callable[..., None]:
    """Return a hook by which answers are decoded faster and their warnings kept.

    The client library drops the warnings; one says that an answer is not whole.
    """

    def decode(response: requests.Response, *_args: Any, **_options: Any) -> None:
        def json() -> Any:
            document = _decoded(response.content)
            for text in [*document.get("warnings", ()), *document.get("infos", ())]:
                _log.warning("Prometheus: %s", text)
                warnings.append(str(text))
            return document

        response.json = json  # type: ignore[method-assign, assignment]

    return decode
