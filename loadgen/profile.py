# SPDX-License-Identifier: Apache-2.0
"""What load to put on which service: the one input of a run."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

from loadgen.errors import ProfileError
from loadgen.provider import providers
from rcalab_common.slo import Slo

MIN_PROMPT_TOKENS = 8
"""Shortest prompt: fewer words could not be told from another request's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """The four ways to wait too long, in seconds.

    Parameters
    ----------
    connect_s
        Name resolution, TCP and TLS.
    first_byte_s
        From the send to the first byte of the answer's body.
    stall_s
        Silence between two pieces of the body.
    total_s
        From the send to the end of the answer.

    Raises
    ------
    ProfileError
        If one is not a positive number.
    """

    connect_s: float = 5.0
    first_byte_s: float = 60.0
    stall_s: float = 30.0
    total_s: float = 300.0

    def __post_init__(self) -> None:
        for name in ("connect_s", "first_byte_s", "stall_s", "total_s"):
            _number(f"timeout {name}", getattr(self, name), above=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """An open-loop load of constant rate on one model of one service.

    Parameters
    ----------
    base_url
        Root of the service, without the API's path: ``http://127.0.0.1:8000``.
    model
        Name of the model, as ``/v1/models`` lists it.
    rate_per_s
        Requests per second.
    duration_s, warmup_s
        Length of the measured phase, and of the warm-up that comes before it, in seconds.
    prompt_tokens
        Words of a prompt: about its tokens. The service's own count is in each record.
    output_tokens
        Tokens to ask for.
    seed
        Prompts, identifiers and schedule follow from it.
    provider
        Dialect of the service, one of :func:`loadgen.provider.providers`.
    timeouts, slo
        See :class:`Timeouts` and :class:`rcalab_common.slo.Slo`.
    drain_s
        How long requests in flight at the end may still finish; then they count as censored.

    Raises
    ------
    ProfileError
        If a value is out of its range; the message names the field, the range and the value.
    """

    base_url: str
    model: str
    rate_per_s: float
    duration_s: float
    warmup_s: float = 0.0
    prompt_tokens: int = 128
    output_tokens: int = 64
    seed: int = 0
    provider: str = "vllm"
    timeouts: Timeouts = field(default_factory=Timeouts)
    slo: Slo = field(default_factory=Slo)
    drain_s: float = 30.0

    def __post_init__(self) -> None:
        _check_url(self.base_url)
        object.__setattr__(self, "base_url", self.base_url.rstrip("/"))
        if not self.model.strip():
            raise ProfileError("model must be the name of a served model, got an empty one")
        _number("rate_per_s", self.rate_per_s, above=0, most=10_000)
        _number("duration_s", self.duration_s, above=0, most=86_400)
        _number("warmup_s", self.warmup_s, least=0, most=86_400)
        _number("drain_s", self.drain_s, least=0, most=3_600)
        _number("prompt_tokens", self.prompt_tokens, least=MIN_PROMPT_TOKENS, most=1_000_000)
        _number("output_tokens", self.output_tokens, least=1, most=1_000_000)
        _number("seed", self.seed, least=0)
        if self.provider not in providers():
            raise ProfileError(
                f"provider must be one of {', '.join(sorted(providers()))}, got {self.provider!r}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the profile as plain JSON values, for the summary."""
        return asdict(self)


def _number(
    name: str,
    value: float,
    *,
    above: float | None = None,
    least: float | None = None,
    most: float | None = None,
) -> None:
    """Raise unless ``value`` is finite and ``above`` < or ``least`` <= value <= ``most``."""
    allowed = " and ".join(
        f"{word} {bound:g}"
        for word, bound in (("above", above), ("at least", least), ("at most", most))
        if bound is not None
    )
    if (
        not math.isfinite(value)
        or (above is not None and value <= above)
        or (least is not None and value < least)
        or (most is not None and value > most)
    ):
        raise ProfileError(f"{name} must be {allowed}, got {value!r}")


def _check_url(url: str) -> None:
    hint = "give the root of the service, for example http://127.0.0.1:8000"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ProfileError(f"base_url {url!r} is no URL ({error}): {hint}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ProfileError(f"base_url must be an http or https URL, got {url!r}: {hint}")
    if parts.username is not None or parts.password is not None:
        raise ProfileError("base_url must not hold a user or password: it is recorded")
    if parts.query or parts.fragment:
        raise ProfileError(f"base_url must have no query and no fragment, got {url!r}: {hint}")
    if parts.path.rstrip("/").endswith("/v1"):
        raise ProfileError(f"leave the API's path out of base_url, got {url!r}: {hint}")
