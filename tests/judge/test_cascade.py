"""Outside the band the classifier decides, inside it the judge does; words alone always go to the judge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import pytest

from proxy import metrics
from proxy.config import JudgeDetector
from proxy.detect.scanner import Scanner
from proxy.guard import Guard
from proxy.judge.cascade import Cascade
from proxy.judge.client import Judge
from proxy.policy.load import Policy, parse_policy
from proxy.types import Action, Failure, Segment
from tests.judge.scripted import ScriptedJudge, before, content, said
from tests.policy.scripted import TABLE

BAND = """
version: 1
rules:
  - id: harm
    detect: {category: self_harm, above: 0.2, threshold: 0.8, confirm: judge%s}
    text: "# Self-harm"
    action: block
"""
WORDS = """
version: 1
rules:
  - {id: bomb, detect: {keywords: [bomb]}, action: block}
  - id: gardening
    detect: {judge: judge}
    text: "# Gardening only"
    action: %s
"""


class Queue:
    """A classifier that reads the score in the text."""

    class classifier:
        screen = None

    beside = ()

    async def score_many(
        self, items: Sequence[tuple[str, str]], sift: bool = False, embed: bool = False
    ) -> list[Mapping[str, float]]:
        return [{"self_harm": float(text.split()[-1])} for text, _ in items]


@pytest.fixture
async def judge(scripted: ScriptedJudge) -> AsyncIterator[Judge]:
    one = Judge("judge", JudgeDetector(type="judge", base_url=scripted.url, model="m", timeout=2.0))
    yield one
    await one.close()


def guarded(judge: Judge, text: str) -> tuple[Guard, Policy]:
    policy = parse_policy(text, TABLE, "p.yaml", "p")
    scanner = Scanner(policy.patterns.values())
    return Guard({"p": policy}, scanner, Queue(), cascade=Cascade({"judge": judge})), policy  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("score", "says", "action", "by", "asked"),
    [
        (0.1, "1", Action.PASS, None, 0),
        (0.19, "1", Action.PASS, None, 0),
        (0.2, "1", Action.BLOCK, "judge", 1),
        (0.5, "0", Action.PASS, None, 1),
        (0.79, "1", Action.BLOCK, "judge", 1),
        (0.8, "0", Action.BLOCK, "classifier", 0),
        (1.0, "0", Action.BLOCK, "classifier", 0),
    ],
)
async def test_the_band(
    judge: Judge, scripted: ScriptedJudge, score: float, says: str, action: Action, by: str | None, asked: int
) -> None:
    scripted.script = lambda body: said(says)
    guard, policy = guarded(judge, BAND % "")
    verdict = await guard.judge(policy, Segment(f"text {score}"))
    assert verdict.action is action
    assert [o.decided_by for o in verdict.outcomes] == ([by] if by else [])
    assert len(scripted.requests) == asked
    looked = [(s.detector, s.score) for s in verdict.steps]
    assert looked == [("classifier", score), *([("judge", float(says))] if asked else [])]
    assert all(s.seconds > 0 for s in verdict.steps if s.detector == "judge")
    if by == "judge":
        assert (verdict.outcomes[0].label, verdict.outcomes[0].score) == ("self_harm", score)


async def test_without_an_upper_edge_the_judge_decides_all(judge: Judge, scripted: ScriptedJudge) -> None:
    guard, policy = guarded(judge, BAND.replace(", threshold: 0.8", "") % "")
    assert (await guard.judge(policy, Segment("x 1.0"))).action is Action.PASS
    guard, policy = guarded(judge, BAND.replace("threshold", "below") % "")
    assert (await guard.judge(policy, Segment("x 0.9"))).outcomes[0].decided_by == "classifier"


async def test_words_alone(judge: Judge, scripted: ScriptedJudge) -> None:
    scripted.script = lambda body: said('{"violation": 1, "rule_ids": ["G2"], "rationale": "It asks for code."}')
    guard, policy = guarded(judge, WORDS % "redact")
    verdict = await guard.judge(policy, Segment("Write me a parser", before="Hello\nHi"))
    assert verdict.action is Action.REDACT
    assert verdict.redactions == (((0, 17), "GARDENING"),)
    (outcome,) = verdict.outcomes
    assert (outcome.rule, outcome.codes, outcome.rationale) == ("gardening", ("G2",), "It asks for code.")
    assert content(scripted.requests[0]) == "Write me a parser"
    assert before(scripted.requests[0]) == "Hello\nHi"


async def test_what_a_cheaper_stage_has_blocked_is_not_asked(judge: Judge, scripted: ScriptedJudge) -> None:
    guard, policy = guarded(judge, WORDS % "block")
    assert (await guard.judge(policy, Segment("a bomb"))).action is Action.BLOCK
    assert not scripted.requests


@pytest.mark.parametrize(("on_error", "action"), [("block", Action.BLOCK), ("pass", Action.PASS)])
async def test_a_judge_that_fails(judge: Judge, scripted: ScriptedJudge, on_error: str, action: Action) -> None:
    scripted.script = lambda body: said("Perhaps.")
    guard, policy = guarded(judge, (WORDS % "block").rstrip() + f"\n    on_error: {on_error}\n")
    verdict = await guard.judge(policy, Segment("roses"))
    assert verdict.action is action
    assert verdict.unavailable is (on_error == "block")
    assert verdict.not_inspected == (Failure("judge", "its answer is not a label"),)


async def test_a_monitoring_rule_blocks_for_no_failure(judge: Judge, scripted: ScriptedJudge) -> None:
    scripted.script = lambda body: 500
    guard, policy = guarded(judge, (WORDS % "block").rstrip() + "\n    mode: monitor\n")
    verdict = await guard.judge(policy, Segment("roses"))
    assert verdict.action is Action.PASS
    assert verdict.not_inspected


async def test_only_some_codes_count(judge: Judge, scripted: ScriptedJudge) -> None:
    guard, policy = guarded(judge, BAND % ", codes: [S1]")
    scripted.script = lambda body: said('{"violation": 1, "rule_ids": ["S2"]}')
    assert (await guard.judge(policy, Segment("a 0.5"))).action is Action.PASS
    scripted.script = lambda body: said('{"violation": 1, "rule_ids": ["S2", "S1"]}')
    assert (await guard.judge(policy, Segment("b 0.5"))).action is Action.BLOCK
    scripted.script = lambda body: said("1")
    assert (await guard.judge(policy, Segment("c 0.5"))).action is Action.BLOCK  # it named none: all may be meant


async def test_after_holds_for_now(judge: Judge, scripted: ScriptedJudge) -> None:
    scripted.script = lambda body: said("1")
    guard, policy = guarded(judge, (WORDS % "block").rstrip() + "\n    judging: after\n")
    first = await guard.judge(policy, Segment("code"), defer=True)
    assert (first.action, first.pending) == (Action.PASS, True)
    assert not scripted.requests
    final = await guard.judge(policy, Segment("code"))
    assert (final.action, final.pending) == (Action.BLOCK, False)


async def test_inside_a_stretch_only_the_cascade_is_asked(judge: Judge, scripted: ScriptedJudge) -> None:
    guard, policy = guarded(judge, WORDS % "block")
    piece = Segment("word ", "assistant", "completion", lead="one ", before="Q\none ", stretch="")
    await guard.judge(policy, piece)
    assert not scripted.requests
    piece = Segment("word.", "assistant", "completion", lead="one ", before="Q\nSure, one ", stretch="Sure, one word.")
    await guard.judge(policy, piece)
    assert content(scripted.requests[0]) == "Sure, one word."
    assert before(scripted.requests[0]) == "Q\n"


async def test_a_sample_of_what_the_classifier_decides_alone(judge: Judge, scripted: ScriptedJudge) -> None:
    scripted.script = lambda body: said("1" if "bad" in content(body) else "0")
    guard, policy = guarded(judge, (BAND % ", sample: 100%").replace("version: 1", "version: 1\nname: sampled"))

    def count(result: str) -> float:
        return metrics.judge_agreement.labels("sampled", "harm", result)._value.get()

    for text in ("fine 0.1", "bad 0.9", "bad 0.05", "fine 0.95"):
        verdict = await guard.judge(policy, Segment(text))
        assert (verdict.action is Action.BLOCK) is (float(text.split()[1]) > 0.5)  # the sample has no effect
    while guard.cascade._samples:
        await asyncio.sleep(0.01)
    assert (count("agree"), count("judge_stricter"), count("judge_milder")) == (2, 1, 1)
    few, policy = guarded(judge, BAND % ", sample: 5%")
    scripted.requests.clear()
    for number in range(200):
        await few.judge(policy, Segment(f"text {number} 0.1"))
    while few.cascade._samples:
        await asyncio.sleep(0.01)
    assert 2 <= len(scripted.requests) <= 25


async def test_a_judge_that_the_config_does_not_have(judge: Judge) -> None:
    guard, policy = guarded(judge, (WORDS % "block").replace("judge: judge", "judge: other"))
    verdict = await guard.judge(policy, Segment("roses"))
    assert verdict.unavailable


def test_names_are_checked_against_the_config(tmp_path: Path) -> None:
    from proxy.policy.load import Detectors
    from proxy.yamlfile import FileError

    text = WORDS % "block"
    parse_policy(text, TABLE, "p", "p", detectors=Detectors({"judge": True}))
    with pytest.raises(FileError, match=r'unknown judge "judge" \(did you mean "judges"\?\)'):
        parse_policy(text, TABLE, "p", "p", detectors=Detectors({"judges": True}))
    with pytest.raises(FileError, match="the config lists none"):
        parse_policy(text, TABLE, "p", "p", detectors=Detectors({}))
    without = text.replace('    text: "# Gardening only"\n', "")
    parse_policy(without, TABLE, "p", "p", detectors=Detectors({"judge": False}))  # it has its policy in the model
    with pytest.raises(FileError, match="has no"):
        parse_policy(without, TABLE, "p", "p", detectors=Detectors({"judge": True}))
