from __future__ import annotations

from proxy.policy.cases import run_examples
from proxy.policy.load import Example, parse_policy
from proxy.types import Action, Failure, Outcome, Verdict
from tests.policy.scripted import TABLE

POLICY = parse_policy(
    """version: 1
rules:
  - {id: hate, detect: {category: hate}, action: block}
  - {id: slurs, detect: {keywords: [slur]}, action: flag, mode: monitor}
examples:
  - {prompt: "bad words", expect: {action: block, rule: hate}}
  - {completion: "good words", expect: {action: pass}}
  - {prompt: "slur", expect: {action: pass, rule: slurs}}
""",
    TABLE,
    "policies/p.yaml",
    "p",
)
HATE = Outcome("hate", Action.BLOCK, True, "hate", 0.97, 0.95, decided_by="classifier")
SLURS = Outcome("slurs", Action.FLAG, False, "slurs", 1.0, None)


def right(example: Example) -> Verdict:
    if example.text == "bad words":
        return Verdict(Action.BLOCK, (HATE,))
    return Verdict(outcomes=(SLURS,)) if example.text == "slur" else Verdict()


async def test_examples_that_pass() -> None:
    results = await run_examples(POLICY, right)
    assert [r.passed for r in results] == [True, True, True]
    assert [r.example.direction for r in results] == ["prompt", "completion", "prompt"]


async def test_the_judge_may_be_a_coroutine() -> None:
    async def judge(example: Example) -> Verdict:
        return right(example)

    assert all(r.passed for r in await run_examples(POLICY, judge))


async def test_what_differs_is_said_without_the_text() -> None:
    flagged = Verdict(Action.FLAG, (SLURS, Outcome("hate", Action.FLAG, True, "hate", 0.5, 0.4)))
    results = await run_examples(POLICY, lambda example: flagged)
    assert results[0].difference == (
        "p:6: prompt example\n"
        "  expected  block by hate\n"
        "  got       flag by hate\n"
        "            slurs: flag (monitored), score 1.000\n"
        "            hate: flag, score 0.500, threshold 0.400"
    )
    assert results[1].difference.splitlines()[:2] == ["p:7: completion example", "  expected  pass"]
    assert not any("words" in r.difference for r in results)


async def test_the_right_action_by_the_wrong_rule_fails() -> None:
    other = Verdict(Action.BLOCK, (Outcome("other", Action.BLOCK, True, "x", 1.0, None),))
    (first, *_) = await run_examples(POLICY, lambda example: other)
    assert "got       block by other" in first.difference


async def test_a_block_for_want_of_a_model_is_no_answer() -> None:
    down = Verdict(Action.BLOCK, not_inspected=(Failure("safeguard", "no model is loaded"),), unavailable=True)
    (first, *_) = await run_examples(POLICY, lambda example: down)
    assert "got       block, because the text could not be judged: no model is loaded" in first.difference
