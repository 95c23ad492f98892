"""Trace spans and metrics of a real Weir, as a receiver of OTLP gets them."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from proxy.telemetry import names
from tests.server.conftest import MODEL_POLICY, POLICY, Upstream, Weir, answer, chunk, home, running, start, streamed, whole
from tests.server.test_workers import number, said_by, until
from tests.telemetry.receiver import Received, attributes, over_grpc, over_http

CONFIG = """
version: 1
providers:
  fake: {{type: openai, base_url: "http://127.0.0.1:{upstream}/v1", timeouts: {{connect: 2s, first_byte: 5s, idle: 5s}}}}
  gone: {{type: openai, base_url: "http://127.0.0.1:1/v1"}}
detectors:
  asked: {{type: judge, base_url: "http://127.0.0.1:1/v1", model: j}}
routes:
  - {{name: gone, match: {{model: gone}}, provider: gone, policy: test}}
  - {{name: spare, match: {{model: spare}}, provider: gone, policy: test, fallbacks: [fake]}}
  - {{name: main, provider: fake, model: real-model, policy: judged}}
telemetry: {{endpoint: "{receiver}", headers: {{x-own: "${{OWN_HEADER}}"}}}}
"""
JUDGED = MODEL_POLICY + (
    "  - {id: gardening, detect: {judge: asked}, text: '# Gardening only', on: [prompt], action: flag, on_error: pass}\n"
)
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE, CALLER = PARENT[3:35], PARENT[36:52]


def ask(
    weir: Weir, text: str, model: str = "m", stream: bool = False, parent: str = "", path: str = "/v1/chat/completions"
) -> int:
    body = {"model": model, "messages": [{"role": "user", "content": text}], "stream": stream}
    headers = {"traceparent": parent, "tracestate": "vendor=1"} if parent else {}
    request = urllib.request.Request(weir.url + path, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            response.read()
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            error.read()
            return error.code


def sent_to(upstream: Upstream, at: int = -1) -> dict[str, str]:
    lines = upstream.headers[at].split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}


@dataclass
class Seen:
    """What a receiver got of a few requests, and what the provider and the log have of them."""

    received: Received
    log: str
    provider: dict[str, str]  # headers of the request that was in the caller's trace

    @property
    def requests(self) -> list[Any]:
        return self.received.named("POST /v1/chat/completions")

    @property
    def redacted(self) -> Any:
        """Of the caller's trace; the other one was not to be sampled."""
        (one,) = (one for one in self.requests if one.trace_id.hex() == TRACE)
        return one

    def below(self, span: Any, name: str) -> list[Any]:
        found = [one for one in self.received.children(span) if one.name == name]
        return sorted(found, key=lambda one: one.start_time_unix_nano)


@pytest.fixture(scope="module")
def seen(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    with over_http() as received, pytest.MonkeyPatch.context() as environment:
        environment.setenv("OWN_HEADER", "secret-of-the-receiver")
        environment.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        config = CONFIG.format(upstream=upstream.port, receiver=received.url)
        with running(tmp_path_factory.mktemp("traced"), config, test=POLICY, judged=JUDGED) as weir:
            upstream.script = lambda body: whole(answer("I will murder you, joe@example.com."))
            assert ask(weir, "I am joe@example.com", parent=PARENT) == 200
            provider = sent_to(upstream)
            upstream.script = lambda body: streamed(
                chunk({"content": "The word "}), chunk({"content": "is bluebird."}), chunk({}, "stop"), b"data: [DONE]\n\n"
            )
            assert ask(weir, "Hello there, all of you", stream=True) == 200
            upstream.script = lambda body: whole(answer("Yes."))
            assert ask(weir, "Hello", "spare") == 200
            assert ask(weir, "Hello", "gone", parent=PARENT[:-1] + "0") == 502
            assert ask(weir, "Hello", path="/nobody/v1/chat/completions") == 404
            upstream.script = lambda body: [2.0, None]
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(weir.url + "/v1/chat/completions", timeout=0.5,
                           json={"model": "spare", "messages": [{"role": "user", "content": "Hello"}]})  # fmt: skip
            until(lambda: weir.log.read_text().count('"message":"request"') == 6)
        yield Seen(received, weir.log.read_text(), provider)


def test_the_callers_trace_goes_on_and_the_provider_sees_the_call_to_it(seen: Seen) -> None:
    request = seen.redacted
    assert request.parent_span_id.hex() == CALLER and f'"trace_id":"{TRACE}"' in seen.log
    (call,) = seen.below(request, "chat real-model")
    assert seen.provider["traceparent"] == f"00-{TRACE}-{call.span_id.hex()}-01" and seen.provider["tracestate"] == "vendor=1"
    facts = attributes(call)
    assert (facts[names.PROVIDER], facts[names.OPERATION]) == ("fake", "chat") and facts[names.SERVER_PORT]
    assert (facts[names.INPUT_TOKENS], facts[names.OUTPUT_TOKENS], facts[names.HTTP_STATUS]) == (1, 1, 200)
    facts = attributes(request)
    assert (facts[names.ROUTE], facts[names.GUARDRAIL_POLICY], facts[names.ACTION]) == ("main", "judged", "redact")
    assert not seen.received.named("chat gone")  # of the trace that is not sampled


def test_what_was_judged_and_by_whom(seen: Seen) -> None:
    request = seen.redacted
    prompt, completion = seen.below(request, "apply_guardrail weir")
    facts = attributes(prompt)
    assert (facts[names.GUARDRAIL_RESULT], facts[names.GUARDRAIL_SOURCE]) == ("redact", "prompt")
    (event,) = prompt.events
    assert event.name == names.GUARDRAIL_EVENT
    assert attributes(event)[names.GUARDRAIL_RULE] == "personal-data" and attributes(event)[names.ENFORCED] is True
    looks = {one.name.removeprefix("apply_guardrail "): one for one in seen.received.children(prompt)}
    assert looks.keys() - {"screen", "classifier"} == {"asked"} and len(looks) == 2
    assert attributes(looks["asked"])[names.ERROR_TYPE].startswith("cannot be reached") and looks["asked"].status.code == 2
    assert attributes(completion)[names.GUARDRAIL_RESULT] in ("redact", "block")
    assert seen.below(completion, "apply_guardrail classifier")
    (call,) = seen.below(request, "chat real-model")
    for one in (prompt, call, completion, *looks.values()):
        assert request.start_time_unix_nano <= one.start_time_unix_nano <= one.end_time_unix_nano <= request.end_time_unix_nano
    assert prompt.end_time_unix_nano <= call.start_time_unix_nano and call.end_time_unix_nano <= completion.end_time_unix_nano


def test_streams_fallbacks_errors_and_somebody_who_went_away(seen: Seen) -> None:
    (stream,) = seen.received.named("stream")
    assert attributes(stream)[names.GUARDRAIL_RESULT] == "block"
    assert {attributes(e)[names.GUARDRAIL_RULE] for e in stream.events} == {"codenames"}
    (request,) = (one for one in seen.requests if one.span_id == stream.parent_span_id)
    assert attributes(request)[names.ENDED] == "blocked" and not request.parent_span_id
    (call,) = seen.below(request, "chat real-model")
    assert attributes(call)[names.REQUEST_STREAM] is True and attributes(call)[names.FIRST_CHUNK] > 0
    calls = [some for one in seen.requests if (some := [attributes(c) for c in seen.below(one, "chat spare")])]
    answered, left = sorted(calls, key=lambda some: names.ERROR_TYPE in some[-1])
    assert answered[0][names.ERROR_TYPE] == "upstream_unreachable" and names.ERROR_TYPE not in answered[-1]
    assert left[-1][names.ERROR_TYPE] == "cancelled"
    assert {attributes(one)[names.HTTP_STATUS] for one in seen.requests} == {200, 499}
    (lost,) = seen.received.named("POST /{route}/v1/chat/completions")
    assert attributes(lost)[names.HTTP_STATUS] == 404 and "nobody" not in str(seen.received.spans)


def test_metrics_of_calls_tokens_and_verdicts(seen: Seen) -> None:
    found = seen.received.metrics
    spent = {(attributes(p)[names.REQUEST_MODEL], attributes(p)[names.TOKEN_TYPE]): p.sum for p in found[names.TOKENS]}
    assert (spent["real-model", "input"], spent["real-model", "output"]) == (1, 1)  # a stream that was cut has not said
    assert {attributes(p).get(names.ERROR_TYPE) for p in found[names.DURATION]} == {None, "upstream_unreachable", "cancelled"}
    assert {attributes(p)[names.GUARDRAIL_SOURCE] for p in found[names.GUARD_DURATION]} == {"prompt", "completion"}


def test_who_it_is_and_what_stays_inside(seen: Seen) -> None:
    assert {one["service.name"] for one in seen.received.resources} == {"weir"}
    assert {one["deployment.environment.name"] for one in seen.received.resources} == {"test"}
    assert all("x-own: secret-of-the-receiver" in one for one in seen.received.headers)
    assert "secret-of-the-receiver" not in seen.log and "opentelemetry" not in seen.log
    assert b"joe@example.com" not in b"".join(seen.received.raw)


def test_workers_and_the_variables_of_opentelemetry(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with over_grpc() as received:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=seven")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "gate")
        path = home(tmp_path, test=POLICY)
        path.write_text(
            f'version: 1\nproviders: {{fake: {{type: openai, base_url: "http://127.0.0.1:{upstream.port}/v1"}}}}\n'
            "routes: [{name: all, provider: fake, policy: test}]\ntelemetry: {}\n"
        )
        weir = start(path, tmp_path / "log", "--workers", "2")
        upstream.script = lambda body: whole(answer("Yes."))
        for _ in range(20):
            assert ask(weir, "Hello") == 200
        assert weir.stop() == 0
    assert len(received.named("POST /v1/chat/completions")) == len(received.named("chat m")) == 20
    assert sum(p.count for p in received.metrics[names.DURATION]) == 20
    assert {one["service.name"] for one in received.resources} == {"gate"}
    assert all("'x-tenant': 'seven'" in one for one in received.headers)


def test_a_receiver_that_is_away_costs_a_line_in_the_log(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    text = (
        f'version: 1\nproviders: {{fake: {{type: openai, base_url: "http://127.0.0.1:{upstream.port}/v1"}}}}\n'
        'routes: [{name: all, provider: fake, policy: test}]\ntelemetry: {endpoint: "http://127.0.0.1:1", sampling: 0.5}\n'
    )
    upstream.script = lambda body: whole(answer("Yes."))
    with running(tmp_path, text, test=POLICY) as weir:
        for _ in range(8):
            assert ask(weir, "Hello", parent=PARENT) == 200
        until(lambda: said_by(weir, "telemetry is not delivered"))
        assert sent_to(upstream)["traceparent"].startswith(f"00-{TRACE}-")
        assert number(weir, "weir_telemetry_errors_total") >= 1
    lines = [json.loads(line) for line in weir.log.read_text().splitlines() if line.startswith("{")]
    told = [line for line in lines if line["message"] == "telemetry is not delivered"]
    assert len(told) == 1 and told[0]["by"].startswith("opentelemetry.")
    assert all(line["trace_id"] == TRACE for line in lines if line["message"] == "request")


def test_without_telemetry_the_callers_trace_is_passed_on_and_logged(weir: Weir, upstream: Upstream) -> None:
    upstream.script = lambda body: whole(answer("Yes."))
    assert ask(weir, "Hello", parent=PARENT) == 200
    assert (sent_to(upstream)["traceparent"], sent_to(upstream)["tracestate"]) == (PARENT, "vendor=1")
    assert ask(weir, "Hello", parent="00-not-a-trace") == 200

    def last() -> list[dict[str, Any]]:
        return [json.loads(line) for line in weir.log.read_text().splitlines() if '"message":"request"' in line][-2:]

    until(lambda: len(last()) == 2 and "trace_id" not in last()[1])
    told = last()[0]
    assert told["trace_id"] == TRACE
    assert {"id", "route", "status", "action", "ms", "policy", "provider", "stream", "ended", "prompt_ms"} <= told.keys()
