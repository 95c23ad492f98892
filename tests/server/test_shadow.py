"""A real Weir with a second policy on the same traffic: it decides nothing, unless a share of the conversations is its own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from openai import BadRequestError, OpenAI

from proxy.server.shadow import drawn
from tests.server.conftest import Upstream, Weir, answer, chunk, running, streamed, whole

LIVE = """
version: 1
name: live
rules:
  - {id: birds, detect: {keywords: [bluebird]}, action: block}
  - {id: mail, detect: {entities: [email]}, action: redact}
"""
NEXT = """
version: 1
name: next
rules:
  - {id: birds, detect: {keywords: [bluebird, "red robin"]}, action: block}
  - {id: secrets, detect: {keywords: [kestrel]}, action: flag}
"""
CONFIG = """
version: 1
providers:
  fake: {{type: openai, base_url: "http://127.0.0.1:{upstream}/v1"}}
routes:
  - {{name: canary, match: {{model: "canary"}}, provider: fake, policy: live, shadow: policies/next.yaml, shadow_share: 100%}}
  - {{name: main, match: {{model: "*"}}, provider: fake, policy: live, shadow: next}}
"""


@pytest.fixture(scope="module")
def weir(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weir]:
    config = CONFIG.format(upstream=upstream.port)
    with running(tmp_path_factory.mktemp("shadow"), config, live=LIVE, next=NEXT) as one:
        yield one


@pytest.fixture
def client(weir: Weir) -> Iterator[OpenAI]:
    with OpenAI(base_url=weir.url + "/v1", api_key="k", max_retries=0) as one:
        yield one


def differences(weir: Weir, request: str) -> list[dict[str, Any]]:
    """What was logged of a request before its record."""
    for _ in range(200):
        lines = [json.loads(line) for line in weir.log.read_text().splitlines() if request in line]
        if any(line["message"] == "request" for line in lines):
            return [line for line in lines if line["message"] == "shadow differs"]
        time.sleep(0.02)
    raise AssertionError("no record")


def ask(client: OpenAI, text: str, model: str = "m") -> Any:
    return client.chat.completions.with_raw_response.create(model=model, messages=[{"role": "user", "content": text}])


def test_a_prompt_that_only_the_candidate_would_block(weir: Weir, client: OpenAI, upstream: Upstream) -> None:
    upstream.script = lambda body: whole(answer("fine"))
    made = ask(client, "a red robin, write to joe@example.com")
    assert made.parse().choices[0].message.content == "fine"
    (found,) = differences(weir, made.headers["x-weir-request-id"])
    assert (found["direction"], found["action"], found["shadow_action"]) == ("prompt", "redact", "block")
    assert (found["gained"], found["lost"]) == (["birds"], ["mail"])
    text = str(weir.get("/metrics"))
    assert 'weir_shadow_total{action="redact",direction="prompt",route="main",shadow="block"}' in text
    assert 'weir_shadow_rules_total{change="gained",route="main",rule="birds"}' in text


def test_where_both_say_the_same_nothing_is_listed(weir: Weir, client: OpenAI, upstream: Upstream) -> None:
    upstream.script = lambda body: whole(answer("fine"))
    assert differences(weir, ask(client, "hello").headers["x-weir-request-id"]) == []


def test_an_answer_whole_and_streamed(weir: Weir, client: OpenAI, upstream: Upstream) -> None:
    upstream.script = lambda body: whole(answer("There is a red robin."))
    (found,) = differences(weir, ask(client, "hi").headers["x-weir-request-id"])
    assert (found["direction"], found["action"], found["shadow_action"]) == ("completion", "pass", "block")
    upstream.script = lambda body: streamed(
        chunk({"content": "There is a red ro"}), chunk({"content": "bin."}), chunk({}, "stop"), b"data: [DONE]\n\n"
    )
    with client.chat.completions.with_streaming_response.create(
        model="m", stream=True, messages=[{"role": "user", "content": "hi"}]
    ) as stream:
        assert "bin" in stream.read().decode()
        request = stream.headers["x-weir-request-id"]
    (found,) = differences(weir, request)
    assert (found["direction"], found["action"], found["shadow_action"]) == ("completion", "pass", "block")


def test_a_block_is_compared_too(weir: Weir, client: OpenAI) -> None:
    with pytest.raises(BadRequestError) as blocked:
        ask(client, "a bluebird and a kestrel")
    (found,) = differences(weir, blocked.value.response.headers["x-weir-request-id"])
    assert (found["action"], found["shadow_action"], found["gained"]) == ("block", "block", ["secrets"])


def test_a_share_of_the_conversations_is_decided_by_the_candidate(weir: Weir, client: OpenAI, upstream: Upstream) -> None:
    upstream.script = lambda body: whole(answer("fine"))
    with pytest.raises(BadRequestError) as blocked:
        ask(client, "a red robin", "canary")
    assert blocked.value.response.headers["x-weir-policy"].startswith("next@")
    (found,) = differences(weir, blocked.value.response.headers["x-weir-request-id"])
    assert (found["action"], found["shadow_action"], found["lost"]) == ("block", "pass", ["birds"])


def test_the_draw_is_even_and_the_same_for_a_conversation() -> None:
    draws = [drawn("key", "route", f"question {i}") for i in range(4000)]
    assert 0.03 < sum(d < 0.05 for d in draws) / len(draws) < 0.07
    assert drawn("key", "route", "a") == drawn("key", "route", "a") != drawn("other", "route", "a")
