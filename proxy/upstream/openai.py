"""Any server that speaks OpenAI's HTTP (or Anthropic's, at `messages`), over one pooled aiohttp session a process.

aiohttp and not httpx: the latter's transport costs eight times the CPU a request (`bench/`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
from aiohttp.http import HttpProcessingError  # no ClientError, where a body breaks the protocol

from proxy.config import HttpProvider, Timeouts
from proxy.upstream import Call, Response, UpstreamError


class OpenAI:
    def __init__(self, settings: HttpProvider) -> None:
        self._root = settings.base_url.rstrip("/") + "/"
        self._key = settings.api_key
        self._timeouts = settings.timeouts
        # The first byte's limit is for the status; `_Response` keeps the time of the body.
        self._timeout = aiohttp.ClientTimeout(
            total=self._timeouts.total, connect=self._timeouts.connect, sock_read=self._timeouts.first_byte
        )
        self._session: aiohttp.ClientSession | None = None

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30)
            self._session = aiohttp.ClientSession(
                connector=connector, auto_decompress=True, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session

    def url(self, call: Call) -> str:
        return self._root + call.path

    def headers(self, call: Call) -> dict[str, str]:
        headers = dict(call.headers)
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
            if call.path.startswith("messages"):
                headers["x-api-key"] = self._key
        return headers

    async def open(self, call: Call) -> Response:
        started = asyncio.get_running_loop().time()
        try:
            response = await self._client().request(
                call.method, self.url(call), data=call.body or None, headers=self.headers(call), timeout=self._timeout,
                allow_redirects=False,
            )  # fmt: skip
        except aiohttp.ConnectionTimeoutError as error:
            raise UpstreamError("The provider could not be reached in time.", 504, "upstream_timeout") from error
        except TimeoutError as error:
            raise UpstreamError("The provider did not answer in time.", 504, "upstream_timeout") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UpstreamError(f"The provider could not be reached ({type(error).__name__}).") from error
        if 300 <= response.status < 400:
            response.close()  # an SDK would follow it, past Weir
            raise UpstreamError(f"The provider answered with a redirect ({response.status}).", 502, "upstream_error")
        return _Response(response, self._timeouts, started)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


class _Response:
    def __init__(self, response: aiohttp.ClientResponse, timeouts: Timeouts, started: float) -> None:
        self._response = response
        self._idle = timeouts.idle
        self._first = max(started + timeouts.first_byte, asyncio.get_running_loop().time() + timeouts.idle)
        self._protocol = response.connection.protocol if response.connection is not None else None
        if self._protocol is not None:
            self._protocol.read_timeout = None
            self._protocol.start_timeout()  # with none: stops the one for the status
        self.status = response.status
        self.headers = [(k.lower(), v) for k, v in response.headers.items()]

    async def read(self) -> bytes:
        return b"".join([data async for data in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        clock = asyncio.get_running_loop().time
        until = self._first
        lost = self._protocol.closed if self._protocol is not None else None
        if lost is not None:
            lost.add_done_callback(self._told)
            lost.remove_done_callback(_seen)  # there once, however many answers a connection brings
            lost.add_done_callback(_seen)
        try:
            while True:
                async with asyncio.timeout_at(until):
                    data = await self._response.content.readany()
                if not data:
                    return
                yield data
                until = clock() + self._idle
        except TimeoutError as error:
            raise UpstreamError("The provider fell silent.", 504, "upstream_timeout") from error
        except (aiohttp.ClientError, HttpProcessingError, OSError, RuntimeError) as error:  # the last: closed before
            raise UpstreamError("The provider broke off its answer.", 502, "upstream_error") from error
        finally:
            if lost is not None:
                lost.remove_done_callback(self._told)
            if not self._response.content.at_eof():
                self._response.close()

    def _told(self, _: object) -> None:
        """Where a chunk has no size aiohttp closes the connection, and forgets to tell who waits for the body."""
        content = self._response.content
        error = self._protocol.exception() if self._protocol is not None else None
        if isinstance(error, HttpProcessingError) and content.exception() is None and not content.is_eof():
            content.set_exception(error)

    def close(self) -> None:
        self._response.close()


def _seen(lost: asyncio.Future[None]) -> None:
    """How a connection ended is nobody's concern when no answer is waited for; asyncio would say that nobody asked."""
    if not lost.cancelled():
        lost.exception()
