# SPDX-License-Identifier: Apache-2.0
"""A look at the service before a run: is it there, does it serve the model, how does it count."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import aiohttp

from loadgen.client import Client, Clock, Request
from loadgen.errors import TargetError
from loadgen.identity import identity
from loadgen.openai_family import model_names, model_owners
from loadgen.outcomes import Outcome
from loadgen.profile import Profile, Timeouts
from loadgen.prompts.calibration import Calibration, calibrate, check_room
from loadgen.prompts.spec import USER, Message, Prompt
from loadgen.provider import Ask, Provider, find_provider, providers

_PROBE_WAIT_S = 15.0
_HOSTS = {
    "fireworks.ai": "fireworks",
    "together": "together",
    "anyscale": "anyscale",
    "openai.com": "openai",
}
# Those that list no models: what the model is called where nobody says.
_MODELS = {"tgi": "tgi", "triton-generate": "ensemble", "triton-infer": "ensemble"}


async def check_target(session: aiohttp.ClientSession, profile: Profile) -> None:
    """Ask the service for its models, so that a wrong address or name fails before the run.

    Raises
    ------
    TargetError
        If there is no good answer, or the model is not in it.
    """
    probe = find_provider(profile.provider).probe(profile.model)
    url = profile.base_url + probe.path
    body = await _get(session, url, profile.timeouts.connect_s + 10)
    if probe.models is None:
        return
    try:
        models = probe.models(body)
    except (ValueError, KeyError, TypeError) as error:
        raise TargetError(f"{url} gave no list of models. {_hint(url)}") from error
    if profile.model not in models:
        raise TargetError(
            f"{profile.base_url} doesn't serve {profile.model!r}; "
            f"it serves {', '.join(map(repr, models)) or 'no model'}"
        )


@dataclass(frozen=True, slots=True)
class Found:
    """What a service says of itself."""

    model: str
    provider: str


async def discover(
    session: aiohttp.ClientSession, base_url: str, provider: str | None, model: str | None
) -> Found:
    """Find out the model, and the provider where it is ``auto``.

    Parameters
    ----------
    session, base_url
        Where to ask.
    provider
        ``auto`` goes by the address's host, then by what the list of models says; ``None`` is
        vLLM's.
    model
        ``None`` takes the first one of the list; Triton's is ``ensemble``, as TensorRT-LLM has it.

    Raises
    ------
    TargetError
        If there is no good answer, or no model in it.
    """
    host = urlsplit(base_url).hostname or ""
    guessed = next((name for part, name in _HOSTS.items() if part in host), None)
    chosen = guessed if provider == "auto" else find_provider(provider or "vllm").name
    if chosen in _MODELS:
        return Found(model or _MODELS[chosen], chosen)
    url = f"{base_url}/v1/models"
    body = await _get(session, url, _PROBE_WAIT_S)
    try:
        models, owners = model_names(body), model_owners(body)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TargetError(f"{url} gave no list of models. {_hint(url)}") from error
    if model is None and not models:
        raise TargetError(f"{url} lists no model: name one (--model)")
    owned = next((owner for owner in owners if owner in providers()), "openai")
    return Found(model or models[0], chosen or owned)


async def calibrate_prompts(
    session: aiohttp.ClientSession, profile: Profile, provider: Provider, api_key: str | None
) -> Calibration:
    """Learn how the service counts, by some requests for one token each.

    Raises
    ------
    TargetError
        If it doesn't answer them, or doesn't count.
    ProfileError
        If the profile's prompts are shorter than what it adds.
    """
    clock = Clock()
    # A load whose clients are to give up early still has to be told how long its prompts are.
    patient = replace(profile, timeouts=Timeouts())
    client = Client(session, patient, provider, clock, api_key, stopping=lambda: False)
    sent = 0

    async def count(words: str) -> int:
        nonlocal sent
        sent += 1
        ask = Ask(
            model=profile.model,
            prompt=Prompt((Message(USER, words),)),
            output_tokens=1,
            api=profile.api,
        )
        record = await client.perform(
            Request(
                index=-sent,
                phase="calibration",
                scheduled_ns=clock.now_ns(),
                identity=identity(profile.seed, -sent),
                body=provider.body(ask),
            )
        )
        # One token may well be an empty text.
        if record.outcome not in (Outcome.SUCCESS, Outcome.EMPTY) or record.prompt_tokens is None:
            raise TargetError(
                "prompts can't be calibrated: the service "
                + (f"answered {record.outcome} ({record.error})" if record.error else "")
                + ("" if record.error else "doesn't count the tokens of a prompt")
            )
        return record.prompt_tokens

    found = await calibrate(count, profile.seed)
    check_room(found, profile.prompt_tokens, profile.prompts.shared_tokens)
    return found


async def _get(session: aiohttp.ClientSession, url: str, wait_s: float) -> bytes:
    wait = aiohttp.ClientTimeout(total=wait_s)
    try:
        async with session.get(url, timeout=wait) as response:
            body = await response.read()
            status = response.status
    except TimeoutError as error:
        raise TargetError(f"no answer from {url} within {wait_s:g} s. {_hint(url)}") from error
    except (aiohttp.ClientError, OSError) as error:
        raise TargetError(f"can't reach {url}: {error}. {_hint(url)}") from error
    if status != 200:
        raise TargetError(f"{url} answered with HTTP status {status}. {_hint(url)}")
    return body


def _hint(url: str) -> str:
    return f"Is the service up, and is this its address? Try: curl {url}"
