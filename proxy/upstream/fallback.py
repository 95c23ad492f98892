"""Several providers as one: the first that answers is the provider."""

from __future__ import annotations

from collections.abc import Sequence

from proxy.upstream import Call, Provider, Response, UpstreamError

# Statuses that say something of the provider, not of the request: another one may well answer.
ELSEWHERE = frozenset((408, 429, 500, 502, 503, 504, 529))


class Fallbacks:
    """Goes on to the next provider while there is no answer, or none that is the request's own fault. What the last one
    says is the answer."""

    def __init__(self, providers: Sequence[Provider]) -> None:
        self._providers = providers

    async def open(self, call: Call) -> Response:
        for provider in self._providers[:-1]:
            try:
                response = await provider.open(call)
            except UpstreamError:
                continue
            if response.status not in ELSEWHERE:
                return response
            response.close()
        return await self._providers[-1].open(call)

    async def close(self) -> None:
        """The providers belong to who made them."""
