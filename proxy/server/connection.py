"""uvicorn's connection with deadlines: a client that dawdles over its headers, its body or an answer is cut.

uvicorn knows how long a connection may rest between two requests, and nothing more. Here one sweep a second looks at all
connections of a process; a request itself costs a few assignments and no timer.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from proxy import metrics
from proxy.config import Limits
from proxy.server.answers import respond
from proxy.wire.openai import error

log = logging.getLogger("weir")

HEADERS = 64 * 1024  # bytes of a request's head
SPARE = 64  # connections over the limit that are still told so; further ones are closed at once
SWEEP = 1.0  # seconds
LINGER = 1.0  # seconds without a byte after which a kept connection is closed when the process stops

_ENDED = {
    "slow headers": (b"408 Request Timeout", 408, "Your request's headers did not arrive in time.", "request_timeout"),
    "slow body": (b"408 Request Timeout", 408, "Your request's body did not arrive in time.", "request_timeout"),
    "long headers": (b"431 Request Header Fields Too Large", 431, "Your request's headers are too long.", "headers_too_long"),
}


class Connection(HttpToolsProtocol):
    limits = Limits()  # the process's; set before it listens
    draining = False  # the process stops

    _waiting_for: str = "slow headers"
    _deadline: float | None = None
    _head = 0  # bytes of a head that is not yet complete
    _sweeping: set[asyncio.AbstractEventLoop] = set()  # noqa: RUF012

    # -- what asyncio says

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        over = len(self.connections) - self.limits.connections
        if over > 0:
            metrics.connections_cut.labels("too many").inc()
            self.app = _full
        if over > SPARE:
            transport.abort()
            return
        self._expect("slow headers", self.limits.header_timeout)
        if self.loop not in self._sweeping:
            self._sweeping.add(self.loop)
            self.loop.call_later(SWEEP, self._sweep)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._deadline is None and self.timeout_keep_alive_task is None and self._is_idle:
            # Blank lines before a request end uvicorn's patience with an idle connection, and begin nothing.
            self._expect("slow headers", self.limits.header_timeout)
        if self._deadline is not None and self._waiting_for == "slow headers":
            self._head += len(data)
            if self._head > HEADERS:
                self._cut("long headers")

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect("slow reader", self.limits.reader_timeout)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._waiting_for == "slow reader":
            self._deadline = None

    # -- what the parser says

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._deadline is None:  # the first request has its time from the moment the connection was made
            self._expect("slow headers", self.limits.header_timeout)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._head = 0
        if self.draining:
            self.cycle.keep_alive = False  # said in the answer's head, so that the client sends nothing more here
        if self._waiting_for != "slow reader" or self._deadline is None:
            self._expect("slow body", self.limits.body_timeout)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if self._waiting_for == "slow body":
            self._deadline = None

    # -- the end of the process

    def shutdown(self) -> None:
        """Nothing is closed under a request that may be on its way: what comes next is answered, with `connection: close`."""
        if self.cycle is not None and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.draining and not self.transport.is_closing():
            self.loop.call_later(LINGER, self.close_if_silent)

    def close_if_silent(self) -> None:
        if self._is_idle and not self._head and not self.transport.is_closing():
            self.transport.close()

    # -- deadlines

    @property
    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    @property
    def _is_behind(self) -> bool:
        """What is being received is a next request, behind one that is still being answered: nobody waits for it."""
        in_head = self._waiting_for == "slow headers" and not self._is_idle
        return in_head or bool(self.pipeline) or self.flow.read_paused

    def _expect(self, what: str, seconds: float) -> None:
        self._waiting_for, self._deadline = what, self.loop.time() + seconds

    def _sweep(self) -> None:
        """Of all connections, on behalf of whichever was there first."""
        now = self.loop.time()
        for one in list(self.connections):
            if isinstance(one, Connection):
                one._look(now)
        if self.connections:
            self.loop.call_later(SWEEP, self._sweep)
        else:
            self._sweeping.discard(self.loop)

    def _look(self, now: float) -> None:
        if self._deadline is None:
            if self.transport.is_closing():  # what is left to write waits for a client that may never read it
                self._expect("slow reader", self.limits.reader_timeout)
        elif self._waiting_for != "slow reader" and self._is_behind:
            self._deadline += SWEEP
        elif self._deadline <= now:
            self._cut(self._waiting_for)

    def _cut(self, reason: str) -> None:
        metrics.connections_cut.labels(reason).inc()
        self._deadline = None
        log.info("connection cut", extra={"fields": {"reason": reason}})
        # A connection that never asked anything hears nothing; nor does one that has half of an answer.
        begun = self._head > 0 or reason == "slow body"
        free = not self.cycle.response_started if reason == "slow body" else self._is_idle
        if reason in _ENDED and begun and free:
            line, status, message, code = _ENDED[reason]
            body = error(status, message, "invalid_request_error", None, code)
            head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            self.transport.write(head % (line, len(body)) + body)
            self.transport.close()
        else:
            if self.cycle is not None:
                self.cycle.disconnected = True  # uvicorn hears of it a moment later, and may write in between
            self.transport.abort()


async def _full(scope: Scope, receive: Receive, send: Send) -> None:
    message = "Weir has as many connections as it may have. Please try again in a moment."
    headers: Any = [(b"retry-after", b"1"), (b"connection", b"close")]
    await respond(send, 503, error(503, message, "server_error", None, "too_many_connections"), headers)
