"""The ASGI application: its routes, its middleware, its life."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import time
from collections.abc import AsyncIterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from proxy import metrics
from proxy.audit.entry import Entry
from proxy.config import KeyEntry
from proxy.config import Route as Served
from proxy.server.answers import Headers, Refusal, respond
from proxy.server.body import read_body
from proxy.server.classify import Classify
from proxy.server.guarded import Guarded
from proxy.server.headers import kept, pass_on
from proxy.server.moderations import Moderations
from proxy.server.recorder import bare
from proxy.server.state import State, may_ask, watch
from proxy.server.watched import Watched
from proxy.upstream import Call, UpstreamError
from proxy.wire.apis import APIS
from proxy.wire.openai import error
from proxy.wire.parts import encode

if TYPE_CHECKING:
    from proxy.ui.app import Pages

_UNREAD = "unguarded path"


def build(state: State) -> Starlette:
    guarded: dict[str, ASGIApp] = {api.path: Guarded(state, api) for api in APIS}
    guarded |= {"moderations": Moderations(state), "classify": Classify(state)}
    models = Models(state)
    routes: list[BaseRoute] = [
        Route("/livez", livez),
        Route("/readyz", Ready(state)),
        Route("/metrics", Metrics(state)),
    ]
    for root in ("/v1", "/{route}/v1"):
        routes += [Route(f"{root}/{path}", Watched(state, endpoint), methods=["POST"]) for path, endpoint in guarded.items()]
        routes.append(Route(f"{root}/models", models, methods=["GET"]))
        unguarded = Watched(state, Unguarded(state))
        routes.append(Route(f"{root}/{{rest:path}}", unguarded, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]))
    dashboard = Dashboard(state)
    routes.append(Mount("/ui", dashboard))  # last: a route may be called so too

    @contextlib.asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        state.start()
        state.snapshot.guard.cascade.warm()
        stop = asyncio.Event()
        watching = asyncio.create_task(watch(state, stop))
        try:
            yield
        finally:
            stop.set()
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
            await dashboard.close()
            await state.close()

    return Starlette(routes=routes, lifespan=life, exception_handlers={404: not_found, 405: not_found})


async def not_found(request: Request, problem: Exception) -> Response:
    text = f"There is no {request.method} {request.url.path} here. The API is under /v1: see /v1/models."
    return Response(error(404, text, "invalid_request_error", None, "not_found"), 404, media_type="application/json")


async def livez(request: Request) -> Response:
    return Response(b'{"status":"ok"}', media_type="application/json")


class Ready:
    """Ready from the first request on: the socket opens after model and policies are loaded. A classifier that runs elsewhere
    must have answered once; after that it is a detail, for what holds without it is the policy's business."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._met = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = self._state
        policies = {n: p.ref for n, p in state.snapshot.guard.policies.items()}
        body: dict[str, Any] = {"status": "ok", "policies": policies}
        if state.queue is not None:
            body["model"] = state.queue.sha256
        if ejected := [name for name, one in state.snapshot.providers.items() if one.ejected]:
            body["ejected"] = ejected
        if state.reload_error:
            body["reload_error"] = state.reload_error
        problem = await asyncio.to_thread(state.queue.check) if state.queue is not None else ""
        self._met = self._met or not problem
        if problem:
            body["model_error"] = problem
        if not self._met:
            body["status"] = "not ready"
        await respond(send, 200 if self._met else 503, encode(body), [])


class Metrics:
    def __init__(self, state: State) -> None:
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._state.observe()
        metrics.tasks.set(len(asyncio.all_tasks()))
        await respond(send, 200, metrics.exposition(), [], CONTENT_TYPE_LATEST)


class Dashboard:
    """What is under /ui, imported when somebody first asks for it."""

    def __init__(self, state: State) -> None:
        self._state, self._making = state, asyncio.Lock()
        self._pages: Pages | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._making:
            if self._pages is None:
                module = await asyncio.to_thread(importlib.import_module, "proxy.ui.app")
                self._pages = module.Pages(self._state)
        await self._pages.app(scope, receive, send)

    async def close(self) -> None:
        if self._pages is not None:
            await self._pages.close()


class Models:
    """The models of the caller's routes: named ones as they are, patterns filled from what the provider lists."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = self._state.bare_headers(self._state.request_id(scope))
        try:
            key = self._state.caller(scope)
            routes = self._state.routes_of(scope, key)
        except Refusal as problem:
            await respond(send, problem.status, problem.body, headers)
            return
        found: dict[str, dict[str, Any]] = {}
        for route in routes:
            pattern = route.match.model
            if not any(c in pattern for c in "*?["):
                if may_ask(key, pattern):
                    found.setdefault(pattern, self._model(pattern, route.provider))
                continue
            for model in await self._listed(route.provider, scope):
                name = str(model.get("id"))
                if fnmatchcase(name, pattern) and may_ask(key, name):
                    found.setdefault(str(model["id"]), model)
        await respond(send, 200, encode({"object": "list", "data": list(found.values())}), headers)

    @staticmethod
    def _model(name: str, owner: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": int(time.time()), "owned_by": owner}

    async def _listed(self, provider: str, scope: Scope) -> list[dict[str, Any]]:
        sent = dict(scope["headers"]).get(b"authorization")
        headers = {"authorization": sent.decode("latin-1")} if sent and not scope.get("weir.key") else {}
        try:
            async with asyncio.timeout(5):
                response = await self._state.snapshot.providers[provider].open(Call("models", b"", headers, "GET"))
                body = msgspec.json.decode(await response.read())
        except (UpstreamError, TimeoutError, msgspec.DecodeError):
            return []  # a provider that is down has no models to offer; the others' are still listed
        data = body.get("data") if isinstance(body, dict) else None
        return [m for m in data or [] if isinstance(m, dict) and "id" in m]


class Unguarded:
    """Paths that nobody reads: refused, unless a route lists them under `unguarded:`."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state, started = self._state, time.perf_counter()
        request_id = state.request_id(scope)
        headers, status, code = state.bare_headers(request_id), 500, ""
        passed: dict[str, Any] = {}  # what is recorded of a path that is passed on

        def record() -> Entry:
            seconds, api = time.perf_counter() - started, passed.get("path", "unguarded")
            more = {name: value for name, value in passed.items() if name != "path"}
            return bare(request_id, api, status, code, seconds, key=scope.get("weir.key"), **more)

        try:
            await state.recordable()
            key = state.caller(scope)
            route, prefix = self._allowed(scope, key)
            if key is not None:
                headers += await state.limiter.admit(key)
            passed |= {"path": prefix, "route": route.name, "provider": route.provider, "not_inspected": [_UNREAD]}
            await state.recordable(lambda: record()._replace(kind="begun"))
            status = await self._pass(route, headers, scope, receive, send)
        except Refusal as problem:
            status, code = problem.status, problem.code
            await respond(send, status, problem.body, [*headers, *problem.headers])
        except UpstreamError as problem:
            status, code = problem.status, problem.code
            await respond(send, status, error(status, str(problem), "upstream_error", None, code), headers)
        finally:
            state.finished(request_id, None, status, time.perf_counter() - started, code)
            await state.record(record())

    def _allowed(self, scope: Scope, key: KeyEntry | None) -> tuple[Served, str]:
        """The route that lets the path pass, and what it says of it. Raises Refusal."""
        path = f"/v1/{scope['path_params']['rest']}"
        for route in self._state.routes_of(scope, key):
            for prefix in route.unguarded:
                if path.startswith(prefix):
                    return route, prefix
        text = (
            f"Weir does not guard {path[:104]}, so it does not pass it on. "
            "An operator can list it under `unguarded:` of a route to pass it uninspected."
        )
        raise Refusal(404, text, "not_guarded")

    async def _pass(self, route: Served, headers: Headers, scope: Scope, receive: Receive, send: Send) -> int:
        snapshot, path = self._state.snapshot, scope["path_params"]["rest"]
        metrics.not_inspected.labels(route.name, _UNREAD).inc()
        body = await read_body(receive, snapshot.config.limits.body)
        sent = dict(scope["headers"]).get(b"content-type", b"application/json").decode("latin-1")
        query = f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
        call = Call(path + query, body, {"content-type": sent, **pass_on(scope)}, scope["method"])
        response = await snapshot.providers[route.provider].open(call)
        kind = dict(response.headers).get("content-type", "application/octet-stream")
        own = [*headers, (b"x-weir-route", route.name.encode()), (b"x-weir-action", b"not-inspected")]
        await respond(send, response.status, await response.read(), [*own, *kept(response)], kind)
        return response.status
