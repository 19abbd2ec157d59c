# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far other clocks are from this host's."""

from __future__ import annotations

import json
import time
import urllib.parse

from . import web

_TRIES = 3


def prometheus_offset_ms(url: str) -> dict[str, float]:
    """Return Prometheus' clock less this host's, and how sure that is, in milliseconds.

    Prometheus tells its time within the answer to a query; of a few tries the one with the
    shortest way there and back counts (Cristian's method): its middle is when the time was told,
    give or take half of it.

    Raises
    ------
    OSError
        If Prometheus does not answer.
    """
    query = f"{url.rstrip('/')}/api/v1/query?{urllib.parse.urlencode({'query': 'time()'})}"
    way, offset = min(_look(query) for _try in range(_TRIES))
    return {
        "prometheus": round(offset * 1000, 3),
        "prometheus_uncertainty": round(way / 2 * 1000, 3),
    }


def _look(query: str) -> tuple[float, float]:
    """Return how long one answer took, and the offset by it, in seconds."""
    begin, mono = time.time(), time.monotonic()
    body = web.request(query)
    way = time.monotonic() - mono
    try:
        told = float(json.loads(body)["data"]["result"][1])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise OSError(f"{query} answers no time: {error!r}") from error
    return way, told - (begin + way / 2)
