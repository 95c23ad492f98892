"""What placeholders stand for in conversations that the provider keeps, in Redis, for as long as the config says.

A request that has all of its conversation with it needs none of this. One that only names what came before it
(`previous_response_id`, `conversation`) may be answered with placeholders of earlier requests. What they stand for is found
again by the caller who gave it, under the name of the response, and by nobody else: both the place where it lies and the key
that it is sealed with are made from the config's key, the caller's own, and that name.
"""

from __future__ import annotations

import hmac
import json
import logging
import time
from base64 import urlsafe_b64encode
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from proxy.config import Restore
from proxy.text.redact import Known

log = logging.getLogger("weir")

PATIENCE = 0.5  # seconds that Redis has to answer
PAUSE = 2.0  # seconds without Redis before it is asked again


class Names:
    def __init__(self, settings: Restore) -> None:
        import redis.asyncio as redis  # an extra, asked for by the config
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import RedisError

        self._redis: Any = redis.Redis.from_url(
            settings.url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE, retry=Retry(NoBackoff(), 0)
        )
        self._errors = (RedisError, OSError, TimeoutError)
        self._secret = settings.key.encode()
        self._life = max(1, int(settings.lifetime))
        self._again = 0.0

    async def find(self, caller: str, conversation: str) -> Known | None:
        """None: nobody here knows. Never raises for Redis's sake."""
        if time.monotonic() < self._again:
            return None
        try:
            sealed = await self._redis.get(self._place(caller, conversation))
        except self._errors as problem:
            self._failed(problem)
            return None
        return self._opened(caller, conversation, sealed) if sealed is not None else None

    async def keep(self, caller: str, conversation: str, known: Known) -> None:
        if time.monotonic() < self._again:
            return
        sealed = self._seal(caller, conversation).encrypt(json.dumps(known).encode())
        try:
            await self._redis.set(self._place(caller, conversation), sealed, ex=self._life)
        except self._errors as problem:
            self._failed(problem)

    async def close(self) -> None:
        await self._redis.aclose()

    def _place(self, caller: str, conversation: str) -> bytes:
        return b"weir:names:" + hmac.digest(self._secret, _both(caller, conversation), "sha256").hex().encode()

    def _seal(self, caller: str, conversation: str) -> Fernet:
        derived = HKDF(SHA256(), 32, salt=None, info=b"weir names " + _both(caller, conversation)).derive(self._secret)
        return Fernet(urlsafe_b64encode(derived))

    def _opened(self, caller: str, conversation: str, sealed: bytes) -> Known | None:
        try:
            found = json.loads(self._seal(caller, conversation).decrypt(sealed))
        except (InvalidToken, ValueError):
            return None  # sealed with another key, or changed since
        return {name: (label, value) for name, (label, value) in found.items()}

    def _failed(self, problem: BaseException) -> None:
        if time.monotonic() >= self._again:
            log.warning("the names' Redis does not answer", extra={"fields": {"problem": type(problem).__name__}})
        self._again = time.monotonic() + PAUSE


def _both(caller: str, conversation: str) -> bytes:
    return json.dumps([caller, conversation]).encode()
