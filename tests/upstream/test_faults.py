"""An upstream that fails in every way it can, and what the clients of each API get: an answer, an HTTP error, or an error as
the API's stream says it. Nothing hangs, nothing ends as if it were whole, nothing is left behind in Weir."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.conftest import POLICY, Upstream, Weir, running, streamed, whole
from tests.upstream.client import Clients, Outcome, heard
from tests.upstream.speech import APIS, TEXT, Speech, api_of, speech

CONFIG = """
version: 1
providers:
  first: {{type: openai, base_url: "http://127.0.0.1:{port}/v1", api_key: "sk-upstream-secret", retries: {{attempts: 0}},
          ejection: {{failures: 100000}}}}
  hasty: {{type: openai, base_url: "http://127.0.0.1:{port}/v1", retries: {{attempts: 0}}, ejection: {{failures: 100000}},
          timeouts: {{connect: 1s, first_byte: 1s, idle: 1s}}}}
  again: {{type: openai, base_url: "http://127.0.0.1:{port}/v1", retries: {{attempts: 1, first: 10ms}}, ejection: {{failures: 100000}}}}
  second: {{type: openai, base_url: "http://127.0.0.1:{port}/v1", model: second}}
  frail: {{type: openai, base_url: "http://127.0.0.1:{port}/v1", retries: {{attempts: 0}}, ejection: {{failures: 2, pause: 1h}}}}
  lost: {{type: openai, base_url: "http://127.0.0.1:1/v1", retries: {{attempts: 0}}, ejection: {{failures: 100000}}}}
routes:
  - {{name: alone, match: {{model: alone}}, provider: first, policy: test}}
  - {{name: hasty, match: {{model: alone-hasty}}, provider: hasty, policy: test}}
  - {{name: backed-hasty, match: {{model: backed-hasty}}, provider: hasty, fallbacks: [second], policy: test}}
  - {{name: again, match: {{model: again}}, provider: again, policy: test}}
  - {{name: backed, match: {{model: backed}}, provider: first, fallbacks: [second], policy: test}}
  - {{name: frail, match: {{model: frail}}, provider: frail, fallbacks: [second], policy: test}}
  - {{name: lost, match: {{model: lost}}, provider: lost, policy: test}}
"""
Steps = list[bytes | float | None]
LONG = 20.0  # seconds; no test waits for it


@pytest.fixture(scope="module")
def weir(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weir]:
    with running(tmp_path_factory.mktemp("faults"), CONFIG.format(port=upstream.port), test=POLICY) as one:
        yield one


def head(kind: str, *more: str, length: int | None = None) -> bytes:
    framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    return "\r\n".join(["HTTP/1.1 200 OK", f"content-type: {kind}", framing, *more, "", ""]).encode()


def cut(steps: Steps) -> Steps:
    """Without the end that says that all has been sent."""
    return [*steps[:-1], None]


def declined(status: int, kind: str = "application/json", body: bytes = b"", *more: str) -> Callable[[Speech, bool], Steps]:
    lines = [f"HTTP/1.1 {status} No", f"content-type: {kind}", f"content-length: {len(body)}", *more, "", ""]
    return lambda speech, stream: ["\r\n".join(lines).encode() + body]


def said(speech: Speech) -> bytes:
    return json.dumps(speech.whole).encode()


def half_gzip(speech: Speech, stream: bool) -> Steps:
    data = gzip.compress(b"".join(speech.events) if stream else said(speech))[:-12]
    kind = "text/event-stream" if stream else "application/json"
    return [head(kind, "content-encoding: gzip", length=len(data)), data]


def no_gzip(speech: Speech, stream: bool) -> Steps:
    data = b"".join(speech.events) if stream else said(speech)
    return [head("text/event-stream" if stream else "application/json", "content-encoding: gzip", length=len(data)), data]


def slow(speech: Speech, stream: bool) -> Steps:
    data = b"".join(speech.events) if stream else said(speech)
    steps: Steps = [head("text/event-stream" if stream else "application/json", length=len(data))]
    for at in range(0, len(data), 97):
        steps += [data[at : at + 97], 0.001]
    return steps


def zipped(speech: Speech, stream: bool) -> Steps:
    data = gzip.compress(b"".join(speech.events) if stream else said(speech))
    return [head("text/event-stream" if stream else "application/json", "content-encoding: gzip", length=len(data)), data]


def some(speech: Speech, *then: bytes | float | None) -> Steps:
    """The beginning of a stream with much of its text, of which the client has seen some."""
    return streamed(*speech.begun, *speech.said[:12], lambda: speech.api in heard, *then)  # type: ignore[arg-type]


# What upstream does; the status before an answer has begun, unstreamed and streamed. 0: the stream begins, and ends in an error.
FAULTS: dict[str, tuple[Callable[[Speech, bool], Steps], int, int]] = {
    "hangs before its headers": (lambda s, stream: [LONG], 504, 504),
    "hangs after its headers": (lambda s, stream: [head("text/event-stream" if stream else "application/json"), LONG], 504, 504),
    "hangs before the first character": (lambda s, stream: [*streamed(*s.begun, b": still here\n\n")[:-1], LONG], 502, 504),
    "hangs in the middle": (lambda s, stream: some(s, LONG) if stream else [head("application/json", length=999), said(s)[:20], LONG], 504, 0),
    "hangs up": (lambda s, stream: [None], 502, 502),
    "speaks no HTTP": (lambda s, stream: [b"\x00\xff\x17 what?\r\n\r\n", None], 502, 502),
    "hangs up within its headers": (lambda s, stream: [b"HTTP/1.1 200 OK\r\ncontent-ty", None], 502, 502),
    "hangs up after its headers": (lambda s, stream: [head("text/event-stream" if stream else "application/json"), None], 502, 502),
    "breaks off before the first character": (lambda s, stream: cut(streamed(*s.begun)) if stream else cut([head("application/json", length=999), b"{"]), 502, 502),
    "breaks off in the middle": (lambda s, stream: cut(some(s)) if stream else [head("application/json", length=999), said(s)[:200], None], 502, 0),
    "ends in the middle": (lambda s, stream: some(s) if stream else [head("application/json", length=200), said(s)[:200]], 502, 0),
    "ends within an event": (lambda s, stream: some(s, s.said[0][: len(s.said[0]) // 2]), 502, 0),
    "ends within a character": (lambda s, stream: some(s, b'data: {"choices": "\xe2\x82') if stream else [head("application/json", length=3), b'"\xe2\x82'], 502, 0),
    "sends an event that is no JSON": (lambda s, stream: some(s, b"data: {what?}\n\n"), 502, 0),
    "sends a chunk of no known size": (lambda s, stream: [*some(s)[:-1], b"zz\r\nwhat?\r\n"] if stream else [head("application/json") + b"zz\r\n{}\r\n"], 502, 0),
    "sends a chunk of no known size, later": (lambda s, stream: [*some(s)[:-1], 0.2, b"zz\r\nwhat?\r\n"] if stream else [head("application/json") + b"2\r\n{}\r\n", 0.2, b"zz\r\n{}\r\n"], 502, 0),
    "answers with nothing": (lambda s, stream: [head("text/event-stream" if stream else "application/json", length=0)], 502, 502),
    "answers with a page": (lambda s, stream: whole(b"<html>Bad gateway</html>", kind="text/html"), 502, 502),
    "answers with half of it": (lambda s, stream: whole(said(s)[:-9]), 502, 502),
    "answers with a list": (lambda s, stream: whole(b"[1, 2]"), 502, 502),
    "streams when it should not, and the reverse": (lambda s, stream: whole(s.whole) if stream else streamed(*s.events), 502, 502),
    "redirects": (declined(302, "text/html", b"", "location: http://127.0.0.1:1/"), 502, 502),
    "says gzip and is none": (no_gzip, 502, 502),
    "breaks off within gzip": (half_gzip, 502, 0),
    "says 500": (declined(500, body=b'{"error": {"message": "My fault.", "type": "server_error", "param": null, "code": null}}'), 500, 500),
    "says 500 with a page": (declined(500, "text/html", b"<html>Oh</html>"), 500, 500),
    "says 503 without a word": (declined(503), 503, 503),
    "says 429": (declined(429, "application/json", b'{"message": "Too many."}', "retry-after: 7"), 429, 429),
    "says 401": (declined(401, body=b'{"error": {"message": "sk-upstream-secret is no key.", "type": "x", "code": "invalid_api_key"}}'), 401, 401),
    "is overloaded, in Anthropic's words": (declined(529, body=b'{"type": "error", "error": {"type": "overloaded_error", "message": "Later."}}'), 529, 529),
}  # fmt: skip
FINE = {"is slow": slow, "zips": zipped, "is well": lambda s, stream: streamed(*s.events) if stream else whole(s.whole)}


def hasty(name: str) -> str:
    """Which of two equal providers a fault is for: the one that is not waited for long has those where nothing comes."""
    return "-hasty" if "hangs " in name.replace("hangs up", "") else ""


def scripted(upstream: Upstream, script: Callable[[Speech, bool, str], Steps]) -> None:
    """No connection is kept, so that one that stays is one that was forgotten."""

    def steps(body: dict[str, Any]) -> Steps:
        first, *rest = script(speech(api_of(body)), body.get("stream") is True, body["model"])
        if isinstance(first, bytes) and first.startswith(b"HTTP/1.1 "):
            first = first.replace(b"\r\n", b"\r\nconnection: close\r\n", 1)
        return [first, *rest]

    upstream.script = steps


async def ask_all(weir: Weir, model: str) -> dict[tuple[str, bool], Outcome]:
    """Every API, streamed and not, all at once."""
    kinds = [(api, stream) for api in APIS for stream in (False, True)]
    async with Clients(weir.url, model) as clients:
        return dict(zip(kinds, await asyncio.gather(*(clients.ask(*kind) for kind in kinds)), strict=True))


def are_answers(outcomes: dict[tuple[str, bool], Outcome]) -> None:
    for kind, outcome in outcomes.items():
        assert (outcome.status, outcome.broken, outcome.text.strip()) == (200, False, TEXT.strip()), (kind, outcome)


def sockets(weir: Weir) -> int:
    names = []
    for one in Path(f"/proc/{weir.process.pid}/fd").iterdir():
        try:
            names.append(os.readlink(one))
        except OSError:
            continue  # closed since
    return sum(name.startswith("socket:") for name in names)


def gauge(weir: Weir, name: str) -> float:
    (found,) = re.findall(rf"^{name} (\S+)$", weir.get("/metrics"), re.MULTILINE)
    return float(found)


def said_of(weir: Weir, route: str) -> list[str]:
    """Who answered a route's requests, by the log."""
    lines = [json.loads(line) for line in weir.log.read_text().splitlines() if line.startswith("{")]
    return [line["provider"] for line in lines if line.get("route") == route]


def nothing_left(weir: Weir, before: int, tasks: float) -> None:
    """No connection, and nothing that still runs."""
    deadline = time.monotonic() + 20
    while True:
        found = (sockets(weir), gauge(weir, "weir_tasks"), gauge(weir, "weir_streams"))
        if found[0] <= before and found[1] <= tasks and found[2] == 0:
            return
        assert time.monotonic() < deadline, (
            f"sockets {found[0]} (were {before}), tasks {found[1]} (were {tasks}), streams {found[2]}"
        )
        time.sleep(0.1)


@pytest.fixture(scope="module")
def idle(weir: Weir) -> tuple[int, float]:
    """What a Weir has open that has not been asked anything."""
    if sys.platform != "linux":
        pytest.skip("open connections are counted under /proc")
    return sockets(weir), gauge(weir, "weir_tasks")


@pytest.mark.parametrize("name", FINE)
async def test_an_answer_is_an_answer(weir: Weir, upstream: Upstream, idle: tuple[int, float], name: str) -> None:
    scripted(upstream, lambda s, stream, model: FINE[name](s, stream))
    are_answers(await ask_all(weir, "alone"))
    nothing_left(weir, *idle)


@pytest.mark.parametrize("name", FAULTS)
async def test_every_fault_has_a_clear_outcome(weir: Weir, upstream: Upstream, idle: tuple[int, float], name: str) -> None:
    """And where another provider stands in before the first character, none at all."""
    script, whole_status, stream_status = FAULTS[name]
    scripted(upstream, lambda s, stream, model: (FINE["is well"] if model == "second" else script)(s, stream))
    asking = [ask_all(weir, "alone" + hasty(name))]
    if stream_status not in (0, 401):  # it breaks later, or is the request's own fault
        asking.append(ask_all(weir, "backed" + hasty(name)))
    alone, *backed = await asyncio.gather(*asking)
    for outcomes in backed:
        are_answers(outcomes)
    for (api, stream), outcome in alone.items():
        expected = stream_status if stream else whole_status
        assert outcome.status == (expected or 200), (api, stream, outcome)
        assert outcome.broken is (expected == 0), (api, stream, outcome)
        assert bool(outcome.text) is outcome.broken and TEXT.startswith(outcome.text), (api, stream, outcome)
        told = outcome.error if isinstance(outcome.error, dict) else outcome.error.to_dict()
        if api == "messages":
            assert told["type"] == "error" and told["error"]["type"] and told["error"]["message"]
        else:
            assert told["message"] and "code" in told, told
        assert "sk-upstream-secret" not in json.dumps(told)
        if expected == 429:
            assert outcome.headers["retry-after"] == "7" and "Too many." in json.dumps(told)
    nothing_left(weir, *idle)


async def test_nobody_there(weir: Weir, idle: tuple[int, float]) -> None:
    async with Clients(weir.url, "lost") as clients:
        assert [(await clients.ask(api, stream)).status for api in APIS for stream in (False, True)] == [502] * 8
    nothing_left(weir, *idle)


async def test_of_an_answer_that_came_to_nothing_the_client_sees_nothing(weir: Weir, upstream: Upstream) -> None:
    scripted(upstream, lambda s, stream, model: streamed(*s.events) if model == "second" else cut(streamed(*s.begun)))
    async with Clients(weir.url, "backed") as clients:
        chunks = [chunk async for chunk in await clients.open("chat", True)]
    assert [c.choices[0].delta.role for c in chunks].count("assistant") == 1


async def test_after_the_first_character_nobody_stands_in(weir: Weir, upstream: Upstream) -> None:
    asked: list[str] = []

    def script(s: Speech, stream: bool, model: str) -> Steps:
        asked.append(model)
        return cut(some(s))

    scripted(upstream, script)
    async with Clients(weir.url, "backed") as clients:
        for api in APIS:
            outcome = await clients.ask(api, True)
            assert outcome.broken and outcome.text and TEXT.startswith(outcome.text)
    assert asked == ["backed"] * 4


async def test_the_same_provider_is_asked_again(weir: Weir, upstream: Upstream) -> None:
    asked = itertools.count()

    def script(s: Speech, stream: bool, model: str) -> Steps:
        if next(asked) % 2:
            return FINE["is well"](s, stream)
        return cut(streamed(*s.begun)) if stream else declined(503)(s, stream)

    scripted(upstream, script)
    async with Clients(weir.url, "again") as clients:
        for api in APIS:
            for stream in (False, True):
                assert (await clients.ask(api, stream)).text.strip() == TEXT.strip()
    assert gauge(weir, re.escape('weir_retries_total{provider="again"}')) == 8


async def test_a_provider_that_fails_in_a_row_is_left_out(weir: Weir, upstream: Upstream) -> None:
    asked: list[str] = []

    def script(s: Speech, stream: bool, model: str) -> Steps:
        asked.append(model)
        return whole(s.whole) if model == "second" else [None]

    scripted(upstream, script)
    async with Clients(weir.url, "frail") as clients:
        for _ in range(4):
            assert (await clients.ask("chat", False)).status == 200
    assert asked == ["frail", "second", "frail", "second", "second", "second"]
    deadline = time.monotonic() + 10
    while (told := said_of(weir, "frail")) != ["second"] * 4 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert told == ["second"] * 4
    assert json.loads(weir.get("/readyz"))["ejected"] == ["frail"]
    assert gauge(weir, re.escape('weir_ejections_total{provider="frail"}')) == 1
    assert gauge(weir, re.escape('weir_ejected{provider="frail"}')) == 1
    assert gauge(weir, re.escape('weir_fallbacks_total{instead="second",provider="frail"}')) == 2


async def test_clients_that_hang_up_leave_nothing_behind(weir: Weir, upstream: Upstream, idle: tuple[int, float]) -> None:
    scripts: list[Callable[[Speech, bool], Steps]] = [
        lambda s, stream: [LONG],
        lambda s, stream: [*streamed(*s.begun)[:-1], LONG],
        lambda s, stream: some(s, LONG),
        declined(429, "application/json", b"{}", "retry-after: 6"),  # and a pause
    ]
    for script in scripts:
        scripted(upstream, lambda s, stream, model, script=script: script(s, stream))  # type: ignore[misc]
        async with Clients(weir.url, "again") as clients:
            asking = [asyncio.create_task(clients.ask(api, True)) for api in APIS]
            await asyncio.sleep(0.3)
            for one in asking:
                one.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        nothing_left(weir, *idle)
