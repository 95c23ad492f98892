"""What keys allow, as callers see it: OpenAI's and Anthropic's own SDKs against a real Weir."""

from __future__ import annotations

import hashlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from .conftest import POLICY, Upstream, Weir, answer, chunk, start, streamed, whole

HELLO: Any = [{"role": "user", "content": "Hello there"}]
HEAD = """
version: 1
providers: {{fake: {{type: openai, base_url: "http://127.0.0.1:{upstream}/v1", api_key: "upstream-secret"}}}}
routes:
  - {{name: dear, match: {{model: "dear"}}, provider: fake, model: real-dear, policy: test}}
  - {{name: any, match: {{model: "m*"}}, provider: fake, policy: test}}
prices: {{"m*": {{input: 0, output: 1000}}}}
limits: {{messages: 5, parts: 4, tools: 3, nesting: 8, body: 50KB}}
keys:
"""
KEYS = {
    "free": "",
    "models": "models: [m-1, 'mini-*'], routes: [any]",
    "seldom": "requests_per_minute: 2",
    "tokens": "tokens_per_minute: 2000",
    "streamed": "tokens_per_minute: 2000",
    "blocked": "tokens_per_minute: 2000",
    "hung-up": "tokens_per_minute: 2000",
    "claude": "tokens_per_minute: 2000, requests_per_minute: 100",
    "claude-seldom": "requests_per_minute: 1, models: [m-1]",
    "one-stream": "concurrent_streams: 1",
    "budget": "monthly_budget: 1.0",
    "old": "expires: 2020-01-31",
    "young": "expires: 2199-01-31",
    "everywhere": "requests_per_minute: 3",
}


def write_home(folder: Path, config: str, policy: str = POLICY) -> Path:
    for name in ("config", "policies"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "policies" / "test.yaml").write_text(policy)
    path = folder / "config" / "weir.yaml"
    path.write_text(config)
    return path


def key_line(name: str, more: str = "") -> str:
    digest = hashlib.sha256(f"token-{name}".encode()).hexdigest()
    return f'  - {{name: {name}, sha256: "{digest}"{", " if more else ""}{more}}}\n'


def config_of(upstream: Upstream, keys: dict[str, str]) -> str:
    return HEAD.format(upstream=upstream.port) + "".join(key_line(*one) for one in keys.items())


@pytest.fixture(scope="module")
def keyed(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weir]:
    folder = tmp_path_factory.mktemp("keys")
    running = start(write_home(folder, config_of(upstream, KEYS)), folder / "log")
    yield running
    running.stop()


def client(weir: Weir, key: str, retries: int = 0) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{weir.url}/v1", api_key=f"token-{key}", max_retries=retries)


def claude(weir: Weir, key: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=weir.url, api_key=f"token-{key}", max_retries=0)


def ask(one: openai.OpenAI, **more: Any) -> Any:
    return one.chat.completions.create(**{"model": "m-1", "messages": HELLO, "max_tokens": 10, **more})


def left(one: openai.OpenAI, kind: str = "tokens", **more: Any) -> int:
    """What a request is told to be left, which takes 13 tokens itself until it is settled."""
    raw = one.chat.completions.with_raw_response.create(model="m-1", messages=HELLO, max_tokens=10, **more)
    return int(raw.headers[f"x-ratelimit-remaining-{kind}"])


def said(text: str, prompt: int, completion: int) -> dict[str, Any]:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {**answer(text), "usage": usage}


def test_who_may_come_in(keyed: Weir, upstream: Upstream) -> None:
    upstream.script = lambda body: whole(answer("Yes."))
    for name in ("nobody", "old"):
        with client(keyed, name) as one, pytest.raises(openai.AuthenticationError) as told:
            ask(one)
        assert (told.value.code, told.value.type, told.value.param) == ("invalid_api_key", "invalid_request_error", None)
        assert "2020-01-31" in str(told.value) or name == "nobody"
    for name in ("free", "young"):
        with client(keyed, name) as one:
            assert ask(one).choices
    before = len(upstream.requests)
    request = urllib.request.Request(keyed.url + "/v1/chat/completions", b"no JSON, and no key")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=5)
    with refused.value:
        assert refused.value.code == 401 and "didn't provide" in json.load(refused.value)["error"]["message"]
    assert len(upstream.requests) == before


def test_models(keyed: Weir, upstream: Upstream) -> None:
    upstream.script = lambda body: whole(answer("Yes."))
    with client(keyed, "models") as one:
        for model in ("m-1", "mini-4"):
            assert ask(one, model=model).choices
        for model in ("m-2", "dear"):
            with pytest.raises(openai.PermissionDeniedError) as told:
                ask(one, model=model)
            assert told.value.type == "invalid_request_error"
        with pytest.raises(openai.NotFoundError) as missing:
            ask(one, model="nowhere")
        assert (missing.value.code, missing.value.param) == ("model_not_found", None)
        assert "The model `nowhere` does not exist" in str(missing.value)
        upstream.script = lambda body: whole({"object": "list", "data": [{"id": i} for i in ("m-1", "m-2", "mini-4", "other")]})
        assert [m.id for m in one.models.list().data] == ["m-1", "mini-4"]


def test_tokens_are_counted_by_the_providers_word(keyed: Weir, upstream: Upstream) -> None:
    upstream.script = lambda body: whole(said("Yes.", 500, 900))
    with client(keyed, "tokens") as one:
        assert left(one) == 2000 - 13
        assert 580 <= left(one) <= 620  # 1400 have gone, some leaked
        with pytest.raises(openai.RateLimitError) as told:
            ask(one)
    assert (told.value.code, told.value.type, told.value.param) == ("rate_limit_exceeded", "tokens", None)
    headers = told.value.response.headers
    assert headers["x-ratelimit-limit-tokens"] == "2000" and headers["x-ratelimit-remaining-tokens"] == "0"
    assert 10 <= int(headers["retry-after"]) <= 30  # 800 over, 33 leak a second
    assert float(headers["retry-after-ms"]) <= int(headers["retry-after"]) * 1000
    assert headers["x-ratelimit-reset-tokens"].endswith("s")


def test_a_blocked_prompt_costs_no_tokens(keyed: Weir, upstream: Upstream) -> None:
    upstream.script = lambda body: whole({"error": {"message": "no"}}, "400 Bad Request")
    with client(keyed, "blocked") as one:
        with pytest.raises(openai.BadRequestError):
            ask(one, messages=[{"role": "user", "content": "bluebird " * 100}])
        with pytest.raises(openai.BadRequestError, match="no"):
            ask(one, messages=[{"role": "user", "content": "hello " * 100}])
        upstream.script = lambda body: whole(said("Yes.", 1, 1))
        assert left(one) == 2000 - 13


def test_streams_are_counted_and_the_caller_sees_what_it_asked_for(keyed: Weir, upstream: Upstream) -> None:
    counted = {**json.loads(chunk({})[6:]), "choices": []}
    counted["usage"] = {"prompt_tokens": 100, "completion_tokens": 300, "total_tokens": 400}
    last = b"data: " + json.dumps(counted).encode() + b"\n\n"
    upstream.script = lambda body: streamed(
        chunk({"content": "one "}), chunk({"content": "two"}), chunk({}, "stop"), last[:20], last[20:], b"data: [DONE]\n\n"
    )
    with client(keyed, "streamed") as one:
        chunks = list(ask(one, stream=True))
        assert upstream.requests[-1]["stream_options"] == {"include_usage": True}
        assert "".join(c.choices[0].delta.content or "" for c in chunks) == "one two"
        assert all(c.usage is None for c in chunks)
        chunks = list(ask(one, stream=True, stream_options={"include_usage": True, "include_obfuscation": False}))
        assert [c.usage.total_tokens for c in chunks if c.usage] == [400]
        upstream.script = lambda body: whole(said("Yes.", 1, 1))
        assert 1180 <= left(one) <= 1230
    with client(keyed, "free") as free:
        ask(free)
        assert "stream_options" not in upstream.requests[-1]


def test_a_client_that_hangs_up_has_had_what_it_had(keyed: Weir, upstream: Upstream) -> None:
    upstream.script = lambda body: streamed(chunk({"content": "word " * 400}), 3.0, chunk({}, "stop"), b"data: [DONE]\n\n")
    with client(keyed, "hung-up") as one:
        stream = ask(one, stream=True)
        next(iter(stream))
        stream.close()
        upstream.script = lambda body: whole(said("Yes.", 1, 1))
        for _ in range(40):
            if (found := left(one)) < 1700:
                break
            time.sleep(0.1)
        assert 1460 <= found <= 1530  # 2000 characters are 500 tokens


def test_streams_at_a_time_and_the_sdk_comes_back_when_told(keyed: Weir, upstream: Upstream) -> None:
    upstream.script = lambda body: streamed(chunk({"content": "one "}), 0.5, chunk({}, "stop"), b"data: [DONE]\n\n")
    with client(keyed, "one-stream") as one, client(keyed, "one-stream", retries=1) as patient:
        first = ask(one, stream=True)
        with pytest.raises(openai.RateLimitError) as told:
            ask(one, stream=True)
        assert told.value.response.headers["retry-after"] == "1"
        upstream_had = len(upstream.requests)
        began = time.monotonic()
        second = ask(patient, stream=True)
        assert time.monotonic() - began >= 0.9  # the SDK's own guess would be half a second
        assert len(upstream.requests) == upstream_had + 1
        assert all(len([c for c in stream if c.choices]) == 2 for stream in (first, second))
        assert ask(one, stream=True).close() is None
        upstream.script = lambda body: whole(answer("Yes."))
        assert ask(one).choices


def test_a_budget(keyed: Weir, upstream: Upstream) -> None:
    upstream.script = lambda body: whole(said("Yes.", 0, 600))
    with client(keyed, "budget", retries=2) as one:
        assert ask(one).choices and ask(one).choices
        before = len(upstream.requests)
        began = time.monotonic()
        with pytest.raises(openai.RateLimitError) as told:
            ask(one)
        assert time.monotonic() - began < 0.4  # not tried again: the month is long
        assert (told.value.code, told.value.type) == ("insufficient_quota", "insufficient_quota")
        with pytest.raises(openai.PermissionDeniedError) as unpriced:
            ask(one, model="dear")
        assert (unpriced.value.code, len(upstream.requests)) == ("price_unknown", before)
    log = keyed.log.read_text()
    assert 'no price for the model "real-dear"' in log and "monthly_budget: spending is counted in this process" in log
    spent = next(line for line in keyed.get("/metrics").splitlines() if line.startswith('weir_key_spend_total{key="budget"}'))
    assert float(spent.split()[-1]) == pytest.approx(1.2)


def test_anthropics_words(keyed: Weir, upstream: Upstream) -> None:
    usage = {"input_tokens": 300, "cache_read_input_tokens": 200, "output_tokens": 400}
    message = {
        "id": "a",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "stop_reason": "end_turn",
        "stop_sequence": None,
    }
    answered = whole({**message, "content": [{"type": "text", "text": "Yes."}], "usage": usage})
    upstream.script = lambda body: answered
    asked: Any = {"model": "m-1", "max_tokens": 10, "messages": HELLO}
    with claude(keyed, "claude") as one:
        one.messages.create(**asked)
        raw = one.messages.with_raw_response.create(**asked)
        assert 1080 <= int(raw.headers["x-ratelimit-remaining-tokens"]) <= 1130
        assert raw.headers["x-ratelimit-remaining-requests"] == "98"
        events = [
            {"type": "message_start", "message": {**message, "content": [], "usage": {"input_tokens": 50, "output_tokens": 1}}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Yes."}},
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                "usage": {"output_tokens": 90},
            },
            {"type": "message_stop"},
        ]
        pieces = [f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in events]
        upstream.script = lambda body: streamed(*pieces)
        with one.messages.stream(**asked) as stream:
            assert stream.get_final_text() == "Yes."
        assert "stream_options" not in upstream.requests[-1]
        with one.messages.with_streaming_response.create(**asked, stream=True) as response:
            assert 40 <= int(response.headers["x-ratelimit-remaining-tokens"]) <= 110
            response.read()
    types: list[tuple[str, type[anthropic.APIStatusError], dict[str, Any], str]] = [
        ("nobody", anthropic.AuthenticationError, {}, "authentication_error"),
        ("claude-seldom", anthropic.PermissionDeniedError, {"model": "m-2"}, "permission_error"),
        ("claude-seldom", anthropic.NotFoundError, {"model": "nowhere"}, "not_found_error"),
        ("claude-seldom", anthropic.BadRequestError, {"messages": HELLO * 6}, "invalid_request_error"),
        ("claude-seldom", anthropic.RateLimitError, {}, "rate_limit_error"),
    ]
    upstream.script = lambda body: answered
    with claude(keyed, "claude-seldom") as seldom:
        seldom.messages.create(**asked)
    for key, kind, more, name in types:
        with claude(keyed, key) as one, pytest.raises(kind) as told:
            one.messages.create(**{**asked, **more})
        body: Any = told.value.body
        assert (body["type"], body["error"]["type"]) == ("error", name)
    assert 0 < int(told.value.response.headers["retry-after"]) <= 60


def test_what_no_provider_answers_counts_as_a_request(keyed: Weir, upstream: Upstream) -> None:
    with client(keyed, "everywhere") as one:
        one.moderations.create(model="m-9", input="Hello there")
        one.post("/classify", body={"input": "Hello there", "policy": "test"}, cast_to=object)
        with pytest.raises(openai.NotFoundError):  # refused, and so not counted
            one.post("/batches", body={}, cast_to=object)
        one.moderations.create(model="m-9", input="Hello there")
        for _ in range(2):
            with pytest.raises(openai.RateLimitError) as told:
                one.moderations.create(model="m-9", input="Hello there")
        assert told.value.response.headers["x-ratelimit-remaining-requests"] == "0"
        with pytest.raises(openai.RateLimitError):
            one.post("/classify", body={"input": "Hello there", "policy": "test"}, cast_to=object)


def test_a_request_of_too_much(keyed: Weir, upstream: Upstream) -> None:
    upstream.script = lambda body: whole(answer("Yes."))
    deep: Any = {}
    for _ in range(9):
        deep = {"a": deep}
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    before = len(upstream.requests)
    with client(keyed, "free") as one:
        for more, param in (
            ({"messages": HELLO * 6}, "messages"),
            ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}] * 5}]}, "messages"),
            ({"tools": [tool] * 4}, "tools"),
            ({"metadata": deep}, None),
        ):
            with pytest.raises(openai.BadRequestError) as told:
                ask(one, **more)
            code = "array_above_max_length" if param else "nested_too_deeply"
            assert (told.value.code, told.value.param) == (code, param)
        with pytest.raises(openai.BadRequestError) as told:
            one.embeddings.create(model="m-1", input=["x"] * 6)
        assert told.value.param == "input"
        with pytest.raises(openai.APIStatusError) as large:
            ask(one, messages=[{"role": "user", "content": "x" * 60_000}])
        assert (large.value.status_code, large.value.code) == (413, "request_too_large")
        assert len(upstream.requests) == before
        assert ask(one, messages=HELLO * 5, tools=[tool] * 3).choices


def test_keys_come_and_go_while_weir_runs(upstream: Upstream, tmp_path: Path) -> None:
    upstream.script = lambda body: whole(answer("Yes."))
    running = start(write_home(tmp_path, config_of(upstream, {"early": "requests_per_minute: 1"})), tmp_path / "log")
    try:
        with client(running, "early") as early, client(running, "late") as late:
            ask(early)
            with pytest.raises(openai.AuthenticationError):
                ask(late)
            write_home(tmp_path, config_of(upstream, {"late": ""}))
            for _ in range(100):
                try:
                    assert ask(late).choices
                    break
                except openai.AuthenticationError:
                    time.sleep(0.05)
            else:
                pytest.fail("the new key was not read")
            with pytest.raises(openai.AuthenticationError):
                ask(early)
            write_home(tmp_path, config_of(upstream, {"late": ""}) + "  - {name: broken}\n")
            for _ in range(100):
                if "reload_error" in running.get("/readyz"):
                    break
                time.sleep(0.05)
            assert '"sha256" is missing' in json.loads(running.get("/readyz"))["reload_error"]
            assert ask(late).choices
    finally:
        running.stop()
