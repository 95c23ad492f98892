"""A guarded endpoint, whatever its API. Read `Guarded.__call__` from top to bottom: it is the life of a request."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence

from starlette.types import Receive, Scope
from starlette.types import Send as AsgiSend

from proxy import metrics
from proxy.config import KeyEntry
from proxy.server.answers import Refusal, respond
from proxy.server.body import read_json
from proxy.server.exchange import Exchange
from proxy.server.forward import Forward
from proxy.server.headers import caller_of
from proxy.server.prompt import Prompt
from proxy.server.recorder import bare, begun, ended
from proxy.server.shadow import Difference, count
from proxy.server.state import State
from proxy.telemetry.watch import current
from proxy.upstream import UpstreamError
from proxy.wire.api import Api
from proxy.wire.parts import BadBody


class Guarded:
    def __init__(self, state: State, api: Api) -> None:
        self._state, self._api = state, api
        self._prompt = Prompt(state, api)
        self._forward = Forward(state, api, self._prompt)

    async def __call__(self, scope: Scope, receive: Receive, send: AsgiSend) -> None:
        started = time.perf_counter()
        state = self._state
        request_id = state.request_id(scope)
        exchange: Exchange | None = None
        status, code = 500, ""
        try:
            await state.recordable()
            key = state.caller(scope)
            body = await read_json(receive, state.snapshot.config.limits)
            matched = state.match(scope, body.get("model"), key)
            exchange = Exchange(request_id, started, state.snapshot, matched, body)
            exchange.caller = caller_of(scope, key)
            request = self._api.request(body)
            self._trace(exchange, key)
            exchange.hold(exchange.trace.key, request.fields)
            if key is not None:
                exchange.grant = await state.grant(key, matched.route, self._api.path, body, request)
            exchange.trace.ms["read"] = time.perf_counter() - started
            blocked = await self._prompt.inspect(exchange, request)
            exchange.trace.ms["prompt"] = judged = time.perf_counter() - started
            metrics.guard_seconds.labels(matched.route.name, "prompt").observe(judged)
            await state.recordable(lambda: begun(exchange, self._api.path))
            if blocked is not None:
                status = await self._prompt.refuse(exchange, blocked, send)
            else:
                status = await self._forward(exchange, scope, receive, send)
        except BadBody as problem:
            code = "invalid_body"
            status = await self._error(send, exchange, request_id, Refusal(400, str(problem), code, problem.param))
        except Refusal as problem:
            code = problem.code
            status = await self._error(send, exchange, request_id, problem)
        except UpstreamError as problem:
            code = problem.code
            refused = Refusal(problem.status, str(problem), code, kind="upstream_error")
            status = await self._error(send, exchange, request_id, refused)
        finally:
            if exchange is not None and exchange.doubt is not None:
                exchange.doubt.cancel()
            if exchange is not None and exchange.grant is not None:
                await exchange.grant.settle()
            seconds, status = time.perf_counter() - started, left(status)
            if exchange is None:
                state.finished(request_id, None, status, seconds, code)
                await state.record(bare(request_id, self._api.path, status, code, seconds, key=scope.get("weir.key")))
            else:
                exchange.trace.error = exchange.trace.error or code
                await self._finished(exchange, status, seconds)

    def _trace(self, exchange: Exchange, key: KeyEntry | None) -> None:
        audit = exchange.snapshot.config.audit
        trace = exchange.trace
        trace.key = key.name if key is not None else ""
        trace.keeps = audit is not None and audit.text != "never"
        trace.streamed = exchange.body.get("stream") is True
        if (watch := current.get()) is not None:
            trace.trace_id, watch.exchange = watch.trace_id, exchange

    async def _finished(self, exchange: Exchange, status: int, seconds: float) -> None:
        """The record of the request; after it is known what the second policy would have done, where there is one."""
        shadow = exchange.shadow
        if shadow is None:
            await self._recorded(exchange, status, seconds)
            return
        route, policy = exchange.matched.route.name, exchange.policy

        async def compared() -> None:
            found: list[Difference] = []
            own = current.set(None)  # what the shadow looks at is not the request's
            try:
                guard = exchange.snapshot.guard
                found = await shadow.compare(guard, exchange.read, exchange.context, exchange.history)
                count(exchange.id, route, policy, shadow.policy, found)
            finally:
                current.reset(own)
                await self._recorded(exchange, status, seconds, found)

        if not self._state.later(compared):
            metrics.shadow_skipped.labels(route).inc()
            await self._recorded(exchange, status, seconds)

    async def _recorded(self, exchange: Exchange, status: int, seconds: float, found: Sequence[Difference] = ()) -> None:
        state, settings = self._state, exchange.snapshot.config.audit
        state.finished(exchange.id, exchange, status, seconds)
        if settings is not None:
            grant = exchange.grant
            if grant is not None and grant.told:
                exchange.trace.usage = grant.used
            await state.record(ended(exchange, self._api.path, status, seconds, settings.text, found))

    async def _error(self, send: AsgiSend, exchange: Exchange | None, request_id: str, problem: Refusal) -> int:
        headers = exchange.headers if exchange else self._state.bare_headers(request_id)
        text = self._api.error(problem.status, str(problem), problem.kind, problem.param, problem.code)
        await respond(send, problem.status, text, [*headers, *problem.headers])
        return problem.status


def left(status: int) -> int:
    """499 where the client has gone: some servers say so by cancelling."""
    return 499 if isinstance(sys.exception(), asyncio.CancelledError) else status
