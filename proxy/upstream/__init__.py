"""The seam to providers: a request goes out, a status, headers and bytes come back.

Only this package knows which HTTP client is used.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol


class UpstreamError(Exception):
    """The provider could not be reached or fell silent. `status` is what the client should see."""

    def __init__(self, message: str, status: int = 502, code: str = "upstream_unreachable") -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a provider. `path` is below the API's root, as in `chat/completions`."""

    path: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)  # the caller's, already chosen
    method: str = "POST"


class Response(Protocol):
    status: int
    headers: list[tuple[str, str]]

    async def read(self) -> bytes:
        """The whole body. Raises UpstreamError."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises UpstreamError when it breaks off."""
        ...

    def close(self) -> None:
        """Stops the provider's work on it. Idempotent."""
        ...


class Provider(Protocol):
    async def open(self, call: Call) -> Response:
        """Raises UpstreamError when there is no answer at all."""
        ...

    async def close(self) -> None: ...
