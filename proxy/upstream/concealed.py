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
        async for data in self._response.chunks():
            yield data.replace(self._key, _INSTEAD.encode())

    def close(self) -> None:
        self._response.close()
