"""Two ways to one provider: by what it speaks itself, and for other APIs by a translation."""

from __future__ import annotations

from collections.abc import Collection

from proxy.upstream import Call, Provider, Response


class Translating:
    def __init__(self, own: Provider, translated: Provider, paths: Collection[str]) -> None:
        self._own, self._translated = own, translated
        self._paths = frozenset(paths)

    async def open(self, call: Call) -> Response:
        # What counts the tokens of an API goes where that API goes.
        translates = call.path.removesuffix("/count_tokens") in self._paths
        return await (self._translated if translates else self._own).open(call)

    async def close(self) -> None:
        await self._own.close()
        await self._translated.close()
