"""A provider of which is counted how it answers, and how soon."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

from proxy import metrics
from proxy.telemetry.watch import Called, current
from proxy.upstream import Call, Provider, Response, UpstreamError

# Hosts, and what OpenTelemetry calls who answers there.
_SYSTEMS = {
    "api.openai.com": "openai", "api.anthropic.com": "anthropic", "api.mistral.ai": "mistral_ai", "api.groq.com": "groq",
    "api.deepseek.com": "deepseek", "api.x.ai": "x_ai", "api.perplexity.ai": "perplexity", "api.cohere.ai": "cohere",
    "api.cohere.com": "cohere", "generativelanguage.googleapis.com": "gcp.gemini",
}  # fmt: skip


class Observed:
    def __init__(self, provider: Provider, name: str, base_url: str | None = None, model: str | None = None) -> None:
        self._provider = provider
        self._called = called(name, base_url)._replace(model=model)
        self._seconds = metrics.upstream_seconds.labels(name)

    async def open(self, call: Call) -> Response:
        watch = current.get()
        if watch is not None:
            watch.provider = self._called.name
            call = watch.calls(self._called, call)
        started, status = time.perf_counter(), "cancelled"  # by a client that did not wait
        try:
            response = await self._provider.open(call)
            status = str(response.status)
            return response
        except UpstreamError as problem:
            status = problem.code
            raise
        finally:
            self._seconds.observe(time.perf_counter() - started)
            metrics.upstream_answers.labels(self._called.name, status).inc()
            if watch is not None:
                watch.answered(status)

    async def close(self) -> None:
        await self._provider.close()


def called(name: str, base_url: str | None) -> Called:
    parts = urlsplit(base_url or "")
    host = parts.hostname or ""
    try:
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    except ValueError:
        port = 0
    system = "azure.ai.openai" if host.endswith(".openai.azure.com") else _SYSTEMS.get(host, name)
    return Called(name, system, host, port)
