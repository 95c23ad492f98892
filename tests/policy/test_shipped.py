"""The policies that come with Weir. What needs the model is left to `weir policy test`; patterns are held here."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy import builtin
from proxy.detect.scanner import Scanner
from proxy.policy.cases import run_examples
from proxy.policy.decide import decide
from proxy.policy.load import Example, load_policy
from proxy.types import CATEGORIES, Action, Verdict
from tests.policy.scripted import TABLE

PATHS = sorted(builtin.POLICIES.glob("*.yaml"))


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
async def test_examples_that_patterns_decide(path: Path) -> None:
    policy = load_policy(path, TABLE)
    scanner = Scanner(policy.patterns.values())

    def judge(example: Example) -> Verdict:
        findings = scanner.select(policy.pattern_ids(example.direction)).scan(example.segment.text).findings
        return decide(policy, example.segment, findings, None, ())

    asks = {r.id for r in policy.rules if r.scored}
    results = [r for r in await run_examples(policy, judge) if r.example.rule not in asks]
    assert [r.difference for r in results if not r.passed] == []
    assert len(results) >= 6


@pytest.mark.parametrize("path", [p for p in PATHS if p.stem != "default"], ids=lambda p: p.stem)
def test_packs_have_twenty_examples_of_every_kind(path: Path) -> None:
    """Both directions, what is stopped and what must pass, and no text twice."""
    examples = load_policy(path, TABLE).examples
    assert len(examples) >= 20 and len({(e.text, e.tool) for e in examples}) == len(examples)
    for direction in ("prompt", "completion"):
        own = [e for e in examples if e.direction == direction]
        assert sum(e.action is Action.PASS for e in own) >= 2 and sum(e.action is not Action.PASS for e in own) >= 2


def test_the_packs_are_there() -> None:
    named = "strict balanced permissive health education social finance support code-assistant service-public default"
    assert {p.stem for p in PATHS} == set(named.split())


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_in_two_languages_and_complete(path: Path) -> None:
    policy = load_policy(path, TABLE)
    texts = [e.text for e in policy.examples]
    assert policy.name == path.stem
    assert len(texts) >= 6
    assert any(word in text for text in texts for word in (" une ", " des ", " mon ", " la ", "Mon ", "Voici "))


def test_default_refuses_little() -> None:
    """Sums what the rules that can stop a prompt may hit by mistake."""
    policy = load_policy(builtin.POLICIES / "default.yaml", TABLE)
    blocking = [r for r in policy.rules if r.category and r.enforced and r.action is Action.BLOCK and "prompt" in r.on]
    assert sum((1 - r.thresholds["user"]) / 10 for r in blocking) <= 0.005
    assert {r.category for r in policy.rules if r.category} == set(CATEGORIES)
