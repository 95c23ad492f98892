"""Two Weir processes, one Redis, one set of limits."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from .conftest import Upstream, Weir, answer, chunk, start, streamed, whole
from .test_counters import Redis, start_redis
from .test_keys import HEAD, ask, client, key_line, left, said, write_home

KEYS = {
    "counted": "requests_per_minute: 5",
    "tokens": "tokens_per_minute: 2000",
    "stream": "concurrent_streams: 1",
    "budget": "monthly_budget: 1.0",
}


@contextlib.contextmanager
def weirs(upstream: Upstream, folder: Path, redis: Redis, more: str = "", count: int = 2) -> Iterator[list[Weir]]:
    config = HEAD.format(upstream=upstream.port).replace("limits: {", f'limits: {{url: "{redis.url}", {more}')
    path = write_home(folder, config + "".join(key_line(*one) for one in KEYS.items()))
    running = [start(path, folder / f"log-{number}") for number in range(count)]
    try:
        yield running
    finally:
        for weir in running:
            weir.process.terminate()
        for weir in running:
            weir.process.wait(30)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    made = start_redis(tmp_path)
    yield made
    made.stop()


def refused(one: openai.OpenAI, **more: Any) -> str:
    with pytest.raises(openai.RateLimitError) as told:
        ask(one, **more)
    return str(told.value.type)


def test_one_limit_for_two_weirs_and_a_redis_that_goes_away(upstream: Upstream, redis: Redis, tmp_path: Path) -> None:
    upstream.script = lambda body: whole(said("Yes.", 0, 400))
    with weirs(upstream, tmp_path, redis) as (here, there):
        with client(here, "counted") as one, client(there, "counted") as other:
            rest = [left(c, "requests") for c in (one, other, one, other, one)]
            assert rest == [4, 3, 2, 1, 0]
            assert refused(other) == refused(one) == "requests"
        with client(here, "tokens") as one, client(there, "tokens") as other:
            assert left(one) == 2000 - 13
            assert 1580 <= left(other) <= 1610  # what the other Weir's provider counted
        with client(here, "budget") as one, client(there, "budget") as other:
            ask(one)
            ask(other)
            ask(one)  # 0.8 and a little by the estimate; 1.2 in the end
            assert refused(other) == "insufficient_quota"
        with client(here, "stream") as one, client(there, "stream") as other:
            upstream.script = lambda body: streamed(chunk({"content": "So it begins, and goes on. "}), 60.0, chunk({}, "stop"))
            stream = ask(one, stream=True)  # begun: its first text is there
            assert refused(other, stream=True) == "requests"
            stream.close()
            upstream.script = lambda body: streamed(chunk({}, "stop"), b"data: [DONE]\n\n")
            for _ in range(50):
                with contextlib.suppress(openai.RateLimitError):
                    assert len(list(ask(other, stream=True))) == 1
                    break
                time.sleep(0.1)
            else:
                pytest.fail("the stream's place was not given back")
        assert "weir_limits_shared 1.0" in here.get("/metrics")

        redis.stop()
        upstream.script = lambda body: whole(answer("Yes."))
        with client(here, "counted") as one, client(there, "counted") as other:
            assert [left(one, "requests") for _ in range(5)] == [4, 3, 2, 1, 0]  # each for itself, and never a 500
            assert refused(one) == "requests"
            assert left(other, "requests") == 4
        assert "weir_limits_shared 0.0" in here.get("/metrics")
        assert "weir_limits_errors_total 0.0" not in here.get("/metrics")
        log = here.log.read_text()
        assert log.count("Redis does not answer") == 1 and "counted in this process" in log

        again = start_redis(tmp_path, redis.port)
        try:
            time.sleep(2.1)
            with client(here, "counted") as one, client(there, "counted") as other:
                assert [left(c, "requests") for c in (one, other)] == [4, 3]
            assert "weir_limits_shared 1.0" in here.get("/metrics") and "answers again" in here.log.read_text()
        finally:
            again.stop()


@pytest.mark.parametrize("on_error", ["allow", "deny"])
def test_without_redis_as_the_config_says(upstream: Upstream, tmp_path: Path, redis: Redis, on_error: str) -> None:
    upstream.script = lambda body: whole(answer("Yes."))
    redis.stop()
    with weirs(upstream, tmp_path, redis, f"on_error: {on_error}, ", 1) as (weir,), client(weir, "counted") as one:
        if on_error == "allow":
            assert all(ask(one).choices for _ in range(8))
            return
        with pytest.raises(openai.InternalServerError) as told:
            ask(one)
        assert (told.value.status_code, told.value.code) == (503, "limits_unavailable")
