# SPDX-License-Identifier: Apache-2.0
"""What a provider is: how to ask a service, and how to read its answer.

A provider is a module of :mod:`loadgen.providers` with a ``PROVIDER``; nothing else lists it.
Reading is a pure function of the bytes and their times: the client only collects them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Protocol

from loadgen import providers as _package
from loadgen.errors import ProfileError
from loadgen.outcomes import Outcome
from loadgen.prompts.spec import Prompt
from loadgen.workload import Api

Chunks = Sequence[tuple[int, bytes]]
"""Arrival time (ns) and bytes of each piece of a body, in order, cut anywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What one request asks for."""

    model: str
    prompt: Prompt
    output_tokens: int
    api: Api


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What an answer's body says.

    Parameters
    ----------
    outcome
        The body's own verdict, as if its transport had ended well: ``success``, ``truncated``,
        ``inband_error``, ``malformed`` or ``empty``.
    error
        What was wrong with it, or ``None``.
    first_token_ns, last_token_ns, terminal_ns
        Arrival of the first and last content frame and of the terminal frame.
    prompt_tokens, output_tokens, token_source
        Counts, and where ``output_tokens`` is from: ``usage``, ``logprobs``, ``details`` or
        ``chunks``.
    implied_end
        Whether the success rests on the transport's good end alone, for want of a terminal frame.
    """

    outcome: Outcome
    error: str | None = None
    first_token_ns: int | None = None
    last_token_ns: int | None = None
    terminal_ns: int | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    token_source: str | None = None
    implied_end: bool = False


@dataclass(frozen=True, slots=True)
class Probe:
    """How to see before a run that a service is there and serves the model.

    Parameters
    ----------
    path
        What to get; status 200 is the good answer.
    models
        Reads the names of the served models out of it; raises ``ValueError``, ``KeyError`` or
        ``TypeError`` on anything else. ``None`` where the good status says it all.
    """

    path: str
    models: Callable[[bytes], list[str]] | None = None


class Provider(Protocol):
    """One dialect of asking for tokens."""

    @property
    def name(self) -> str:
        """Name as ``--provider`` takes it."""

    def check(self, api: Api) -> None:
        """Raise :class:`ProfileError` for what this provider doesn't offer."""

    def counts_prompts(self, api: Api) -> bool:
        """Say whether its answers tell the number of the prompt's tokens."""

    def path(self, model: str, api: Api) -> str:
        """Return the path of the endpoint below the service's root."""

    def probe(self, model: str) -> Probe:
        """Return how to look for the model."""

    def body(self, ask: Ask) -> bytes:
        """Write the JSON body of one request."""

    def read(self, chunks: Chunks, api: Api) -> Reading:
        """Read pieces of a body with their arrival times (ns); never raises, whatever they hold."""


@cache
def providers() -> dict[str, Provider]:
    """Return every provider by its name."""
    found: dict[str, Provider] = {}
    for module in iter_modules(_package.__path__):
        provider: Provider = import_module(f"{_package.__name__}.{module.name}").PROVIDER
        found[provider.name] = provider
    return found


def find_provider(name: str) -> Provider:
    """Return a provider by its name, in which ``_`` is as good as ``-``.

    Raises
    ------
    ProfileError
        If there is none; the message lists them.
    """
    provider = providers().get(name.replace("_", "-"))
    if provider is None:
        raise ProfileError(
            f"provider must be one of {', '.join(sorted(providers()))}, got {name!r}"
        )
    return provider
