"""The proxy as Serve's ingress: the same ASGI application as everywhere, in as many replicas as the traffic needs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from proxy import metrics
from proxy.cluster.files import Files, Mirror
from proxy.cluster.given import fit
from proxy.cluster.state import open_state
from proxy.server.answers import respond
from proxy.server.app import build
from proxy.server.state import configure_log

log = logging.getLogger("weir")

AGAIN = 1.0  # seconds until the files are asked for again, when nobody answers
PATIENCE = 3.0  # seconds that a replica has for its numbers


class Ingress:
    async def __init__(self, settings: dict[str, Any], source: Any, models: dict[str, Any]) -> None:  # type: ignore[misc]  # Serve awaits it
        given = fit(settings)
        configure_log(given.log_level)
        self._source = source
        self._mirror = Mirror()
        files: Files = await source.newer.remote("")
        self._state = await asyncio.to_thread(open_state, self._mirror.place(files), given, models)
        self._following = asyncio.create_task(self._follow(files.version))

    def __serve_build_asgi_app__(self) -> Starlette:
        app = build(self._state)
        context = serve.get_replica_context()
        everybody = serve.get_deployment_handle(context.deployment, context.app_name)
        app.router.routes.insert(0, Route("/metrics", Metrics(everybody)))
        return app

    async def check_health(self) -> None:
        """Serve replaces one that no longer hears of changes."""
        if self._following.done():
            raise RuntimeError("the files are not followed")

    async def numbers(self) -> tuple[str, str]:
        """Whose they are, and what they are."""
        self._state.observe()
        return serve.get_replica_context().replica_id.unique_id, metrics.exposition().decode()

    async def _follow(self, version: str) -> None:
        while True:
            try:
                files: Files | None = await self._source.newer.remote(version)
            except (RayError, RayServeException, TimeoutError) as problem:
                log.warning("nobody says whether the files have changed", extra={"fields": {"problem": type(problem).__name__}})
                await asyncio.sleep(AGAIN)
                continue
            if files is not None:
                self._mirror.place(files)
                version = files.version
                await asyncio.to_thread(self._state.reload)

    async def __del__(self) -> None:
        self._following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._following
        self._mirror.close()


class Metrics:
    """The numbers of all replicas, each with a label that says whose they are."""

    def __init__(self, everybody: Any) -> None:
        self._everybody = everybody

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = self._everybody.broadcast("numbers")
        found = await asked.results_async(timeout_s=PATIENCE, return_exceptions=True)
        body = together([one for one in found if isinstance(one, tuple)])
        await respond(send, 200, body, [], CONTENT_TYPE_LATEST)


def together(numbers: Iterable[tuple[str, str]]) -> bytes:
    families: dict[str, Metric] = {}
    for replica, text in numbers:
        for family in text_string_to_metric_families(text):
            if family.name.endswith("_created"):
                continue
            whole = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            whole.samples += [one._replace(labels={**one.labels, "replica": replica}) for one in family.samples]
    registry = CollectorRegistry()
    registry.register(_Collected(families.values()))
    return generate_latest(registry)


class _Collected(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


deployment = serve.deployment(serve.ingress()(Ingress))
