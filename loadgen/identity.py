# SPDX-License-Identifier: Apache-2.0
"""The names by which servers and traces know a request: each follows from seed and index alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """The names by which servers and traces know a request."""

    request_id: str
    traceparent: str


def identity(seed: int, index: int) -> Identity:
    """Derive a request's id and W3C trace context (version 00, sampled) from seed and index.

    The id is the trace id, so that logs and traces of one request meet.
    """
    digest = hashlib.sha256(f"identity/{seed}/{index}".encode()).hexdigest()
    trace_id, span_id = digest[:32], digest[32:48]
    return Identity(request_id=trace_id, traceparent=f"00-{trace_id}-{span_id}-01")
