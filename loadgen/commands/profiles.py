# SPDX-License-Identifier: Apache-2.0
"""The load profile that options ask for; the service is asked for what they leave out."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from loadgen.arrivals import Arrivals
from loadgen.client import open_session
from loadgen.commands.run_options import API_KEY_VARIABLE
from loadgen.errors import ProfileError
from loadgen.profile import Profile, Timeouts
from loadgen.prompts.spec import Prompts
from loadgen.target import discover
from loadgen.workload import Api, Bursts, ClosedLoop, Lengths, Trace
from rcalab_common.slo import Slo


async def complete(arguments: argparse.Namespace, api_key: str | None) -> Profile:
    """Make the profile; ask the service for the model and the provider where they are missing.

    Raises
    ------
    ProfileError
        If an option is out of its range; all are checked before the service is asked.
    TargetError
        If the service doesn't say what is missing.
    """
    if arguments.url is None:
        raise ProfileError("name the service: --url http://127.0.0.1:8000")
    chosen = {
        "base_url": arguments.url,
        "model": arguments.model,
        "provider": arguments.provider,
    }
    # Everything else is checked first, so that a wrong option needs no service to be told.
    draft = _profile(
        arguments, chosen | {"model": arguments.model or "?", "provider": _known(chosen)}
    )
    if arguments.model is None or arguments.provider == "auto":
        async with open_session(draft.timeouts, api_key) as session:
            found = await discover(session, draft.base_url, chosen["provider"], arguments.model)
        chosen |= {"model": found.model, "provider": found.provider}
    return _profile(arguments, chosen | {"provider": _known(chosen)})


def _known(chosen: dict[str, Any]) -> str:
    default = "vllm" if chosen["provider"] in (None, "auto") else chosen["provider"]
    return str(default)


def _profile(arguments: argparse.Namespace, chosen: dict[str, Any]) -> Profile:
    return Profile(
        **chosen,
        **_load(arguments),
        **_given(arguments, "prompt_tokens", "output_tokens"),
        duration_s=arguments.duration,
        requests=arguments.requests,
        warmup_s=arguments.warmup,
        prompts=_prompts(arguments),
        outputs=Lengths(
            distribution=arguments.output_distribution,
            range=arguments.output_range,
            cap=arguments.output_cap,
        ),
        seed=arguments.seed,
        api=Api(**_given(arguments, "endpoint", "stream", "temperature", "logprobs")),
        timeouts=Timeouts(
            connect_s=arguments.connect_timeout,
            first_byte_s=arguments.first_byte_timeout,
            stall_s=arguments.stall_timeout,
            total_s=arguments.total_timeout,
        ),
        slo=_slo(arguments),
        drain_s=arguments.drain,
        processes=arguments.processes,
    )


def _given(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Return the options that were given; the others are left to the profile's own defaults."""
    found = {name: getattr(arguments, name) for name in names}
    return {name: value for name, value in found.items() if value is not None}


def _load(arguments: argparse.Namespace) -> dict[str, Any]:
    bursts = closed = trace = None
    if arguments.burst_every is not None:
        bursts = Bursts(every_s=arguments.burst_every, size=arguments.burst_size)
    if arguments.users is not None:
        closed = ClosedLoop(
            users=arguments.users,
            think_s=arguments.think,
            thinking=arguments.thinking,
            spawn_per_s=arguments.spawn_rate,
        )
    if arguments.trace is not None:
        trace = Trace(
            path=arguments.trace, format=arguments.trace_format, speed=arguments.trace_speed
        )
    return {
        "rate_per_s": arguments.rate,
        "curve": arguments.curve,
        "bursts": bursts,
        "closed": closed,
        "trace": trace,
        "arrivals": Arrivals(distribution=arguments.arrivals, burstiness=arguments.burstiness),
    }


def _prompts(arguments: argparse.Namespace) -> Prompts:
    kind = arguments.prompts
    text = _text(arguments.prompt_text)
    if arguments.prompt_file is not None:
        kind = "file"
    elif text is not None:
        kind = "text"
    elif kind is None:
        padded = arguments.prompt_chars is not None or arguments.prompt_randomize
        kind = "padding" if padded else "synthetic"
    return Prompts(
        kind=kind,
        exact=arguments.exact,
        shared_tokens=arguments.shared_tokens,
        groups=arguments.prefix_groups,
        zipf=arguments.zipf,
        turns=arguments.turns,
        sessions=arguments.sessions,
        text=text,
        randomize=arguments.prompt_randomize,
        chars=arguments.prompt_chars,
        path=arguments.prompt_file,
        format=arguments.prompt_format,
    )


def _text(given: str | None) -> str | None:
    """Return a prompt's text, read from a file where it is ``@`` and the file's name."""
    if given is None or not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(f"can't read the prompt from {given[1:]}: {error}") from error


def _slo(arguments: argparse.Namespace) -> Slo:
    try:
        return Slo(
            ttft_ms=arguments.slo_ttft_ms,
            latency_ms=arguments.slo_latency_ms,
            target=arguments.slo_target,
            window_s=arguments.slo_window,
        )
    except ValueError as error:
        raise ProfileError(str(error)) from error


def read_api_key(path: Path | None) -> str | None:
    """Read the key from the file or the environment: a command line shows in every `ps`.

    Raises
    ------
    ProfileError
        If the file can't be read.
    """
    if path is None:
        return os.environ.get(API_KEY_VARIABLE)
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(f"can't read the API key from {path}: {error}") from error
