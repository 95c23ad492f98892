"""A judge over real HTTP: every way in which it can fail is a value."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from proxy import breaker
from proxy.breaker import Breaker
from proxy.config import JudgeDetector
from proxy.judge.client import Judge
from proxy.judge.format import Question
from proxy.types import Failure, Opinion
from tests.judge.scripted import ScriptedJudge, content, said

ASK = Question("# Gardening only", "How do I grow roses?")


def settings(scripted: ScriptedJudge, **more: object) -> JudgeDetector:
    return JudgeDetector(type="judge", base_url=scripted.url, model="safeguard", **more)  # type: ignore[arg-type]


@pytest.fixture
async def judge(scripted: ScriptedJudge) -> AsyncIterator[Judge]:
    one = Judge("judge", settings(scripted, timeout=2.0, api_key="k"))
    yield one
    await one.close()


async def test_what_is_asked(judge: Judge, scripted: ScriptedJudge) -> None:
    assert await judge.ask(ASK) == Opinion(False, 0.0)
    (body,) = scripted.requests
    assert body["model"] == "safeguard"
    assert body["reasoning_effort"] == "low"
    assert body["temperature"] == 0
    assert "max_tokens" not in body and "max_completion_tokens" not in body  # a cap would cut the reasoning off
    assert body["messages"][0]["role"] == "system"
    assert content(body) == ASK.content
    assert scripted.headers[0]["authorization"] == "Bearer k"


async def test_an_answer_is_remembered_under_all_that_it_depends_on(judge: Judge, scripted: ScriptedJudge) -> None:
    for question in (
        ASK,
        Question("# Other", ASK.content),
        Question(ASK.policy, "other"),
        Question(ASK.policy, ASK.content, role="document"),
        Question(ASK.policy, ASK.content, before="x"),
    ):
        for _ in range(2):
            await judge.ask(question)
    assert len(scripted.requests) == 5
    assert len(scripted.connections) == 1


async def test_the_same_question_at_once_is_asked_once(judge: Judge, scripted: ScriptedJudge) -> None:
    scripted.delay = 0.1
    found = await asyncio.gather(*(judge.ask(ASK) for _ in range(10)))
    assert found == [Opinion(False, 0.0)] * 10
    assert len(scripted.requests) == 1


async def test_a_caller_that_leaves_takes_nobody_along(judge: Judge, scripted: ScriptedJudge) -> None:
    scripted.delay = 0.1
    leaves = asyncio.create_task(judge.ask(ASK))
    stays = asyncio.create_task(judge.ask(ASK))
    await asyncio.sleep(0.02)
    leaves.cancel()
    assert await stays == Opinion(False, 0.0)


async def test_one_repair(judge: Judge, scripted: ScriptedJudge) -> None:
    answers = iter(["I think it is fine", "1"])
    scripted.script = lambda body: said(next(answers))
    assert await judge.ask(ASK) == Opinion(True, 1.0)
    first, second = (b["messages"][1]["content"] for b in scripted.requests)
    assert "not a label" in second and "not a label" not in first
    assert "I think" not in second  # the content may have had a hand in what was said
    assert first.splitlines()[1] != second.splitlines()[1]  # a fresh mark


async def test_no_label_twice_is_an_error_and_not_remembered(judge: Judge, scripted: ScriptedJudge) -> None:
    scripted.script = lambda body: said("It is fine. 0")
    assert await judge.ask(ASK) == Failure("judge", "its answer is not a label")
    assert len(scripted.requests) == 2
    scripted.script = lambda body: said("0")
    assert await judge.ask(ASK) == Opinion(False, 0.0)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (500, "answered with status 500"),
        (401, "answered with status 401"),
        (b"not json", "its answer is not a chat completion"),
        (b"[]", "its answer is not a chat completion"),
        (b'{"choices": []}', "its answer is not a chat completion"),
        (b'{"error": {"message": "no"}}', "its answer is not a chat completion"),
        (said("0", "length"), "was cut off before it had answered"),
        (said("0", "content_filter"), "was cut off before it had answered"),
        (said(None), "its answer is not a label"),
        (None, "closed the connection"),
        (b'{"x": "' + b"x" * 1_100_000 + b'"}', "its answer is too long"),
    ],
)  # fmt: skip
async def test_failures(judge: Judge, scripted: ScriptedJudge, answer: object, reason: str) -> None:
    scripted.script = lambda body: answer  # type: ignore[assignment,return-value]
    assert await judge.ask(ASK) == Failure("judge", reason)


async def test_a_timeout(scripted: ScriptedJudge) -> None:
    one = Judge("slow", settings(scripted, timeout=0.1))
    scripted.delay = 1.0
    assert await one.ask(ASK) == Failure("slow", "timed out")
    await one.close()


async def test_nobody_there() -> None:
    one = Judge("gone", JudgeDetector(type="judge", base_url="http://127.0.0.1:1/v1", model="m"))
    found = await one.ask(ASK)
    assert isinstance(found, Failure)
    assert found.reason.startswith("cannot be reached")
    await one.close()


async def test_no_more_at_once_than_agreed(scripted: ScriptedJudge) -> None:
    one = Judge("busy", settings(scripted, concurrency=2))
    scripted.delay = 0.05
    await asyncio.gather(*(one.ask(Question("p", str(i))) for i in range(8)))
    assert scripted.together == 2
    await one.close()


async def test_the_reasoning_is_kept_for_the_operator(judge: Judge, scripted: ScriptedJudge) -> None:
    scripted.script = lambda body: said("1", reasoning_content="Roses are fine, but …")
    found = await judge.ask(ASK)
    assert isinstance(found, Opinion)
    assert found.rationale == "Roses are fine, but …"


async def test_a_family_with_scores(scripted: ScriptedJudge) -> None:
    one = Judge("guard", settings(scripted, format="llama-guard"))
    body = said("unsafe\nS9")
    top = [{"token": "unsafe", "logprob": -0.1}, {"token": "safe", "logprob": -2.4}]
    body["choices"][0]["logprobs"] = {"content": [{"token": "unsafe", "logprob": -0.1, "top_logprobs": top}]}
    scripted.script = lambda _: body
    found = await one.ask(ASK)
    assert isinstance(found, Opinion)
    assert (found.violates, found.codes) == (True, ("S9",))
    assert found.score == pytest.approx(0.909, abs=0.001)
    assert scripted.requests[0]["logprobs"] is True
    assert "reasoning_effort" not in scripted.requests[0]
    await one.close()


async def test_a_judge_that_does_not_answer_is_left_alone(judge: Judge, scripted: ScriptedJudge) -> None:
    scripted.script = lambda body: 503
    for number in range(breaker.ENOUGH + 3):
        found = await judge.ask(Question("p", str(number)))
        assert isinstance(found, Failure)
    assert found.reason.startswith("not asked")
    assert len(scripted.requests) == breaker.ENOUGH


def test_the_breaker() -> None:
    one = Breaker()
    for _ in range(breaker.ENOUGH - 1):
        one.failed(0.0)
    assert one.admits(0.0)
    one.failed(0.0)
    assert not one.admits(breaker.PAUSE - 0.1)
    assert one.admits(breaker.PAUSE)  # the probe
    assert not one.admits(breaker.PAUSE + 0.1)
    one.failed(breaker.PAUSE + 1)
    assert not one.admits(2 * breaker.PAUSE)
    one.answered()
    assert one.admits(0.0)
