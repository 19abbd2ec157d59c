# SPDX-License-Identifier: Apache-2.0
"""How the mock server behaves, and the faults that it can be told to play."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from loadgen.checks import check_choice
from loadgen.errors import ProfileError

FAULT_HEADER = "x-mock-fault"
"""Request header that asks for a fault by its name."""

OPENAI_PROVIDERS = ("vllm", "openai", "anyscale", "together", "fireworks")

SLOW_FACTOR = 10.0
"""How much longer everything takes with the fault ``slow``."""

FAULT_AFTER_TOKENS = 3
"""Tokens that a fault within the stream lets through first."""


class Fault(StrEnum):
    """What can go wrong with one answer."""

    STATUS_404 = "404"
    STATUS_429 = "429"
    STATUS_503 = "503"
    RESET = "reset"
    RESET_MIDSTREAM = "reset-midstream"
    HANG = "hang"
    STALL = "stall"
    SLOW = "slow"
    TRUNCATE = "truncate"
    ERROR_FRAME = "error-frame"
    MALFORMED = "malformed"
    EMPTY = "empty"

    @property
    def status(self) -> int | None:
        """HTTP status of a fault that is one."""
        return int(self.value) if self.value.isdigit() else None


@dataclass(frozen=True, slots=True)
class FaultRule:
    """A fault for the requests ``first`` to ``last``, counted from 0 as they arrive."""

    fault: Fault
    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> FaultRule:
        """Read ``KIND@FIRST`` or ``KIND@FIRST-LAST``.

        Raises
        ------
        ProfileError
            If the text is no such rule; the message lists the kinds.
        """
        match = re.fullmatch(r"([\w-]+)@(\d+)(?:-(\d+))?", text)
        if match is None or match[1] not in set(Fault):
            raise ProfileError(
                f"a fault is KIND@FIRST or KIND@FIRST-LAST with KIND one of {', '.join(Fault)}; "
                f"got {text!r}"
            )
        first, last = int(match[2]), int(match[3] or match[2])
        if last < first:
            raise ProfileError(f"the last request of a fault comes before the first: {text!r}")
        return cls(Fault(match[1]), first, last)


@dataclass(frozen=True, slots=True)
class Pause:
    """A time in which no token comes out, for anybody: seconds after the first request."""

    start_s: float
    duration_s: float

    @classmethod
    def parse(cls, text: str) -> Pause:
        """Read ``START:SECONDS``.

        Raises
        ------
        ProfileError
            If the text is no such pair of numbers.
        """
        match = re.fullmatch(r"(\d+(?:\.\d+)?):(\d+(?:\.\d+)?)", text)
        if match is None:
            raise ProfileError(f"a pause is START:SECONDS after the first request, got {text!r}")
        return cls(float(match[1]), float(match[2]))


@dataclass(frozen=True, slots=True, kw_only=True)
class MockSettings:
    """The mock's behaviour.

    Parameters
    ----------
    model
        Name of the one model that it serves.
    ttft_ms, itl_ms
        Time from admission to the first token, and between tokens, with one request running.
    slowdown
        By how much each further running request stretches both: 0.01 is one percent.
    max_concurrency
        Requests that run at a time; the others wait in order of arrival.
    cpu_ms_per_token
        CPU time that each token burns, on one thread for all requests, as an engine's core does:
        a CPU quota starves it.
    kv_tokens
        Tokens that the key-value cache holds, for its metrics and for prefixes.
    max_tokens
        Most tokens of one answer.
    template_tokens, split_above
        What the mock's tokenizer adds to every prompt, and the length in letters above which a word
        is two tokens (0: never).
    provider
        Which of the services with OpenAI's API to be like; the other APIs are always there.
    metrics_prefix
        In front of vLLM's metric names: ``vllm:``, or ``ray_vllm_`` as under Ray.
    replica
        Sent as ``x-replica``, if given.
    faults, pause
        What goes wrong, and when.
    arrivals
        JSON Lines file of every request's arrival, the truth for tests.

    Raises
    ------
    ProfileError
        If a value is out of its range.
    """

    model: str = "mock"
    ttft_ms: float = 50.0
    itl_ms: float = 10.0
    slowdown: float = 0.0
    max_concurrency: int = 256
    cpu_ms_per_token: float = 0.0
    kv_tokens: int = 65_536
    max_tokens: int = 4_096
    template_tokens: int = 0
    split_above: int = 0
    provider: str = "vllm"
    metrics_prefix: str = "vllm:"
    replica: str | None = None
    faults: tuple[FaultRule, ...] = ()
    pause: Pause | None = None
    arrivals: Path | None = None

    def __post_init__(self) -> None:
        for name in ("ttft_ms", "itl_ms", "slowdown", "cpu_ms_per_token"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ProfileError(f"{name} must be a number of at least 0, got {value!r}")
        for name in ("template_tokens", "split_above"):
            if getattr(self, name) < 0:
                raise ProfileError(f"{name} must be at least 0, got {getattr(self, name)!r}")
        check_choice("provider", self.provider, OPENAI_PROVIDERS)
        for name in ("max_concurrency", "kv_tokens", "max_tokens"):
            if getattr(self, name) < 1:
                raise ProfileError(f"{name} must be at least 1, got {getattr(self, name)!r}")
        if not re.fullmatch(r"[A-Za-z_:][A-Za-z0-9_:]*", self.metrics_prefix):
            raise ProfileError(
                "metrics_prefix must be letters, digits, '_' and ':' and not start with a digit, "
                f"got {self.metrics_prefix!r}"
            )
        if not self.model.strip():
            raise ProfileError("model must not be empty")

    def fault_of(self, index: int) -> Fault | None:
        """Return the fault that the rules give request ``index``; the first rule wins."""
        return next((rule.fault for rule in self.faults if rule.first <= index <= rule.last), None)
