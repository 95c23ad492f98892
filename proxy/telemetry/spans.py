"""Trace spans and metrics over OTLP, and the W3C trace context from the caller to the provider.

The span of a request and those of its calls to providers begin when they begin, since whoever is called has to know its parent.
All others are made at the end from what was noted on the way, and only where the trace is sampled.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics as otel_metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, format_trace_id, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import Scope

from proxy import __version__, metrics
from proxy.config import Telemetry as Settings
from proxy.telemetry import names
from proxy.telemetry.watch import Called, Look, Watch
from proxy.types import Action, Direction
from proxy.upstream import Call

if TYPE_CHECKING:
    from proxy.server.exchange import Exchange

log = logging.getLogger("weir")
GIVE_UP = 5.0  # seconds at the end of the process
QUIET = 60.0  # seconds between two lines about a receiver that does not answer
MODELS = 200  # names of models that metrics tell apart; a caller may ask for any
_MODEL = re.compile(r"[\w./:@+-]{1,100}")
_w3c = TraceContextTextMapPropagator()


class Telemetry:
    """Of one process that serves: it has threads, so nobody may have it before a fork."""

    def __init__(self, settings: Settings) -> None:
        _report()
        resource = Resource.create(_resource())
        spans, values = _exporters(settings)
        sampler = ParentBased(TraceIdRatioBased(settings.sampling)) if settings.sampling is not None else None
        self._spans = TracerProvider(sampler, resource, shutdown_on_exit=False)
        self._spans.add_span_processor(BatchSpanProcessor(spans))
        self._tracer = self._spans.get_tracer(names.SCOPE, __version__)
        self._metrics = MeterProvider([PeriodicExportingMetricReader(values)], resource, shutdown_on_exit=False)
        self._meters = _Meters(self._metrics.get_meter(names.SCOPE, __version__))

    def watch(self, scope: Scope) -> Watch:
        """Of a request that has just come."""
        carrier = {k.decode(): v.decode("latin-1") for k, v in scope["headers"] if k in (b"traceparent", b"tracestate")}
        route, began = _route_of(scope), time.time_ns()
        attributes = {names.HTTP_METHOD: scope["method"], names.HTTP_ROUTE: route}
        title = f"{scope['method']} {route}"
        span = self._tracer.start_span(title, _w3c.extract(carrier), SpanKind.SERVER, attributes, start_time=began)
        trace = format_trace_id(span.get_span_context().trace_id)
        clock = began - time.perf_counter_ns()
        return _Watched(trace, [] if span.is_recording() else None, span=span, clock=clock, tracer=self._tracer,
                        meters=self._meters)  # fmt: skip

    async def close(self) -> None:
        """Delivers what is left, as far as somebody takes it."""

        def ended() -> None:
            self._spans.shutdown()
            self._metrics.shutdown(GIVE_UP * 1e3)

        thread = threading.Thread(target=ended, name="telemetry-end", daemon=True)
        thread.start()
        await asyncio.to_thread(thread.join, GIVE_UP)


def _route_of(scope: Scope) -> str:
    """The path with its own names in it: what callers have put there is not told."""
    path, given = str(scope["path"]), scope.get("path_params", {})
    if "route" in given:
        path = path.replace(f"/{given['route']}/", "/{route}/", 1)
    return path.removesuffix(given["rest"]) + "{rest}" if "rest" in given else path


class _Meters:
    def __init__(self, meter: otel_metrics.Meter) -> None:
        self._duration = meter.create_histogram(
            names.DURATION, "s", "GenAI operation duration.",
            explicit_bucket_boundaries_advisory=names.DURATION_BUCKETS,
        )  # fmt: skip
        self._tokens = meter.create_histogram(
            names.TOKENS, "{token}", "Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=names.TOKENS_BUCKETS,
        )  # fmt: skip
        self._guard = meter.create_histogram(
            names.GUARD_DURATION, "s", "Time to a verdict.", explicit_bucket_boundaries_advisory=names.DURATION_BUCKETS
        )
        self._models: set[str] = set()

    def called(self, attributes: Mapping[str, Any], seconds: float, exchange: Exchange) -> None:
        """One answer of a provider that was asked for one."""
        told = {k: attributes[k] for k in _TOLD if k in attributes}
        if (model := told.get(names.REQUEST_MODEL)) is not None and model not in self._models:
            if len(self._models) >= MODELS:
                told[names.REQUEST_MODEL] = "other"
            else:
                self._models.add(model)
        self._duration.record(seconds, told)
        if (usage := exchange.trace.usage) is not None:
            told.pop(names.ERROR_TYPE, None)
            self._tokens.record(usage.prompt, {**told, names.TOKEN_TYPE: "input"})
            self._tokens.record(usage.completion, {**told, names.TOKEN_TYPE: "output"})

    def judged(self, direction: Direction, action: Action, seconds: float, exchange: Exchange) -> None:
        told = {
            names.ROUTE: exchange.matched.route.name,
            names.GUARDRAIL_SOURCE: direction,
            names.GUARDRAIL_RESULT: str(action),
        }
        self._guard.record(seconds, told)


_TOLD = (
    names.OPERATION, names.PROVIDER, names.REQUEST_MODEL, names.SERVER_ADDRESS, names.SERVER_PORT, names.ERROR_TYPE,
)  # fmt: skip


@dataclass(slots=True)
class _Asked:
    """One question to a provider."""

    span: Span
    started: int  # of the process's clock, as `answered`
    attributes: dict[str, Any]
    answered: int = 0
    status: str = ""


@dataclass(slots=True, kw_only=True)
class _Watched(Watch):
    span: Span
    clock: int  # nanoseconds from the process's clock to the world's
    tracer: Tracer
    meters: _Meters
    asked: list[_Asked] = field(default_factory=list)

    # -- the provider

    def calls(self, called: Called, call: Call) -> Call:
        exchange = self.exchange
        operation = names.OPERATIONS.get(call.path.partition("?")[0])
        attributes: dict[str, Any] = {names.PROVIDER: called.system}
        if operation is not None:
            attributes[names.OPERATION] = operation
        if called.address:
            attributes |= {names.SERVER_ADDRESS: called.address, names.SERVER_PORT: called.port}
        title = operation or called.system
        if exchange is not None and (model := _model(called, exchange)):
            attributes[names.REQUEST_MODEL] = model
            title = f"{title} {model}"
            attributes[names.REQUEST_STREAM] = exchange.trace.streamed
        now = time.perf_counter_ns()
        here = set_span_in_context(self.span)
        span = self.tracer.start_span(title, here, SpanKind.CLIENT, attributes, start_time=self.clock + now)
        self._over()  # the one before did not do
        self.asked.append(_Asked(span, now, attributes))
        headers = dict(call.headers)
        headers.pop("tracestate", None)
        _w3c.inject(headers, set_span_in_context(span))
        return replace(call, headers=headers)

    def answered(self, status: str) -> None:
        if self.asked:
            self.asked[-1].answered, self.asked[-1].status = time.perf_counter_ns(), status

    def _over(self, at: int = 0) -> None:
        """The last question has its whole answer, or gets none; `at` is when."""
        if not self.asked or not (one := self.asked[-1]).status:
            return
        if one.status.isdecimal():
            one.span.set_attribute(names.HTTP_STATUS, int(one.status))
        if not one.status.isdecimal() or int(one.status) >= 400:
            one.attributes[names.ERROR_TYPE] = one.status
            one.span.set_attribute(names.ERROR_TYPE, one.status)
            one.span.set_status(Status(StatusCode.ERROR))
        ended = max(at, one.answered)
        one.span.end(self.clock + ended)
        if names.OPERATION in one.attributes and self.exchange is not None:
            self.meters.called(one.attributes, (ended - one.started) / 1e9, self.exchange)

    # -- the end

    def end(self, status: int) -> None:
        now, exchange = time.perf_counter_ns(), self.exchange
        if self.asked and not self.asked[-1].status:
            self.answered("cancelled")
        if exchange is not None:
            self._told(exchange, now)
        else:
            self._over(now)
        span = self.span
        span.set_attribute(names.HTTP_STATUS, status)
        if status >= 500:
            span.set_attribute(names.ERROR_TYPE, (exchange.trace.error if exchange is not None else "") or str(status))
            span.set_status(Status(StatusCode.ERROR))
        span.end(self.clock + now)

    def _told(self, exchange: Exchange, now: int) -> None:
        trace, begun = exchange.trace, int(exchange.started * 1e9)
        at = {name: begun + int(seconds * 1e9) for name, seconds in trace.ms.items() if name != "completion"}
        last = self.asked[-1] if self.asked else None
        if last is not None and last.span.is_recording():
            self._counted(last, exchange, at)
        self._over(at.get("answered", now))
        if "prompt" in at:
            start = at.get("read", begun)
            self.meters.judged("prompt", exchange.action, (at["prompt"] - start) / 1e9, exchange)
        answer = max((r.verdict.action for r in exchange.read if r.direction == "completion"), default=Action.PASS)
        judged = at["answered"] + int(trace.ms["completion"] * 1e9) if "completion" in trace.ms and "answered" in at else 0
        if judged:
            self.meters.judged("completion", answer, trace.ms["completion"], exchange)
        if self.looks is None:
            return
        route, policy = exchange.matched.route, exchange.policy
        self.span.set_attributes(
            {
                names.REQUEST_ID: exchange.id, names.ROUTE: route.name, names.ACTION: str(exchange.action),
                names.GUARDRAIL_POLICY: policy.name, names.GUARDRAIL_VERSION: policy.sha[:8],
                names.NOT_INSPECTED: len(exchange.skipped), **({names.KEY: trace.key} if trace.key else {}),
                **({names.ENDED: trace.ended} if trace.ended else {}),
            }
        )  # fmt: skip
        if "prompt" in at:
            self._inspection("prompt", exchange, exchange.action, at.get("read", begun), at["prompt"])
        if judged:
            self._inspection("completion", exchange, answer, at["answered"], judged)
        elif last is not None and trace.streamed and last.status == "200":
            self._inspection("completion", exchange, answer, last.answered, now, "stream")

    @staticmethod
    def _counted(asked: _Asked, exchange: Exchange, at: Mapping[str, int]) -> None:
        trace = exchange.trace
        if trace.usage is not None:
            asked.span.set_attributes(
                {names.INPUT_TOKENS: trace.usage.prompt, names.OUTPUT_TOKENS: trace.usage.completion}
            )  # fmt: skip
            if trace.usage.cached:
                asked.span.set_attribute(names.CACHED_TOKENS, trace.usage.cached)
        if trace.streamed and "first_text" in at:
            asked.span.set_attribute(names.FIRST_CHUNK, max(0, at["first_text"] - asked.started) / 1e9)

    def _inspection(
        self, direction: Direction, exchange: Exchange, action: Action, start: int, end: int, title: str = ""
    ) -> None:
        """All that was judged in one direction, with each look at it below."""
        policy = exchange.policy
        attributes = {
            names.OPERATION: names.APPLY_GUARDRAIL, names.GUARDRAIL: names.SCOPE, names.GUARDRAIL_SOURCE: direction,
            names.GUARDRAIL_POLICY: policy.name, names.GUARDRAIL_VERSION: policy.sha[:8],
            names.GUARDRAIL_RESULT_TYPE: "action", names.GUARDRAIL_RESULT: str(action),
        }  # fmt: skip
        title = title or f"{names.APPLY_GUARDRAIL} {names.SCOPE}"
        span = self.tracer.start_span(
            title, set_span_in_context(self.span), SpanKind.INTERNAL, attributes, start_time=self.clock + start
        )
        for read in exchange.read:
            if read.direction == direction:
                for outcome in read.verdict.outcomes:
                    span.add_event(
                        names.GUARDRAIL_EVENT,
                        {
                            names.GUARDRAIL_RULE: outcome.rule, names.GUARDRAIL_CATEGORY: outcome.label,
                            names.GUARDRAIL_SCORE: round(outcome.score, 4), names.GUARDRAIL_RESULT_TYPE: "action",
                            names.GUARDRAIL_RESULT: str(outcome.action), names.ENFORCED: outcome.enforced,
                            names.DECIDED_BY: outcome.decided_by,
                            **({names.THRESHOLD: round(outcome.threshold, 4)} if outcome.threshold is not None else {}),
                        },
                        self.clock + end,
                    )  # fmt: skip
        here = set_span_in_context(span)
        for look in self.looks or ():
            if look.direction == direction:
                self._look(look, here, exchange)
        span.end(self.clock + end)

    def _look(self, look: Look, here: Any, exchange: Exchange) -> None:
        attributes: dict[str, Any] = {names.OPERATION: names.APPLY_GUARDRAIL, names.GUARDRAIL: look.by}
        if look.rule:
            attributes[names.GUARDRAIL_RULE] = look.rule
        if look.stage == "classifier":
            attributes[names.CLASSIFIER] = exchange.snapshot.guard.classifier[:8]
        start = self.clock + int(look.started * 1e9)
        kind = SpanKind.CLIENT if look.stage == "judge" else SpanKind.INTERNAL
        span = self.tracer.start_span(f"{names.APPLY_GUARDRAIL} {look.by}", here, kind, attributes, start_time=start)
        if look.failed:
            span.set_attribute(names.ERROR_TYPE, look.failed)
            span.set_status(Status(StatusCode.ERROR))
        span.end(start + int(look.seconds * 1e9))


def _model(called: Called, exchange: Exchange) -> str:
    """That the provider is asked for, where it is a name at all."""
    asked = called.model or exchange.matched.route.model or exchange.body.get("model")
    return asked if isinstance(asked, str) and _MODEL.fullmatch(asked) else ""


# -- what OpenTelemetry wants to know


def _resource() -> dict[str, str]:
    """The variables of OpenTelemetry say more, and what they say of the name holds."""
    own = {"service.version": __version__, "service.instance.id": uuid.uuid4().hex}
    named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return own if named else {"service.name": names.SCOPE, **own}


def _exporters(settings: Settings) -> tuple[Any, Any]:
    """For trace spans, and for metrics. What the settings leave out is in the variables of OpenTelemetry."""
    protocol = settings.protocol or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    more: dict[str, Any] = {"headers": dict(settings.headers)} if settings.headers else {}
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans

        target = {**more, **({"endpoint": settings.endpoint} if settings.endpoint else {})}
        return GrpcSpans(**target), GrpcMetrics(**target)
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    root = settings.endpoint.rstrip("/") if settings.endpoint else None
    paths = [{"endpoint": f"{root}/v1/{signal}"} if root else {} for signal in ("traces", "metrics")]
    return OTLPSpanExporter(**more, **paths[0]), OTLPMetricExporter(**more, **paths[1])


class _Undelivered(logging.Handler):
    """What the exporters say goes into Weir's own log as one line a minute. Their words may have the receiver's answer in
    them, and stay out."""

    _said = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        metrics.telemetry_errors.inc()
        if (now := time.monotonic()) - self._said > QUIET or not self._said:
            self._said = now
            log.warning("telemetry is not delivered", extra={"fields": {"by": record.name, "level": record.levelname.lower()}})


def _report() -> None:
    logger = logging.getLogger("opentelemetry")
    logger.handlers, logger.propagate = [_Undelivered(logging.WARNING)], False
