"""Any server that speaks OpenAI's HTTP (or Anthropic's, at `messages`), over one pooled aiohttp session a process.

aiohttp and not httpx: the latter's transport costs eight times the CPU a request (`bench/`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp

from proxy.config import OpenAIProvider
from proxy.upstream import Call, Response, UpstreamError


class OpenAI:
    def __init__(self, settings: OpenAIProvider) -> None:
        self._root = settings.base_url.rstrip("/") + "/"
        self._key = settings.api_key
        timeouts = settings.timeouts
        self._timeout = aiohttp.ClientTimeout(
            total=timeouts.total, sock_connect=timeouts.connect, sock_read=max(timeouts.idle, timeouts.first_byte)
        )
        self._session: aiohttp.ClientSession | None = None

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30)
            self._session = aiohttp.ClientSession(
                connector=connector, auto_decompress=True, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session

    async def open(self, call: Call) -> Response:
        headers = dict(call.headers)
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
            if call.path.startswith("messages"):
                headers["x-api-key"] = self._key
        try:
            response = await self._client().request(
                call.method, self._root + call.path, data=call.body or None, headers=headers, timeout=self._timeout,
                allow_redirects=False,
            )  # fmt: skip
        except TimeoutError as error:
            raise UpstreamError("The provider did not answer in time.", 504, "upstream_timeout") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UpstreamError(f"The provider could not be reached ({type(error).__name__}).") from error
        return _Response(response)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


class _Response:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers = [(k.lower(), v) for k, v in response.headers.items()]

    async def read(self) -> bytes:
        try:
            return await self._response.read()
        except TimeoutError as error:
            raise UpstreamError("The provider fell silent.", 504, "upstream_timeout") from error
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamError("The provider broke off its answer.") from error

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for data in self._response.content.iter_any():
                yield data
        except TimeoutError as error:
            raise UpstreamError("The provider fell silent.", 504, "upstream_timeout") from error
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamError("The provider broke off its answer.") from error

    def close(self) -> None:
        self._response.close()
