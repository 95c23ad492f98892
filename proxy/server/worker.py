"""One process that serves: alone, or one of several under a supervisor.

It stops in two steps. Told to stop, it accepts nothing new, finishes what it has begun (for `listen.drain` at most) and ends;
told again, it ends at once. A client's next request on a kept connection may already be on its way then: it is answered, and
told that the connection closes; a connection is closed only when it has been silent for a moment.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from proxy.server.app import build
from proxy.server.connection import LINGER, Connection
from proxy.server.limits import Limiter
from proxy.server.line import Beat, Line, Ready
from proxy.server.state import State


class Server(uvicorn.Server):
    def __init__(
        self, state: State, host: str = "127.0.0.1", port: int = 0, on_ready: Callable[[], None] | None = None,
        line: Line | None = None,
    ) -> None:  # fmt: skip
        config = state.snapshot.config
        Connection.limits = config.limits  # uvicorn makes the connections, and knows of no config but its own
        super().__init__(
            uvicorn.Config(
                build(state), host=host, port=port, log_level="warning", access_log=False, loop="uvloop", http=Connection,
                ws="none", server_header=False, date_header=False, timeout_graceful_shutdown=int(config.listen.drain),
            )
        )  # fmt: skip
        self._state, self._on_ready, self.line = state, on_ready, line

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self.line is not None:
            await self.line.open()
        await super().startup(sockets)
        if self._on_ready is not None:
            self._on_ready()

    async def on_tick(self, counter: int) -> bool:
        if self.line is not None and counter % 10 == 0:  # once a second
            self._state.observe()
            self.line.say(Beat())
        if (drift := self._state.snapshot.guard.drift) is not None:
            drift.tick()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        Connection.draining = True
        asyncio.get_running_loop().call_later(LINGER, self._close_silent)
        await super().shutdown(sockets)
        self._state.observe()
        if self.line is not None:
            await self.line.close()

    def _close_silent(self) -> None:
        for one in list(self.server_state.connections):
            if isinstance(one, Connection):
                one.close_if_silent()

    def stop(self) -> None:
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.line is not None and sig == signal.SIGINT:
            return  # Ctrl-C reaches every process of a terminal; the supervisor says what it means
        if self.should_exit:
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)
        self.stop()


def supervised(state: State, end: socket.socket, listeners: list[socket.socket], welcome: str) -> None:
    """Serves on `listeners` until the supervisor at the other `end` says stop."""
    server = Server(state)
    server.line = line = Line(end, server.stop)
    server._on_ready = lambda: line.say(Ready(welcome))
    if state.snapshot.config.limits.url is None:
        state.limiter = Limiter(line)
    server.run(listeners)
