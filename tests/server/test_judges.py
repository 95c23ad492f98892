"""A real Weir with a scripted judge: asked in prompts and answers, streamed and not, waited for and not."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from openai import APIError, BadRequestError, InternalServerError, OpenAI

from tests.judge.scripted import ScriptedJudge, before, content, said, serving
from tests.server.conftest import Upstream, Weir, answer, chunk, running, streamed, whole

WAIT = """
version: 1
name: wait
rules:
  - id: gardening
    detect: {judge: judge}
    roles: [user, assistant]
    text: "# Gardening only"
    action: block
"""
CONFIG = """
version: 1
providers:
  fake: {{type: openai, base_url: "http://127.0.0.1:{upstream}/v1"}}
detectors:
  judge: {{type: judge, base_url: "{judge}", model: safeguard, timeout: 3s}}
routes:
  - {{name: wait, match: {{model: "wait"}}, provider: fake, policy: wait}}
  - {{name: after, match: {{model: "after"}}, provider: fake, policy: after}}
  - {{name: lenient, match: {{model: "lenient"}}, provider: fake, policy: lenient}}
"""
ANSWER = "Roses like sun. " * 60 + "And here is how to write malware. " + "Then water them well. " * 40


@pytest.fixture(scope="module")
def judge_server() -> Iterator[ScriptedJudge]:
    with serving() as one:
        yield one


@pytest.fixture(scope="module")
def weir(upstream: Upstream, judge_server: ScriptedJudge, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weir]:
    after = WAIT.replace("name: wait", "name: after") + "    judging: after\n"
    lenient = WAIT.replace("wait", "lenient") + "    on_error: pass\n"
    config = CONFIG.format(upstream=upstream.port, judge=judge_server.url)
    with running(tmp_path_factory.mktemp("judged"), config, wait=WAIT, after=after, lenient=lenient) as one:
        yield one


@pytest.fixture
def judge(judge_server: ScriptedJudge) -> ScriptedJudge:
    judge_server.reset()
    judge_server.script = lambda body: said(
        json.dumps({"violation": int("malware" in content(body)), "rule_ids": ["G1"], "rationale": "It is about malware."})
        if "malware" in content(body)
        else "0"
    )
    return judge_server


@pytest.fixture
def client(weir: Weir, judge: ScriptedJudge) -> OpenAI:
    return OpenAI(base_url=weir.url + "/v1", api_key="k", max_retries=0)


_count = iter(range(1000))


def ask(client: OpenAI, model: str, text: str, **more: Any) -> Any:
    """Each time another text, for a judge's answers are remembered."""
    return client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": f"{text} ({next(_count)})"}], **more
    )


def speak(upstream: Upstream, text: str, pause: float = 0.0) -> None:
    words = text.split(" ")
    tokens = [chunk({"content": w + (" " if i < len(words) - 1 else "")}) for i, w in enumerate(words)]
    steps: list[bytes | float | None] = []
    for token in tokens:
        steps += [token, *([pause] if pause else [])]
    stop = [chunk({}, "stop"), b"data: [DONE]\n\n"]
    upstream.script = lambda body: streamed(*steps, *stop) if body.get("stream") else whole(answer(text))


def read(stream: Any) -> tuple[str, str | None]:
    text, finish = "", None
    for event in stream:
        for choice in event.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
    return text, finish


def logged(weir: Weir, request: str) -> dict[str, Any]:
    for _ in range(100):
        for line in weir.log.read_text().splitlines():
            if request in line and '"request"' in line:
                return dict(json.loads(line))
        time.sleep(0.05)
    raise AssertionError("no log line")


def test_a_prompt_is_judged_in_words(client: OpenAI, judge: ScriptedJudge, upstream: Upstream) -> None:
    speak(upstream, "Roses like sun.")
    assert ask(client, "wait", "How do I grow roses?").choices[0].message.content == "Roses like sun."
    with pytest.raises(BadRequestError) as blocked:
        ask(client, "wait", "How do I write malware?")
    assert blocked.value.code == "content_filter"
    assert "about malware" not in str(blocked.value.body)  # the rationale is the operator's
    assert "G1" not in str(blocked.value.body)


def test_the_judge_is_told_what_was_said_before(client: OpenAI, judge: ScriptedJudge, upstream: Upstream) -> None:
    speak(upstream, "In March.")
    messages: Any = [
        {"role": "system", "content": "You are a gardener."},
        {"role": "user", "content": "I have roses."},
        {"role": "assistant", "content": "Lovely."},
        {"role": "user", "content": "When do I cut them?"},
    ]
    client.chat.completions.create(model="wait", messages=messages)
    asked = {content(b): before(b) for b in judge.requests}
    assert asked == {
        "I have roses.": "",
        "Lovely.": "I have roses.",
        "When do I cut them?": "I have roses.\nLovely.",
        "In March.": "I have roses.\nLovely.\nWhen do I cut them?\n",
    }


def test_an_answer_is_judged_alike_streamed_or_not(client: OpenAI, judge: ScriptedJudge, upstream: Upstream) -> None:
    speak(upstream, ANSWER)
    whole_ = ask(client, "wait", "Tell me").choices[0]
    assert whole_.finish_reason == "content_filter"
    assert whole_.message.content
    assert "malware" not in whole_.message.content
    text, finish = read(ask(client, "wait", "Tell me", stream=True))
    assert (text, finish) == (whole_.message.content, "content_filter")
    assert 2 <= len({content(b) for b in judge.requests if "Roses" in content(b)}) <= 6  # not a question a word


def test_text_is_held_until_the_judge_has_spoken(client: OpenAI, judge: ScriptedJudge, upstream: Upstream) -> None:
    speak(upstream, "Roses like sun.")
    judge.delay = 0.3
    started = time.monotonic()
    assert read(ask(client, "wait", "Hello", stream=True)) == ("Roses like sun.", "stop")
    assert time.monotonic() - started > 0.55  # the prompt's question, then the answer's


def test_after_lets_the_stream_go_on(client: OpenAI, judge: ScriptedJudge, upstream: Upstream, weir: Weir) -> None:
    judge.delay = 0.3
    speak(upstream, ANSWER, 0.005)
    stream = ask(client, "after", "Tell me", stream=True)
    text, finish = read(stream)
    assert finish == "content_filter"
    assert "malware" in text  # it had left when the judge caught up
    assert len(text) < len(ANSWER)
    line = logged(weir, stream.response.headers["x-weir-request-id"])  # written when all is counted
    leaked = [line for line in weir.get("/metrics").splitlines() if line.startswith("weir_leaked_characters_total")]
    assert any('route="after"' in line and float(line.split()[-1]) > 0 for line in leaked)
    assert [(o["rule"], o["by"], o["codes"]) for o in line["outcomes"]] == [("gardening", "judge", ["G1"])]
    assert {s["by"] for s in line["steps"]} == {"judge"}
    assert "malware" not in weir.log.read_text()


def test_after_a_clean_answer_ends_as_it_would(client: OpenAI, judge: ScriptedJudge, upstream: Upstream) -> None:
    judge.delay = 0.1
    speak(upstream, "Roses like sun. " * 100)
    assert read(ask(client, "after", "Tell me", stream=True)) == (("Roses like sun. " * 100), "stop")


def test_the_end_waits_for_the_judge(client: OpenAI, judge: ScriptedJudge, upstream: Upstream) -> None:
    judge.delay = 0.3
    speak(upstream, "Here is malware.")
    text, finish = read(ask(client, "after", "Tell me", stream=True))
    assert (text, finish) == ("Here is malware.", "content_filter")  # said, and taken back


def test_a_prompt_that_is_judged_after(client: OpenAI, judge: ScriptedJudge, upstream: Upstream) -> None:
    judge.delay = 0.2
    speak(upstream, "Roses like sun. " * 200, 0.005)
    asked = len(upstream.requests)
    text, finish = read(ask(client, "after", "How do I write malware?", stream=True))
    assert finish == "content_filter"
    assert len(text) < 3200
    assert len(upstream.requests) == asked + 1  # nobody waited
    with pytest.raises(BadRequestError) as blocked:
        speak(upstream, "Roses like sun.")
        ask(client, "after", "How do I write malware?")
    assert blocked.value.code == "content_filter"


def test_no_label_is_no_pass(client: OpenAI, judge: ScriptedJudge, upstream: Upstream, weir: Weir) -> None:
    speak(upstream, "Roses like sun.")
    judge.script = lambda body: said("Looks fine to me!")
    with pytest.raises(InternalServerError) as unjudged:
        ask(client, "wait", "Hello")
    assert unjudged.value.status_code == 503
    assert unjudged.value.code == "guardrail_unavailable"
    answered = client.chat.completions.with_raw_response.create(
        model="lenient", messages=[{"role": "user", "content": "Hello, lenient one"}]
    )
    line = logged(weir, answered.headers["x-weir-request-id"])
    assert line["not_inspected"] == ["judge: its answer is not a label"] * 2
    judge.script = lambda body: said("Looks fine to me!") if "sun" in content(body) else said("0")
    with pytest.raises(APIError, match="could not judge"):
        for _ in ask(client, "after", "Hello", stream=True):
            pass


def test_classify_shows_the_rationale(weir: Weir, client: OpenAI, judge: ScriptedJudge) -> None:
    found: Any = client.post("/classify", body={"input": "Write malware, please", "policy": "wait"}, cast_to=object)
    (result,) = found["results"]
    assert (found["action"], result["rationale"]) == ("block", "It is about malware.")
    assert result["findings"][0]["codes"] == ["G1"]
    assert [s["by"] for s in result["steps"]] == ["judge"]
    plain: Any = client.post("/classify", body={"input": "malware!", "policy": "# Only roses\nNo malware."}, cast_to=object)
    assert plain["action"] == "block"
    assert judge.requests[-1]["messages"][0]["content"].startswith("# Only roses\nNo malware.")
    fine: Any = client.post("/classify", body={"input": "roses", "policy": "# Only roses\nNo malware."}, cast_to=object)
    assert fine["action"] == "pass"


def test_a_reload_keeps_what_did_not_change(weir: Weir, client: OpenAI, judge: ScriptedJudge, upstream: Upstream) -> None:
    speak(upstream, "Roses like sun.")
    messages: Any = [{"role": "user", "content": "Once and again?"}]
    client.chat.completions.create(model="wait", messages=messages)
    asked = len(judge.requests)
    policy = weir.folder / "policies" / "wait.yaml"
    policy.write_text(WAIT + "# touched\n")
    for _ in range(100):
        if "reloaded" in weir.log.read_text():
            break
        time.sleep(0.05)
    client.chat.completions.create(model="wait", messages=messages)
    assert len(judge.requests) == asked  # the judge and what it remembers were taken over
