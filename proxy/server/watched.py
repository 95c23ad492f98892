"""The endpoints of the API as they are seen from outside: each request has its watch, for logs and trace spans."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.server.state import State
from proxy.telemetry.watch import Watch, current, trace_id


class Watched:
    def __init__(self, state: State, app: ASGIApp) -> None:
        self._state, self._app = state, app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        telemetry = self._state.telemetry
        if telemetry is None:
            parent = next((value for name, value in scope["headers"] if name == b"traceparent"), b"")
            current.set(Watch(trace_id(parent.decode("latin-1")) if parent else ""))
            await self._app(scope, receive, send)
            return
        watch = telemetry.watch(scope)
        current.set(watch)
        status = 499  # nobody was answered

        async def heard(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, heard)
        finally:
            watch.end(status)
