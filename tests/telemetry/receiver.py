"""A receiver of OTLP, over HTTP or gRPC, that decodes what comes and keeps it."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

if not os.environ.get("WEIR_CI"):
    pytest.importorskip("opentelemetry.sdk")
    pytest.importorskip("opentelemetry.exporter.otlp.proto.grpc")

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


@dataclass
class Received:
    url: str = ""
    raw: list[bytes] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    spans: list[Any] = field(default_factory=list)
    metrics: dict[str, list[Any]] = field(default_factory=dict)  # name -> data points
    resources: list[dict[str, Any]] = field(default_factory=list)

    def traces(self, message: Any) -> None:
        self.raw.append(message.SerializeToString())
        for part in message.resource_spans:
            self.resources.append(attributes(part.resource))
            self.spans += [span for scope in part.scope_spans for span in scope.spans]

    def values(self, message: Any) -> None:
        self.raw.append(message.SerializeToString())
        for part in message.resource_metrics:
            for one in (metric for scope in part.scope_metrics for metric in scope.metrics):
                self.metrics.setdefault(one.name, []).extend(getattr(one, one.WhichOneof("data")).data_points)

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans if span.name == name]

    def children(self, span: Any) -> list[Any]:
        return [one for one in self.spans if one.parent_span_id == span.span_id]


def attributes(holder: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in holder.attributes}


@contextlib.contextmanager
def over_http() -> Iterator[Received]:
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["content-length"]))
            received.headers.append(str(self.headers))
            if self.path == "/v1/traces":
                received.traces(trace_service_pb2.ExportTraceServiceRequest.FromString(data))
            else:
                assert self.path == "/v1/metrics"
                received.values(metrics_service_pb2.ExportMetricsServiceRequest.FromString(data))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    received.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@contextlib.contextmanager
def over_grpc() -> Iterator[Received]:
    received = Received()

    class Traces(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:
            received.headers.append(str(dict(context.invocation_metadata())))
            received.traces(request)
            return trace_service_pb2.ExportTraceServiceResponse()

    class Values(metrics_service_pb2_grpc.MetricsServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:
            received.values(request)
            return metrics_service_pb2.ExportMetricsServiceResponse()

    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Traces(), server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Values(), server)
    received.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield received
    finally:
        server.stop(None).wait(5)
