"""A provider as routes know it: by its name, with what it calls the model, and how well it has been doing."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

import msgspec

from proxy import metrics
from proxy.breaker import Breaker
from proxy.config import Ejection, Retries
from proxy.upstream import Call, Provider, Response
from proxy.wire.parts import decode, encode

log = logging.getLogger("weir")


class Member:
    def __init__(
        self, name: str, provider: Provider, model: str | None = None, retries: Retries | None = None,
        ejection: Ejection | None = None,
    ) -> None:  # fmt: skip
        self.name, self.model = name, model
        self.retries, ejection = retries or Retries(), ejection or Ejection()
        self._provider = provider
        self._breaker = Breaker(ejection.failures, ejection.pause, ejection.longest)

    async def open(self, call: Call) -> Response:
        return await self._provider.open(self._named(call))

    def _named(self, call: Call) -> Call:
        if self.model is None or call.method != "POST":
            return call
        try:
            body = decode(call.body)
        except (msgspec.DecodeError, UnicodeDecodeError):  # a file on an unguarded path
            return call
        return replace(call, body=encode({**body, "model": self.model})) if isinstance(body, dict) and "model" in body else call

    async def close(self) -> None:
        await self._provider.close()

    # -- its health

    @property
    def ejected(self) -> bool:
        """It failed too often in a row, and nobody has found it well since."""
        return not self._breaker.closed

    @property
    def rests(self) -> bool:
        """It is left out at this moment."""
        return self._breaker.rests(time.monotonic())

    def asked(self) -> None:
        """If it is ejected this request is the one that tries it."""
        self._breaker.admits(time.monotonic())

    def answered(self) -> None:
        if self.ejected:
            log.info("a provider answers again", extra={"fields": {"provider": self.name}})
            metrics.ejected.labels(self.name).set(0)
        self._breaker.answered()

    def failed(self) -> None:
        was = self.ejected
        self._breaker.failed(time.monotonic())
        if self.ejected and not was:
            log.warning("a provider is left out", extra={"fields": {"provider": self.name, "failures": self._breaker.failures}})
            metrics.ejections.labels(self.name).inc()
            metrics.ejected.labels(self.name).set(1)
