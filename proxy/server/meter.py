"""A provider's streamed answer, read along for the tokens that it says it has counted. For keys that are held to a number
of tokens or to a budget; nobody else's streams pass here."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from proxy.server.counters import LEASE
from proxy.server.limits import Grant
from proxy.upstream import Response, UpstreamError
from proxy.wire import sse
from proxy.wire.parts import decode
from proxy.wire.usage import usage_of

_ASKABLE = frozenset(("chat/completions", "completions"))  # only these count for those who ask


def asks_for_usage(path: str, body: dict[str, Any]) -> dict[str, Any] | None:
    """The body with a wish for a count, where it is a stream and its caller did not wish for one; else None."""
    options = body.get("stream_options")
    if path not in _ASKABLE or body.get("stream") is not True or not isinstance(options, dict | None):
        return None
    if options and options.get("include_usage"):
        return None
    return {**body, "stream_options": {**(options or {}), "include_usage": True}}


class Metered:
    """`hidden`: the count was Weir's wish and not the caller's, who does not see the event that has nothing else in it."""

    def __init__(self, response: Response, grant: Grant, hidden: bool) -> None:
        self._response, self._grant, self._hidden = response, grant, hidden
        self.status, self.headers = response.status, response.headers

    async def read(self) -> bytes:
        return await self._response.read()

    def close(self) -> None:
        self._response.close()

    async def chunks(self) -> AsyncIterator[bytes]:
        parser = sse.Parser()
        renewed = time.monotonic()
        async for data in self._response.chunks():
            if (now := time.monotonic()) > renewed + LEASE / 5:
                renewed = now
                await self._grant.renew()
            if not self._grant.counts_tokens:
                yield data
                continue
            try:
                kept = [event.raw for event in parser.feed(data) if self._passes(event)]
            except sse.EventTooLong as problem:
                raise UpstreamError("The upstream sent an event that is too long.", 502, "upstream_error") from problem
            if not self._hidden:
                yield data
            elif kept:
                yield b"".join(kept)
        rest = [event.raw for event in parser.flush() if self._passes(event)]
        if self._hidden and rest:
            yield b"".join(rest)

    def _passes(self, event: sse.Event) -> bool:
        if event.data is None or b'"usage"' not in event.data:
            return True
        try:
            body = decode(event.data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return True  # the guard says what is wrong with it
        usage = usage_of(body)
        self._grant.counted(usage)
        return not (self._hidden and usage is not None and body.get("choices") == [])
