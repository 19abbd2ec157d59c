# SPDX-License-Identifier: Apache-2.0
"""Raw samples from Prometheus: the only place that knows its HTTP API.

Samples are asked for by an instant query with a range selector, which returns the scraped values
with their scrape times; ``query_range`` would smear them over a step and a five-minute look-back.
"""

from __future__ import annotations

import logging
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from urllib3.util.retry import Retry

from rca_engine.errors import TelemetryError
from rca_engine.model import NS, Window
from rca_engine.telemetry.samples import Samples, label_key

_log = logging.getLogger(__name__)

_CHUNK_S = 60
"""Length of one query: some 5000 series at one a second stay under 10 MB an answer."""
_REQUEST_S = 15.0
"""Longest wait for one answer."""
_RETRIES = 3
_MS = 1_000_000

_Series = tuple[tuple[str, str], list[tuple[int, float]]]
"""((name, labels as JSON), [(time in ns, value)])."""


@dataclass(frozen=True)
class Selection:
    """Which series to fetch: those of ``job`` (None: of any) with one of ``names``."""

    job: str | None
    names: tuple[str, ...]

    def selector(self) -> str:
        """Return the PromQL series selector."""
        names = "|".join(re.escape(name) for name in self.names)
        job = "" if self.job is None else f'job="{self.job}",'
        return f'{{{job}__name__=~"{names}"}}'


@dataclass(frozen=True)
class Fetched:
    """Samples and the record of how they were got, for the manifest."""

    samples: Samples
    queries: tuple[Mapping[str, Any], ...]
    warnings: tuple[str, ...]


def fetch(
    url: str, selections: Iterable[Selection], window: Window, *, deadline_s: float = 120.0
) -> Fetched:
    """Fetch the raw samples of a window.

    Parameters
    ----------
    url
        Base URL of the server.
    selections
        What to fetch.
    window
        Both ends inclusive.
    deadline_s
        For all queries and their retries together, in seconds.

    Raises
    ------
    TelemetryError
        If the server can't be reached, refuses a query, or the deadline passes.
    """
    warnings: list[str] = []
    session = requests.Session()
    session.hooks["response"].append(_warning_recorder(warnings))
    retry = Retry(total=_RETRIES, backoff_factor=0.3, status_forcelist=[429, 502, 503, 504])
    points: defaultdict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    queries: list[dict[str, Any]] = []
    deadline = time.monotonic() + deadline_s
    with PrometheusConnect(url=url.rstrip("/"), session=session, retry=retry) as server:
        for selection in selections:
            for end_s, range_s in _chunks(window):
                query = f"{selection.selector()}[{range_s}s]"
                rows = 0
                for key, row in _ask(server, query, end_s, deadline):
                    inside = {t: v for t, v in row if window.start_ns <= t <= window.end_ns}
                    if inside:
                        points[key].update(inside)
                    rows += len(inside)
                queries.append({"query": f"{query} @ {end_s}", "rows": rows})
    return Fetched(Samples.pack(points), tuple(queries), tuple(dict.fromkeys(warnings)))


def _chunks(window: Window) -> Iterator[tuple[int, int]]:
    """Yield (evaluation time, range), in whole seconds, that together cover the window.

    A range is open at its left end in Prometheus 3 and closed in 2, so each reaches a second
    further back; samples that come twice fall together by their time.
    """
    start, end = window.start_ns // NS, -(-window.end_ns // NS)
    for begin in range(start, end, _CHUNK_S):
        stop = min(begin + _CHUNK_S, end)
        yield stop, stop - begin + 1


def _ask(server: PrometheusConnect, query: str, end_s: int, deadline: float) -> list[_Series]:
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise TelemetryError(f"{server.url}: Prometheus took too long; narrow the window")
    try:
        # A partial answer must say so: the server's own timeout ends before the client's.
        timeout_s = min(_REQUEST_S, left_s)
        answer = server.custom_query(
            query, params={"time": end_s, "timeout": f"{timeout_s * 1000:.0f}ms"}, timeout=timeout_s
        )
        return [_series(each) for each in answer]
    except (PrometheusApiClientException, ValueError, LookupError, TypeError) as error:
        # First, for requests' own error about broken JSON is a ValueError too.
        raise TelemetryError(
            f"{server.url}: not an answer of Prometheus to {query!r}: {error}"
        ) from None
    except requests.RequestException as error:
        raise TelemetryError(
            f"{server.url}: Prometheus can't be reached ({_reason(error)}); "
            f"is the lab up, and is this its address?"
        ) from None


def _reason(error: requests.RequestException) -> str:
    """Return the innermost cause, which says more than the chain around it."""
    cause: BaseException = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    return f"{type(cause).__name__}: {cause}"


def _series(answer: Mapping[str, Any]) -> _Series:
    labels = dict(answer["metric"])
    name = labels.pop("__name__")
    # Prometheus keeps milliseconds: rounding to them restores what the float lost.
    points = [(round(seconds * 1000) * _MS, float(value)) for seconds, value in answer["values"]]
    return (name, label_key(labels)), points


def _warning_recorder(warnings: list[str]) -> Any:
    """Return a hook that keeps the warnings of each answer, which the client library drops."""

    def record(response: requests.Response, *_args: Any, **_kwargs: Any) -> None:
        if b'"warnings"' in response.content or b'"infos"' in response.content:
            try:
                answer = response.json()
            except requests.JSONDecodeError:
                return  # the caller reports the broken answer itself
            for text in [*answer.get("warnings", ()), *answer.get("infos", ())]:
                _log.warning("Prometheus: %s", text)
                warnings.append(str(text))

    return record
