"""What people write is searched for everywhere but where it was asked for: a word that nothing else has, in every corner of
every API, by a Weir that has all its parts at once."""

from __future__ import annotations

import contextlib
import json
import logging
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from proxy.audit.store import Query, Store
from tests.judge.scripted import said, serving
from tests.server.conftest import MODEL_POLICY, Upstream, Weir, answer, chunk, home, start, streamed, whole
from tests.server.test_counters import Redis, start_redis
from tests.server.test_keys import key_line
from tests.server.test_workers import until
from tests.telemetry.receiver import Received, over_http

CANARY = "zyxcanaryquvw"
KEY = "a-secret-of-the-decision-log"
CONFIG = """
version: 1
providers:
  fake: {{type: openai, base_url: "http://127.0.0.1:{upstream}/v1"}}
  gone: {{type: openai, base_url: "http://127.0.0.1:1/v1"}}
detectors:
  judge: {{type: judge, base_url: "{judge}", model: j}}
  silent: {{type: judge, base_url: "http://127.0.0.1:1/v1", model: j}}
routes:
  - {{name: gone, match: {{model: gone}}, provider: gone, policy: judged}}
  - {{name: silent, match: {{model: silent}}, provider: fake, policy: silent}}
  - {{name: main, provider: fake, policy: judged, shadow: silent, unguarded: [/v1/files]}}
limits: {{url: "{redis}"}}
audit: {{url: "{url}", key: {key}, text: {text}}}
telemetry: {{endpoint: "{otlp}"}}
drift: {{window: 24s, texts: 10, threshold: 0.001}}
keys:
"""
RULE = "  - {{id: words, detect: {{judge: {judge}}}, text: '# Any', action: flag}}\n"
POLICIES = {
    "judged": MODEL_POLICY + RULE.format(judge="judge"),
    "silent": MODEL_POLICY.replace("name: judged", "name: silent") + RULE.format(judge="silent"),
}
CHAT = "chat/completions"


class Asking:
    """`own` are the answers in which Weir speaks for itself."""

    def __init__(self, weir: Weir, upstream: Upstream) -> None:
        self.weir, self.upstream, self.count, self.own = weir, upstream, 0, []  # type: ignore[var-annotated]

    def __call__(self, body: Any, path: str = CHAT, *, own: bool = False, raw: bytes | None = None) -> None:
        self.count += 1
        data = raw if raw is not None else json.dumps(body).encode()
        headers = {"authorization": "Bearer token-team", "content-type": "application/json", "user-agent": CANARY}
        told = httpx.post(f"{self.weir.url}/v1/{path}", content=data, headers=headers, timeout=30)
        if own:
            self.own.append(told.text)
            assert told.status_code >= 400, told.text

    def chat(self, text: str = CANARY, own: bool = False, **more: Any) -> None:
        self({"model": "m", "messages": [{"role": "user", "content": text}], **more}, own=own)

    def leaves(self) -> None:
        """In the middle of a stream."""
        self.count += 1
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": CANARY}]}
        with httpx.stream(
            "POST", f"{self.weir.url}/v1/{CHAT}", json=body, headers={"authorization": "Bearer token-team"}
        ) as told:
            next(told.iter_bytes())


def traffic(ask: Asking) -> None:
    upstream = ask.upstream
    call = {"id": "c", "type": "function", "function": {"name": f"{CANARY}_f", "arguments": json.dumps({CANARY: CANARY})}}
    upstream.script = lambda body: whole(answer(f"{CANARY} bluebird joe@example.com", tool_calls=[call]))
    ask.chat(
        f"{CANARY} joe@example.com", user=f"{CANARY}-person", metadata={CANARY: CANARY}, **{f"{CANARY}_key": {CANARY: CANARY}}
    )
    ask.chat(f"{CANARY}: I will find you and kill you tonight, you idiot.")
    ask.chat(f"{CANARY} bluebird", own=True)
    ask.chat(messages=[{"role": CANARY, "content": CANARY}])
    ask.chat(messages=[{"role": "user", "content": [{"type": CANARY, CANARY: CANARY}, {"type": "text", "text": CANARY}]}])
    ask.chat(messages=[{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c", "content": CANARY}])
    ask.chat(tools=[{"type": "function", "function": {"name": CANARY, "description": CANARY}}])
    ask.chat(messages=CANARY, own=True)
    ask.chat(model="gone", own=True)
    ask.chat(model="silent", own=True)
    ask({}, raw=f'{{"model": "m", "messages": [{{"role": "user", "content": "{CANARY}'.encode(), own=True)
    ask({}, raw=json.dumps([CANARY]).encode(), own=True)
    ask({"model": "m", "prompt": f"{CANARY} bluebird"}, "completions", own=True)
    ask({"model": "m", "input": [CANARY, f"{CANARY} joe@example.com"]}, "embeddings")
    ask({"model": "m", "input": CANARY, "instructions": CANARY}, "responses")
    ask({"model": "m", "max_tokens": 9, "system": CANARY, "messages": [{"role": "user", "content": CANARY}]}, "messages")
    ask({"input": CANARY}, "moderations")
    ask({"input": CANARY, "explain": True}, "classify")
    ask({"input": CANARY, "policy": f"version: 1\nrules:\n  - {{id: {CANARY}, nonsense: 1}}\n"}, "classify")
    ask({CANARY: CANARY}, f"files?{CANARY}={CANARY}")
    ask({CANARY: CANARY}, "batches", own=True)
    upstream.script = lambda body: streamed(chunk({"content": f"{CANARY} "}), chunk({CANARY: CANARY}), b"data: {not json}\n\n")
    ask.chat(stream=True)
    upstream.script = lambda body: streamed(
        b"data: " + json.dumps({"error": {"message": CANARY, "code": CANARY}}).encode() + b"\n\n"
    )
    ask.chat(stream=True)
    upstream.script = lambda body: streamed(chunk({"content": f"{CANARY} " * 30}), 3.0, None)
    ask.leaves()
    upstream.script = lambda body: whole({"error": {"message": CANARY, "type": CANARY, "code": CANARY}}, f"500 {CANARY}")
    ask.chat()
    upstream.script = lambda body: whole(f"<html>{CANARY}".encode(), "200 OK", f"text/{CANARY}")
    ask.chat(own=True)
    upstream.script = lambda body: whole({**answer(CANARY, CANARY), "model": f"{CANARY} of {CANARY}", "id": CANARY})
    ask.chat()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    made = start_redis(tmp_path)
    yield made
    made.stop()


@contextlib.contextmanager
def whole_weir(
    upstream: Upstream, folder: Path, redis: Redis, url: str, otlp: Received, text: str
) -> Iterator[tuple[Weir, Asking]]:
    with serving() as judge:
        judge.script = lambda body: said("1", reasoning_content=f"It says {CANARY}, and so it is {CANARY}.")
        path = home(folder, **POLICIES)
        path.write_text(
            CONFIG.format(
                upstream=upstream.port, judge=judge.url, redis=redis.url, url=url, key=KEY, text=text, otlp=otlp.url
            ) + key_line("team", "requests_per_minute: 10000, tokens_per_minute: 10000000")
        )  # fmt: skip
        weir = start(path, folder / "log", "--log-level", "debug")
        try:
            yield weir, Asking(weir, upstream)
        finally:
            assert weir.stop() == 0


def tables(url: str) -> bytes:
    """All that the database has, whatever it is in."""
    with psycopg.connect(url) as connection:
        listed = connection.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'").fetchall()
        return repr([(name, connection.execute(f'SELECT * FROM "{name}"'.encode()).fetchall()) for (name,) in listed]).encode()


def keys(redis: Redis) -> bytes:
    import redis as client

    with client.Redis.from_url(redis.url) as connection:
        names = list(connection.scan_iter("*"))
        assert names
        values = [connection.hgetall(n) if connection.type(n) == b"hash" else connection.dump(n) for n in names]
        return repr((names, values)).encode()


@pytest.mark.parametrize("text", ["never", "redacted", "full"])
def test_no_word_but_those_that_were_asked_for(
    upstream: Upstream, redis: Redis, postgres: str, tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    name = f"canary_{uuid.uuid4().hex}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    url = postgres.replace("/postgres", f"/{name}")
    with over_http() as otlp, whole_weir(upstream, tmp_path, redis, url, otlp, text) as (weir, ask):
        traffic(ask)
        store = Store.open(url, KEY, create=False)
        until(lambda: len(list(store.read(Query(kind="request")))) == ask.count)
        until(lambda: "scores are not as they were" in weir.log.read_text())
        seen = {
            "answers": "".join(ask.own).encode(), "metrics": weir.get("/metrics").encode(), "ready": weir.get("/readyz").encode(),
            "redis": keys(redis), "database": tables(url),
        }  # fmt: skip
        opened = [store.opened(record) for record in store.read(Query(kind="request"))]
        store.close()
    seen |= {"log": weir.log.read_bytes(), "telemetry": b"".join(otlp.raw)}
    assert all(seen.values()) and {span.name for span in otlp.spans} >= {"stream", "apply_guardrail judge"}
    for place, content in seen.items():
        for word in (CANARY, "joe@example.com"):
            assert word.encode() not in content, (place, content[max(0, (at := content.find(word.encode())) - 200) : at + 100])
    kept = json.dumps([one.get("texts") for one in opened])
    why = json.dumps([one.get("rationales") for one in opened])
    assert (CANARY in kept) is (CANARY in why) is (text != "never")
    assert ("joe@example.com" in kept) is ("bluebird" in kept) is (text == "full")
