# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engines tell of themselves: vLLM's own metrics, or those that Ray passes on."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
import urllib.parse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from . import web
from .background import Background

# vLLM names a counter without `_total`, its client library adds that, and Ray does or does not.
_SAMPLE = re.compile(
    r"(?:vllm:|ray_vllm_|ray_(?=serve_))(?P<name>\w+?)(?:_total)?"
    r"(?:\{(?P<labels>.*)\})? (?P<value>\S+)(?: -?\d+)?"
)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_CACHE = "cache_config_info"
# How far back an engine may have started.
_MEMORY = "30d"
_TIMEOUT_S = 1.0
_LOOK_S = 1.0


@dataclass(frozen=True)
class Sample:
    """One line of an exposition, its name without ``vllm:``, ``ray_vllm_`` and ``_total``."""

    name: str
    labels: dict[str, str]
    value: float

    @property
    def cache_tokens(self) -> float | None:
        """How many tokens an engine's KV cache holds, where the line tells of that."""
        if self.name != _CACHE:
            return None
        try:
            return float(self.labels["num_gpu_blocks"]) * float(self.labels["block_size"])
        except (KeyError, ValueError):
            return None  # not known before the engine has measured its memory


def scrape(url: str) -> list[Sample]:
    """Return what a server exposes of vLLM and Ray Serve in Prometheus' text format.

    Raises
    ------
    OSError
        If it does not answer, or with something else.
    """
    text = web.request(url, timeout_s=_TIMEOUT_S).decode(errors="replace")
    try:
        return list(_samples(text))
    except ValueError as error:
        raise OSError(f"{url} answers no metrics: {error}") from error


def _samples(text: str) -> Iterator[Sample]:
    for line in text.splitlines():
        # Of a Ray node's thousands of lines most are buckets.
        if "_bucket{" in line or (found := _SAMPLE.fullmatch(line)) is None:
            continue
        labels = dict(_LABEL.findall(found["labels"] or ""))
        yield Sample(found["name"], labels, float(found["value"]))


def newest_cache(prometheus: str, address: str) -> Sample | None:
    """Return what the newest engine at an address has told of its KV cache; None if none has.

    vLLM tells it once, when it starts, and Ray shows it for a moment: Prometheus remembers.

    Raises
    ------
    OSError
        If Prometheus does not answer, or with something else.
    """
    instance = f"{address.replace('.', '[.]')}:[0-9]+"
    query = f'{{__name__=~"(ray_vllm_|vllm:){_CACHE}",instance=~"{instance}"}}[{_MEMORY}]'
    url = f"{prometheus.rstrip('/')}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    try:
        series = json.loads(web.request(url))["data"]["result"]
        told = [
            (float(each["values"][-1][0]), Sample(_CACHE, dict(each["metric"]), 1.0))
            for each in series
        ]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise OSError(f"{url} answers no range of samples: {error!r}") from error
    known = [(at_s, each) for at_s, each in told if each.cache_tokens is not None]
    return max(known, key=lambda each: each[0])[1] if known else None


@dataclass(frozen=True)
class EngineLook:
    """All engines at one time: counters since their start, and how full they are now.

    Attributes
    ----------
    at_s
        By the monotonic clock.
    running, waiting
        Requests in the engines.
    kv_usage_ratio
        Of the engine that uses most of its KV cache.
    ended, aborted
        Requests that ended in whatever way, and those of them that nobody waited for.
    """

    at_s: float
    running: float
    waiting: float
    kv_usage_ratio: float
    ended: float
    aborted: float
    prompt_tokens: float
    prefix_queries: float
    prefix_hits: float

    @classmethod
    def of(cls, at_s: float, engines: Sequence[Sequence[Sample]]) -> EngineLook:
        """Add up what the engines tell; what none tells is 0."""
        sums: defaultdict[str, float] = defaultdict(float)
        fullest = 0.0
        aborted = 0.0
        for sample in (each for engine in engines for each in engine):
            sums[sample.name] += sample.value
            if sample.name == "kv_cache_usage_perc":
                fullest = max(fullest, sample.value)
            elif sample.name == "request_success":
                aborted += sample.value * (sample.labels.get("finished_reason") == "abort")
        return cls(
            at_s,
            sums["num_requests_running"],
            sums["num_requests_waiting"],
            fullest,
            sums["request_success"],
            aborted,
            sums["prompt_tokens"],
            sums["prefix_cache_queries"],
            sums["prefix_cache_hits"],
        )

    def since(self, earlier: EngineLook) -> Change:
        """Return what happened between an earlier look and this one."""
        in_engines = self.running + self.waiting - earlier.running - earlier.waiting
        ended = self.ended - earlier.ended
        return Change(
            seconds=self.at_s - earlier.at_s,
            arrived=ended + in_engines,
            aborted=self.aborted - earlier.aborted,
            prompt_tokens=self.prompt_tokens - earlier.prompt_tokens,
            prefix_queries=self.prefix_queries - earlier.prefix_queries,
            prefix_hits=self.prefix_hits - earlier.prefix_hits,
        )


@dataclass(frozen=True)
class Change:
    """What happened in the engines within some seconds.

    ``arrived`` misses requests whose client went away where the engine does not count those
    (vLLM does not).
    """

    seconds: float
    arrived: float
    aborted: float
    prompt_tokens: float
    prefix_queries: float
    prefix_hits: float

    @property
    def arrivals_per_s(self) -> float:
        """Requests that came, by the second."""
        return self.arrived / self.seconds

    @property
    def prompt_tokens_per_s(self) -> float:
        """Prompt tokens that were taken in, by the second."""
        return self.prompt_tokens / self.seconds

    @property
    def prefix_hit_ratio(self) -> float | None:
        """Share of the prompt tokens that were in the prefix cache; None where none was asked."""
        return self.prefix_hits / self.prefix_queries if self.prefix_queries > 0 else None


@dataclass(frozen=True)
class Seen:
    """The engines before the dose and under it.

    Attributes
    ----------
    before, under
        From the first look to the dose, and from the dose to the last look.
    kv_usage_ratio, waiting
        The most that was seen under the dose.
    """

    before: Change
    under: Change
    kv_usage_ratio: float
    waiting: float


class EngineWatch:
    """Looks at the engines all the time, in a thread of its own.

    Engines under load may take longer to answer than the agent's lease lasts. A look at which one
    of them does not answer counts for nothing.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = tuple(urls)
        self._beside = Background(self._watch, "the engines are no longer looked at")
        self._before: list[EngineLook] = []
        self._under: list[EngineLook] = []
        self._dosed = False

    def start(self) -> None:
        """Begin to look."""
        self._beside.start()

    def begin_dose(self) -> None:
        """Tell that what is seen from now on is seen under the dose."""
        self._dosed = True

    def end(self) -> None:
        """Look no more."""
        self._beside.let_go()

    def seen(self) -> Seen | None:
        """Return what was seen; None until there is something to compare."""
        before, under = list(self._before), list(self._under)
        if len(before) < 2 or not under:
            return None
        return Seen(
            before[-1].since(before[0]),
            under[-1].since(before[-1]),
            max(look.kv_usage_ratio for look in under),
            max(look.waiting for look in under),
        )

    def _watch(self, ending: threading.Event) -> None:
        while not ending.is_set():
            looks, at_s = self._under if self._dosed else self._before, time.monotonic()
            with contextlib.suppress(OSError):
                looks.append(EngineLook.of(at_s, [scrape(url) for url in self._urls]))
            ending.wait(_LOOK_S)
