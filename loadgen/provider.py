# SPDX-License-Identifier: Apache-2.0
"""What a provider is: how to ask a service, and how to read its answer.

A provider is a module of :mod:`loadgen.providers` with a ``PROVIDER``; nothing else lists it.
Reading is a pure function of the bytes and their times: the client only collects them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Protocol

from loadgen import providers as _package
from loadgen.outcomes import Outcome


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
        Counts, and where ``output_tokens`` is from: ``usage`` or ``chunks``.
    """

    outcome: Outcome
    error: str | None = None
    first_token_ns: int | None = None
    last_token_ns: int | None = None
    terminal_ns: int | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    token_source: str | None = None


class Provider(Protocol):
    """One dialect of asking for tokens."""

    @property
    def name(self) -> str:
        """Name as ``--provider`` takes it."""

    @property
    def path(self) -> str:
        """Path of the endpoint below the service's root."""

    def body(self, *, model: str, prompt: str, output_tokens: int) -> bytes:
        """Write the JSON body of one streaming request."""

    def read(self, chunks: Sequence[tuple[int, bytes]]) -> Reading:
        """Read pieces of a body with their arrival times (ns); never raises, whatever they hold."""


@cache
def providers() -> dict[str, Provider]:
    """Return every provider by its name."""
    found: dict[str, Provider] = {}
    for module in iter_modules(_package.__path__):
        provider: Provider = import_module(f"{_package.__name__}.{module.name}").PROVIDER
        found[provider.name] = provider
    return found
