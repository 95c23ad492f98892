"""Whom Weir talks to: providers, judges, Redis, a collector of traces. They are asked for nothing that costs money."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import msgspec

from proxy.config import (
    AnthropicProvider,
    AzureProvider,
    Config,
    JudgeDetector,
    LiteLLMProvider,
    OipDetector,
    OpenAIProvider,
    Provider,
)
from proxy.doctor.finding import Finding, fine, note, wrong
from proxy.model.artefact import Artefact, ModelError
from proxy.model.network import Unavailable
from proxy.model.oip import Server

PATIENCE = 5.0  # seconds
SKEW = 60.0  # seconds that two clocks may differ


class Answer(NamedTuple):
    status: int
    date: float | None  # the other's clock
    models: frozenset[str]


async def check(config: Config) -> list[Finding]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE)) as session:
        asked = [_provider(session, f"providers.{name}", one) for name, one in config.providers.items()]
        judges = [(name, one) for name, one in config.judges.items() if isinstance(one, JudgeDetector)]
        asked += [_asked(session, f"detectors.{name}", _bearer(one), one.model) for name, one in judges]
        found = [one for part in await asyncio.gather(*asked) for one in part]
    served = [(n, d) for n, d in config.detectors.items() if isinstance(d, OipDetector)]
    found += await asyncio.gather(*(asyncio.to_thread(_served, n, d, config.folder_of(d)) for n, d in served))
    for about, url in (("limits", config.limits.url), ("verdicts", config.verdicts.url if config.verdicts else None)):
        found += [one async for one in _redis(about, url)]
    found += [one async for one in _collector(config.telemetry.endpoint if config.telemetry else None)]
    return found


def _served(name: str, settings: OipDetector, folder: Path) -> Finding:
    about, server = f"detectors.{name}", Server.of(settings)
    try:
        server.fit(Artefact.load(folder, elsewhere=True))
        server.alive()
    except (ModelError, Unavailable) as problem:
        return wrong(about, f"{settings.model} on its server: {problem}", "start it, or correct base_url, model and manifest")
    finally:
        server.close()
    return fine(about, f"{settings.model} is served, and is the manifest's model")


class Door(NamedTuple):
    """What is asked for, and the key that is shown."""

    url: str
    headers: dict[str, str]
    has_key: bool


def _bearer(settings: OpenAIProvider | JudgeDetector) -> Door:
    headers = {"authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
    return Door(settings.base_url.rstrip("/") + "/models", headers, bool(headers))


def _door(settings: Provider) -> Door | None:
    """None: there is nowhere to knock."""
    match settings:
        case OpenAIProvider():
            return _bearer(settings)
        case AnthropicProvider(base_url=base, api_key=key):
            headers = {"anthropic-version": "2023-06-01", **({"x-api-key": key} if key else {})}
            return Door(base.rstrip("/") + "/models", headers, bool(key))
        case AzureProvider(base_url=base, api_key=key):
            return Door(base.rstrip("/") + "/openai/v1/models", {"api-key": key} if key else {}, bool(key))
        case LiteLLMProvider(base_url=str(base)):
            return Door(base, {}, False)
        case _:
            return None


async def _provider(session: aiohttp.ClientSession, about: str, settings: Provider) -> list[Finding]:
    door = _door(settings)
    return await _asked(session, about, door, None) if door is not None else []


async def _asked(session: aiohttp.ClientSession, about: str, door: Door, model: str | None) -> list[Finding]:
    parts = urlsplit(door.url)
    where = f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
    try:
        answer = await _get(session, door)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as problem:
        return [wrong(about, f"{where}: {_why(problem)}", "start it, or correct its base_url; a firewall may stand between")]
    return list(_read(about, where, answer, door.has_key, model))


async def _get(session: aiohttp.ClientSession, door: Door) -> Answer:
    async with session.get(door.url, headers=door.headers, allow_redirects=False) as response:
        body = await response.content.read(1_000_000)
        date = response.headers.get("date")
        return Answer(response.status, _moment(date), _models(body))


def _moment(date: str | None) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except ValueError:
        return None


def _models(body: bytes) -> frozenset[str]:
    try:
        found = msgspec.json.decode(body)
        return frozenset(str(one["id"]) for one in found["data"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return frozenset()


def _read(
    about: str, where: str, answer: Answer, has_key: bool, model: str | None, now: float | None = None
) -> Iterator[Finding]:
    now = time.time() if now is None else now
    if answer.date is not None and abs(answer.date - now) > SKEW:
        text = f"the clocks of {where} and of this machine differ by {abs(answer.date - now):.0f} s"
        yield note("clock", text, "keep this one right with NTP: keys expire by it, and the decision log is written by it")
    if answer.status in (401, 403):
        if has_key:
            yield wrong(about, f"{where} refuses the api_key ({answer.status})", "put the right one into its variable")
        else:
            yield fine(about, f"{where} answers, and asks for a key; callers' own are passed on")
    elif answer.status >= 500:
        yield wrong(about, f"{where} answers {answer.status}", "it is in trouble itself: its own log tells")
    elif model is not None and answer.models and model not in answer.models:
        shown = ", ".join(sorted(answer.models)[:5])
        yield wrong(about, f'{where} has no model "{model}"', f"load it there, or name one that it has: {shown}")
    else:
        yield fine(about, f"{where} answers")


async def _redis(about: str, url: str | None) -> AsyncIterator[Finding]:
    if url is None:
        return
    import redis.asyncio as redis  # an extra, asked for by the config
    from redis.exceptions import AuthenticationError, RedisError

    client: Any = redis.Redis.from_url(url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)
    try:
        await client.ping()
    except AuthenticationError:
        yield wrong(about, "Redis refuses the password", f"correct {about}.url")
    except (RedisError, OSError, TimeoutError) as problem:
        yield wrong(about, f"Redis cannot be asked ({type(problem).__name__})", f"start it, or correct {about}.url")
    else:
        yield fine(about, "Redis answers")
    finally:
        await client.aclose()


async def _collector(endpoint: str | None) -> AsyncIterator[Finding]:
    """It may speak HTTP or gRPC; that somebody listens is enough. Nobody waits for it, so it is no reason not to start."""
    if endpoint is None:
        return
    parts = urlsplit(endpoint)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(PATIENCE):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        text = f"nobody listens at {host}:{port}: traces and metrics over OTLP are lost"
        yield note("telemetry", text, "start the collector, or correct telemetry.endpoint")
    else:
        writer.close()
        yield fine("telemetry", f"{host}:{port} listens")


def _why(problem: BaseException) -> str:
    if isinstance(problem, TimeoutError):
        return f"no answer in {PATIENCE:g} s"
    if isinstance(problem, aiohttp.ClientConnectorCertificateError | ssl.SSLError | aiohttp.ClientSSLError):
        return "its certificate is not trusted here"
    if isinstance(problem, aiohttp.ClientConnectorDNSError):
        return "its name is not known here"
    if isinstance(problem, aiohttp.ClientConnectorError):
        return f"cannot be reached ({problem.os_error.strerror or 'no connection'})"
    return f"does not speak HTTP as expected ({type(problem).__name__})"
