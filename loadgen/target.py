# SPDX-License-Identifier: Apache-2.0
"""A look at the service before a run: is it there, does it serve the model, how does it count."""

from __future__ import annotations

import aiohttp

from loadgen.client import Client, Clock, Request
from loadgen.errors import TargetError
from loadgen.identity import identity
from loadgen.openai_family import model_names
from loadgen.outcomes import Outcome
from loadgen.profile import Profile
from loadgen.prompts.calibration import Calibration, calibrate, check_room
from loadgen.prompts.spec import USER, Message, Prompt
from loadgen.provider import Ask, Provider, find_provider

_PROBE_WAIT_S = 15.0


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


async def find_model(session: aiohttp.ClientSession, base_url: str) -> str:
    """Return the first model that a service lists.

    Raises
    ------
    TargetError
        If there is no good answer, or no model in it.
    """
    url = f"{base_url.rstrip('/')}/v1/models"
    body = await _get(session, url, _PROBE_WAIT_S)
    try:
        models = model_names(body)
    except (ValueError, KeyError, TypeError) as error:
        raise TargetError(f"{url} gave no list of models. {_hint(url)}") from error
    if not models:
        raise TargetError(f"{url} lists no model: name one (--model)")
    return models[0]


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
    client = Client(session, profile, provider, clock, api_key, stopping=lambda: False)
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
