"""A provider whose answers never repeat the key that it was shown: some put the whole request into their errors."""

from __future__ import annotations

from collections.abc import AsyncIterator

from proxy.upstream import Call, Provider, Response

_INSTEAD = "[provider's key]"


class Concealed:
    def __init__(self, provider: Provider, key: str) -> None:
        self._provider, self._key = provider, key

    async def open(self, call: Call) -> Response:
        return _Concealed(await self._provider.open(call), self._key)

    async def close(self) -> None:
        await self._provider.close()


class _Concealed:
    def __init__(self, response: Response, key: str) -> None:
        self._response, self._key = response, key.encode()
        self.status = response.status
        self.headers = [(name, value.replace(key, _INSTEAD)) for name, value in response.headers]

    async def read(self) -> bytes:
        return (await self._response.read()).replace(self._key, _INSTEAD.encode())

    async def chunks(self) -> AsyncIterator[bytes]:
        kept = b""  # what may be the beginning of the key
        async for data in self._response.chunks():
            whole = (kept + data).replace(self._key, _INSTEAD.encode())
            kept = whole[len(whole) - self._begun(whole) :]
            if head := whole[: len(whole) - len(kept)]:
                yield head
        if kept:
            yield kept

    def _begun(self, data: bytes) -> int:
        """How many bytes at the end are a beginning of the key."""
        longest = min(len(data), len(self._key) - 1)
        return next((n for n in range(longest, 0, -1) if data.endswith(self._key[:n])), 0)

    def close(self) -> None:
        self._response.close()
