# SPDX-License-Identifier: Apache-2.0
"""What load to put on which service: the one input of a run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from loadgen.arrivals import Arrivals
from loadgen.checks import check_number
from loadgen.curves import MAX_RATE_PER_S, parse_curve
from loadgen.errors import ProfileError
from loadgen.prompts.padding import least_tokens
from loadgen.prompts.spec import MIN_PROMPT_TOKENS, Prompts
from loadgen.provider import find_provider
from loadgen.workload import Api, Bursts, ClosedLoop, Lengths, Trace, check_one_source
from rcalab_common.slo import Slo

MAX_PROCESSES = 64


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
            check_number(f"timeout {name}", getattr(self, name), above=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A load on one model of one service: by rate, by bursts, by users, or as it was recorded.

    Give one of ``rate_per_s``, ``curve``, ``bursts``, ``closed`` and ``trace``, and an end:
    ``duration_s``, ``requests``, or both, of which the first counts. A trace has an end of its own.

    Parameters
    ----------
    base_url
        Root of the service, without the API's path: ``http://127.0.0.1:8000``.
    model
        Name of the model, as ``/v1/models`` lists it.
    rate_per_s
        Requests per second.
    curve
        A rate that changes, as :func:`loadgen.curves.parse_curve` reads it.
    arrivals
        How irregular the gaps are, for a rate or a curve.
    bursts, closed, trace
        Other loads, see :mod:`loadgen.workload`.
    duration_s, warmup_s
        Length of the measured phase, and of the warm-up that comes before it, in seconds.
    requests
        Measured requests after which the load ends.
    prompt_tokens
        Words of a prompt: about its tokens, or exactly with ``prompts.exact``. The service's own
        count is in each record.
    prompts
        Where prompts come from.
    output_tokens
        Tokens to ask for: the mean of their distribution.
    outputs
        That distribution.
    seed
        Prompts, identifiers and schedule follow from it.
    provider
        Dialect of the service, one of :func:`loadgen.provider.providers`.
    api
        Endpoint, streaming or not, sampling.
    timeouts, slo
        See :class:`Timeouts` and :class:`rcalab_common.slo.Slo`.
    drain_s
        How long requests in flight at the end may still finish; then they count as censored.
    processes
        How many processes send; each takes its share of the one schedule.

    Raises
    ------
    ProfileError
        If a value is out of its range; the message names the field, the range and the value.
    """

    CONTENT: ClassVar[tuple[str, ...]] = ("prompt_tokens", "prompts", "output_tokens", "outputs")

    base_url: str
    model: str
    rate_per_s: float | None = None
    curve: str | None = None
    bursts: Bursts | None = None
    closed: ClosedLoop | None = None
    trace: Trace | None = None
    arrivals: Arrivals = field(default_factory=Arrivals)
    duration_s: float | None = None
    requests: int | None = None
    warmup_s: float = 0.0
    prompt_tokens: int = 128
    prompts: Prompts = field(default_factory=Prompts)
    output_tokens: int = 64
    outputs: Lengths = field(default_factory=Lengths)
    seed: int = 0
    provider: str = "vllm"
    api: Api = field(default_factory=Api)
    timeouts: Timeouts = field(default_factory=Timeouts)
    slo: Slo = field(default_factory=Slo)
    drain_s: float = 30.0
    processes: int = 1

    def __post_init__(self) -> None:
        _check_url(self.base_url)
        object.__setattr__(self, "base_url", self.base_url.rstrip("/"))
        if not self.model.strip():
            raise ProfileError("model must be the name of a served model, got an empty one")
        self._check_load()
        check_number("warmup_s", self.warmup_s, least=0, most=86_400)
        check_number("drain_s", self.drain_s, least=0, most=3_600)
        check_number("prompt_tokens", self.prompt_tokens, least=self._least_prompt, most=1_000_000)
        check_number("output_tokens", self.output_tokens, least=1, most=1_000_000)
        check_number("seed", self.seed, least=0)
        check_number("processes", self.processes, least=1, most=MAX_PROCESSES)
        provider = find_provider(self.provider)
        object.__setattr__(self, "provider", provider.name)
        provider.check(self.api)
        if self.prompts.exact and not provider.counts_prompts(self.api):
            raise ProfileError(
                f"provider {provider.name} doesn't count the tokens of a prompt: "
                "leave out exact prompts"
            )

    def _check_load(self) -> None:
        source = check_one_source(
            {name: getattr(self, name) for name in ("rate_per_s", "curve", "bursts", "closed")}
            | {"trace": self.trace}
        )
        if self.rate_per_s is not None:
            check_number("rate_per_s", self.rate_per_s, above=0, most=MAX_RATE_PER_S)
        if self.curve is not None:
            parse_curve(self.curve)
        if source not in ("rate_per_s", "curve") and self.arrivals != Arrivals():
            raise ProfileError("arrivals belong to a rate or a curve, not to bursts, users, traces")
        if source == "trace" and self.prompts.turns > 1:
            raise ProfileError("a trace has its own prompts: leave out turns")
        if self.duration_s is not None:
            check_number("duration_s", self.duration_s, above=0, most=86_400)
        if self.requests is not None:
            check_number("requests", self.requests, least=1, most=10_000_000)
        if self.duration_s is None and self.requests is None and source != "trace":
            raise ProfileError("give the load an end: duration_s, requests, or both")

    @property
    def _least_prompt(self) -> int:
        prompts = self.prompts
        if prompts.kind == "padding" and prompts.chars is None:
            return least_tokens(randomize=prompts.randomize)
        return MIN_PROMPT_TOKENS + prompts.shared_tokens

    def to_dict(self) -> dict[str, Any]:
        """Return the profile as plain JSON values, for the summary."""
        values: dict[str, Any] = _plain(asdict(self))
        if self.prompts.text is not None:
            # What was asked is nobody's business but the service's.
            values["prompts"]["text"] = f"{len(self.prompts.text)} characters"
        return values


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return str(value) if isinstance(value, Path) else value


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
