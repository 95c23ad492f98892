"""Verdicts in a real Redis: known to all who have the key, readable to nobody."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio

from proxy.config import Verdicts
from proxy.server.verdicts import Shared
from proxy.types import Action, Failure, Outcome, Span, Step, Verdict

from .conftest import MODEL_POLICY, Upstream, Weir, answer, home, start, whole
from .test_counters import Redis, start_redis

SECRET = "a secret of at least sixteen characters"
KEY = b"what a verdict depends on"
JUDGED = Verdict(
    Action.BLOCK,
    (Outcome("hate", Action.BLOCK, True, "hate", 0.9, 0.5, (Span(2, 7),), "judge", ("H1",), "the text says nightingale"),),
    ((Span(2, 7), "EMAIL"),), (), False, (Step("judge", "hate", 0.9, 0.2),), False, {"hate": 0.9},
)  # fmt: skip


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Redis]:
    (tmp_path / "redis").mkdir()
    made = start_redis(tmp_path / "redis")
    yield made
    made.stop()


def memory(server: Redis, secret: str = SECRET, lifetime: float = 60.0) -> Shared:
    return Shared(Verdicts(url=server.url, key=secret, lifetime=lifetime))


async def told(one: Shared, key: bytes = KEY) -> Verdict | None:
    await one.fetch([key, b"another"])
    return one.get(key)


async def test_what_one_has_judged_another_knows(server: Redis) -> None:
    first, second, stranger = memory(server), memory(server), memory(server, SECRET.upper())
    first.put(KEY, JUDGED)
    first.put(b"failed", Verdict(not_inspected=(Failure("safeguard", "timed out"),)))
    first.flush()
    await first.close()
    found = await told(second)
    assert found == Verdict(**{**_fields(JUDGED), "outcomes": (_silent(JUDGED.outcomes[0]),)})
    assert found.scores == {"hate": 0.9} and found.blocking is not None
    assert await told(stranger) is None
    async with redis.asyncio.Redis.from_url(server.url) as plain:
        (name,) = await plain.keys("*")  # nothing of what was not judged to the end
        stored = await plain.get(name)
        assert 0 < await plain.ttl(name) <= 60
        assert b"nightingale" not in stored and KEY not in name + stored
        for forged in (stored[:-1] + bytes([stored[-1] ^ 1]), bytes(16) + stored[16:], stored[16:], b""):
            await plain.set(name, forged)
            fresh = memory(server)
            assert await told(fresh) is None
            await fresh.close()
        await plain.set(second._name(b"another"), stored)  # nor may a verdict be moved to another text
        assert await told(second, b"another") is None
    for one in (second, stranger):
        await one.close()


def _fields(verdict: Verdict) -> dict[str, Any]:
    return {name: getattr(verdict, name) for name in verdict.__dataclass_fields__}


def _silent(outcome: Outcome) -> Outcome:
    return Outcome(**{**{n: getattr(outcome, n) for n in outcome.__dataclass_fields__}, "rationale": ""})


async def test_without_redis_there_is_nothing_to_know_and_nobody_waits(server: Redis) -> None:
    one = memory(server)
    server.stop()
    one.put(KEY, JUDGED)
    one.flush()
    await asyncio.sleep(0.3)
    began = time.monotonic()
    for number in range(200):
        assert await told(one, b"%d" % number) is None
    assert time.monotonic() - began < 1.5
    assert one.get(KEY) is JUDGED
    await one.close()


CONFIG = """
version: 1
providers: {{fake: {{type: openai, base_url: "http://127.0.0.1:{upstream}/v1"}}}}
routes: [{{name: all, provider: fake, policy: judged}}]
verdicts: {{url: "{redis}", key: "{secret}"}}
"""
HARM = "I will kill you and your whole family"


def ask(weir: Weir, *texts: str) -> int:
    said = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]
    body = json.dumps({"model": "m", "messages": said}).encode()
    request = urllib.request.Request(weir.url + "/v1/chat/completions", body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return int(response.status)
    except urllib.error.HTTPError as refused:
        return refused.code


def number(weir: Weir, name: str) -> float:
    return sum(float(line.rsplit(" ", 1)[1]) for line in weir.get("/metrics").splitlines() if line.startswith(name))


def test_two_weirs_judge_a_conversation_once(server: Redis, upstream: Upstream, tmp_path: Path) -> None:
    upstream.script = lambda body: whole(answer("Fine."))
    path = home(tmp_path, judged=MODEL_POLICY.replace("name: judged", "name: judged\nhistory: judge_new"))
    path.write_text(CONFIG.format(upstream=upstream.port, redis=server.url, secret=SECRET))
    here, there = (start(path, tmp_path / f"log-{n}") for n in range(2))
    try:
        turns = ["My garden is full of weeds, what can I do?", "Pull them out after rain.", "And the moss on the old stones?"]
        assert ask(here, *turns) == 200 and ask(here, HARM) == 400
        with redis.Redis.from_url(server.url) as plain:
            for _ in range(100):
                if len(plain.keys("*")) >= 5:
                    break
                time.sleep(0.05)
        assert ask(there, *turns) == 200
        hits = number(there, 'weir_verdicts_shared_total{result="hit"}')
        assert hits >= len(turns) and number(there, 'weir_verdicts_shared_total{result="miss"}') == 0
        assert ask(there, HARM, "I will not.", "Then tell me of gardens.") == 200  # blocked there, withheld here
        assert upstream.requests[-1]["messages"][0]["content"] == "[WITHHELD_1]"
        with redis.Redis.from_url(server.url) as plain:
            dump = b"".join(key + plain.get(key) for key in plain.keys("*"))
        assert not [word for word in (b"garden", b"family", b"stones") if word in dump]
        server.stop()
        assert ask(there, "Without Redis it is judged here.") == 200 and ask(there, f"{HARM}, now") == 400
    finally:
        for weir in (here, there):
            weir.process.terminate()
        for weir in (here, there):
            weir.process.wait(30)
