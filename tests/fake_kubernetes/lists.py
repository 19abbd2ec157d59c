# SPDX-License-Identifier: Apache-2.0
"""Lists with pages, and watches."""

from __future__ import annotations

import base64
import bisect
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from .cluster import Cluster
from .errors import ApiError
from .kinds import Kind
from .selectors import Test, selected
from .storage import Change, Object, key_of
from .verbs import in_version

Query = dict[str, str]
INITIAL_EVENTS_END = "k8s.io/initial-events-end"
# How often a watch looks whether its client or the server is gone.
_PULSE_S = 5.0


def _chosen(kind: Kind, namespace: str | None, query: Query) -> Test:
    by_selectors = selected(query.get("labelSelector", ""), query.get("fieldSelector", ""))

    def test(obj: Object) -> bool:
        if namespace and obj["metadata"].get("namespace", "") != namespace:
            return False
        return by_selectors(in_version(obj, kind))

    return test


def list_objects(cluster: Cluster, kind: Kind, namespace: str | None, query: Query) -> Object:
    """Answer a list. Pages are cut by name; one page does not remember the state of the first.

    Raises
    ------
    ApiError
        400 for a selector or a token that cannot be read.
    """
    test = _chosen(kind, namespace, query)
    found = [obj for obj in cluster.storage.all(kind.place) if test(obj)]
    metadata: dict[str, Any] = {"resourceVersion": str(cluster.storage.revision)}
    if token := query.get("continue"):
        after = _read_token(token)
        found = [obj for obj in found if key_of(obj) > after]
    limit = _number(query, "limit")
    if limit and len(found) > limit:
        metadata["continue"] = _token(key_of(found[limit - 1]))
        metadata["remainingItemCount"] = len(found) - limit
        found = found[:limit]
    return {
        "kind": f"{kind.name}List",
        "apiVersion": kind.api_version,
        "metadata": metadata,
        "items": [in_version(obj, kind) for obj in found],
    }


def _number(query: Query, name: str) -> int:
    text = query.get(name) or "0"
    if not text.isdigit():
        raise ApiError(400, f"{name}: Invalid value: {text!r}: must be a number")
    return int(text)


def _token(last: tuple[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(last).encode()).decode()


def _read_token(token: str) -> tuple[str, str]:
    try:
        namespace, name = json.loads(base64.urlsafe_b64decode(token))
    except ValueError as error:
        raise ApiError(400, f"continue key is not valid: {error}") from error
    return namespace, name


def watch(
    cluster: Cluster,
    kind: Kind,
    namespace: str | None,
    query: Query,
    stopped: Callable[[], bool],
) -> Iterator[dict[str, Any] | None]:
    """Yield the events of a watch; None is a pulse: nothing has happened for a while."""
    test = _chosen(kind, namespace, query)
    storage = cluster.storage
    since = query.get("resourceVersion", "")
    initial = query.get("sendInitialEvents") == "true"
    deadline = time.monotonic() + float(query.get("timeoutSeconds") or 3600)
    with storage.lock:
        start = storage.revision
        first = []
        if initial or since in ("", "0"):
            first = [obj for obj in storage.all(kind.place) if test(obj)]
        else:
            start = _number(query, "resourceVersion")
        position = bisect.bisect_right(storage.history, start, key=lambda change: change.revision)
    for obj in first:
        yield {"type": "ADDED", "object": in_version(obj, kind)}
    if initial:
        yield _bookmark(kind, start, {INITIAL_EVENTS_END: "true"})
    while time.monotonic() < deadline and not stopped():
        with storage.lock:
            if position == len(storage.history):
                storage.lock.wait(min(_PULSE_S, max(deadline - time.monotonic(), 0)))
            news, position = storage.history[position:], len(storage.history)
        for change in news:
            event = _event(change, kind, test)
            if event:
                yield event
        if not news:
            yield None


def _bookmark(kind: Kind, revision: int, annotations: dict[str, str]) -> dict[str, Any]:
    metadata = {"resourceVersion": str(revision), "annotations": annotations}
    obj = {"kind": kind.name, "apiVersion": kind.api_version, "metadata": metadata}
    return {"type": "BOOKMARK", "object": obj}


def _event(change: Change, kind: Kind, test: Test) -> dict[str, Any] | None:
    """Return the event that a change is to this watch: an object may come into view or leave it."""
    if change.place != kind.place:
        return None
    fits = change.type != "DELETED" and test(change.after)
    fitted = change.before is not None and test(change.before)
    if not fits and not fitted:
        return None
    type_ = "MODIFIED" if fits and fitted else "ADDED" if fits else "DELETED"
    return {"type": type_, "object": in_version(change.after, kind)}
