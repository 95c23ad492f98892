"""Verdicts that several Weirs remember together, in Redis: a turn that one has judged no other judges again.

What lies there tells nobody what was said. A verdict's name is a keyed hash of the text and of all else that it depends on, the
policy and the model among it; the verdict itself has rules, scores and places, never text. Whoever can write there and has not
the key cannot make a verdict: each is signed together with its name. Redis is never waited for long: when it does not answer,
nothing is known there, and what is judged is remembered here alone.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any

import msgspec

from proxy import __version__, metrics
from proxy.config import Verdicts
from proxy.server.conversation import Memory
from proxy.types import Verdict

log = logging.getLogger("weir")

PATIENCE = 0.1  # seconds that Redis has to answer
PAUSE = 2.0  # seconds without Redis before it is asked again
_SIGNED = 16  # bytes
VERSION = __version__.encode()


class Shared(Memory):
    """In front of it is what this process remembers by itself."""

    def __init__(self, settings: Verdicts) -> None:
        import redis.asyncio as redis  # an extra, asked for by the config
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import RedisError

        super().__init__()
        self._redis: Any = redis.Redis.from_url(
            settings.url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE, retry=Retry(NoBackoff(), 0)
        )
        self._errors = (RedisError, OSError, TimeoutError)
        self._secret = settings.key.encode()
        self._life = max(1, int(settings.lifetime))
        self._fresh: list[tuple[bytes, Verdict]] = []
        self._writing: set[asyncio.Task[None]] = set()
        self._again = 0.0

    async def fetch(self, keys: Sequence[bytes]) -> None:
        missing = [key for key in keys if self.get(key) is None]
        if not missing or time.monotonic() < self._again:
            return
        names = [self._name(key) for key in missing]
        try:
            found = await self._redis.mget(names)
        except self._errors as problem:
            self._failed(problem)
            return
        for key, name, raw in zip(missing, names, found, strict=True):
            verdict = self._opened(name, raw) if raw is not None else None
            metrics.verdicts_shared.labels("hit" if verdict is not None else "miss").inc()
            if verdict is not None:
                super().put(key, verdict)

    def put(self, key: bytes, verdict: Verdict) -> None:
        super().put(key, verdict)
        if self.get(key) is verdict:
            self._fresh.append((key, verdict))

    def flush(self) -> None:
        fresh, self._fresh = self._fresh, []
        if fresh and time.monotonic() >= self._again and len(self._writing) < 64:
            task = asyncio.create_task(self._write(fresh))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)

    async def close(self) -> None:
        await asyncio.gather(*self._writing, return_exceptions=True)
        await self._redis.aclose()

    async def _write(self, fresh: list[tuple[bytes, Verdict]]) -> None:
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for key, verdict in fresh:
                    name = self._name(key)
                    pipeline.set(name, self._sealed(name, verdict), ex=self._life)
                await pipeline.execute()
        except self._errors as problem:
            self._failed(problem)

    def _name(self, key: bytes) -> bytes:
        return b"weir:verdict:" + blake2b(VERSION + key, digest_size=20, key=self._secret[:64]).hexdigest().encode()

    def _sealed(self, name: bytes, verdict: Verdict) -> bytes:
        """Without what a judge said of the text: it may quote it."""
        silent = replace(verdict, outcomes=tuple(replace(one, rationale="") for one in verdict.outcomes))
        raw = msgspec.msgpack.encode(silent)
        return self._signature(name, raw) + raw

    def _opened(self, name: bytes, sealed: bytes) -> Verdict | None:
        signature, raw = sealed[:_SIGNED], sealed[_SIGNED:]
        if not hmac.compare_digest(signature, self._signature(name, raw)):
            return None
        try:
            return msgspec.msgpack.decode(raw, type=Verdict)
        except msgspec.DecodeError:
            return None  # another version's

    def _signature(self, name: bytes, raw: bytes) -> bytes:
        return blake2b(name + raw, digest_size=_SIGNED, key=self._secret[:64], person=b"weir-verdict").digest()

    def _failed(self, problem: BaseException) -> None:
        metrics.verdicts_shared.labels("error").inc()
        if time.monotonic() >= self._again:
            fields = {"problem": type(problem).__name__}
            log.warning("the verdicts' Redis does not answer", extra={"fields": fields})
        self._again = time.monotonic() + PAUSE
