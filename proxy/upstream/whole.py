"""An answer that is there at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable


class Whole:
    def __init__(self, body: bytes, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> None:
        self.status, self._body = status, body
        self.headers = [("content-type", "application/json"), *headers]

    async def read(self) -> bytes:
        return self._body

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._body

    def close(self) -> None:
        return None
