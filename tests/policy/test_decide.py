from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.decide import decide
from proxy.policy.load import VOICES, Policy, Rule
from proxy.types import CATEGORIES, Action, Failure, Finding, Segment, Span, Verdict

FLAT = MappingProxyType(dict.fromkeys(VOICES, 0.5))
DOWN = (Failure("safeguard", "timed out"),)
TEXT = "0123456789"


def category(id: str, action: Action = Action.BLOCK, name: str = "hate", **more: object) -> Rule:
    return replace(Rule(id, "category", action, label=id.upper(), category=name, thresholds=FLAT), **more)  # type: ignore[arg-type]


def patterns(id: str, action: Action = Action.REDACT, *sources: str, **more: object) -> Rule:
    return replace(Rule(id, "patterns", action, label=id.upper(), sources=frozenset(sources or {id})), **more)  # type: ignore[arg-type]


def policy(*rules: Rule, **more: object) -> Policy:
    return Policy("p", "0" * 64, rules, **more)  # type: ignore[arg-type]


def found(source: str, start: int, end: int, label: str = "") -> Finding:
    return Finding(source, label or source.upper(), Span(start, end))


def judged(rules: Policy, findings: Sequence[Finding] = (), failures: Sequence[Failure] = (), role: str = "user",
           direction: str = "prompt", **scores: float) -> Verdict:  # fmt: skip
    return decide(rules, Segment(TEXT, role, direction), findings, scores or None, failures)  # type: ignore[arg-type]


def test_nothing_found_passes() -> None:
    assert judged(policy(category("a"), patterns("b")), hate=0.49) == Verdict()


def test_a_score_at_the_threshold_decides() -> None:
    verdict = judged(policy(category("a")), hate=0.5)
    assert verdict.action is Action.BLOCK
    assert verdict.blocking is not None
    assert (verdict.blocking.rule, verdict.blocking.label, verdict.blocking.decided_by) == ("a", "hate", "classifier")
    assert (verdict.blocking.score, verdict.blocking.threshold) == (0.5, 0.5)


def test_each_role_has_its_threshold() -> None:
    rule = category("a", thresholds={**FLAT, "document": 0.9})
    assert judged(policy(rule), hate=0.6, role="document") == Verdict()
    assert judged(policy(rule), hate=0.6, role="system").action is Action.BLOCK


def test_rules_for_another_direction_or_role_are_skipped() -> None:
    assert judged(policy(category("a", on=frozenset({"completion"}))), hate=1) == Verdict()
    assert judged(policy(category("a", roles=frozenset({"tool"}))), hate=1) == Verdict()
    assert judged(policy(category("a", roles=frozenset({"user"}))), hate=1).action is Action.BLOCK
    assert judged(policy(category("a", on=frozenset({"completion"}))), failures=DOWN) == Verdict()


def test_a_rule_takes_its_own_findings_only() -> None:
    verdict = judged(policy(patterns("a"), patterns("b", Action.BLOCK)), [found("a", 1, 3), found("other", 4, 6)])
    assert verdict.action is Action.REDACT
    assert [(o.rule, o.spans) for o in verdict.outcomes] == [("a", ((1, 3),))]
    assert verdict.redactions == (((1, 3), "A"),)


def test_the_label_of_the_finding_names_the_redaction() -> None:
    verdict = judged(policy(patterns("personal", Action.REDACT, "entity/email")), [found("entity/email", 1, 3, "EMAIL")])
    assert verdict.redactions == (((1, 3), "EMAIL"),)


def test_a_category_redacts_the_whole_text() -> None:
    assert judged(policy(category("a", Action.REDACT)), hate=1).redactions == (((0, 10), "A"),)


def test_overlapping_redactions_become_one_under_the_first_rule() -> None:
    both = policy(patterns("a"), patterns("b"))
    assert judged(both, [found("b", 0, 4), found("a", 3, 6), found("b", 6, 8)]).redactions == (((0, 6), "A"), ((6, 8), "B"))
    swapped = policy(patterns("b"), patterns("a"))
    assert judged(swapped, [found("b", 0, 4), found("a", 3, 6)]).redactions == (((0, 6), "B"),)


def test_a_block_keeps_every_outcome() -> None:
    verdict = judged(policy(patterns("a"), category("b"), category("c", Action.FLAG)), [found("a", 0, 2)], hate=1)
    assert verdict.action is Action.BLOCK
    assert [o.rule for o in verdict.outcomes] == ["a", "b", "c"]


def test_monitoring_is_recorded_and_changes_nothing() -> None:
    verdict = judged(policy(category("a", enforced=False), patterns("b", enforced=False)), [found("b", 0, 2)], hate=1)
    assert (verdict.action, verdict.redactions, verdict.blocking) == (Action.PASS, (), None)
    assert [(o.rule, o.enforced) for o in verdict.outcomes] == [("a", False), ("b", False)]


@pytest.mark.parametrize(
    ("on_policy", "on_rule", "blocks"),
    [("block", None, True), ("pass", None, False), ("block", "pass", False), ("pass", "block", True)],
)
def test_a_failure_follows_on_error(on_policy: str, on_rule: str | None, blocks: bool) -> None:
    verdict = judged(policy(category("a", on_error=on_rule), on_error=on_policy), failures=DOWN)
    assert verdict.action is (Action.BLOCK if blocks else Action.PASS)
    assert verdict.unavailable is blocks
    assert verdict.not_inspected == DOWN
    assert verdict.blocking is None


def test_a_failure_concerns_only_who_asked_the_classifier() -> None:
    verdict = judged(policy(patterns("a")), [found("a", 0, 2)], failures=DOWN)
    assert (verdict.action, verdict.not_inspected) == (Action.REDACT, ())


def test_a_rule_that_monitors_never_blocks_for_a_failure() -> None:
    verdict = judged(policy(category("a", enforced=False)), failures=DOWN)
    assert (verdict.action, verdict.not_inspected) == (Action.PASS, DOWN)


def test_a_real_block_outranks_a_failure() -> None:
    verdict = judged(policy(patterns("a", Action.BLOCK), category("b")), [found("a", 0, 2)], failures=DOWN)
    assert (verdict.action, verdict.unavailable) == (Action.BLOCK, False)
    assert verdict.blocking is not None


def test_not_asked_is_not_a_failure() -> None:
    assert judged(policy(category("a"))) == Verdict()


# -- laws

SOURCES = ("a", "b", "c")
ids = st.integers(0, 99).map(lambda n: f"r{n}")
actions = st.sampled_from([Action.FLAG, Action.REDACT, Action.BLOCK])
common = {
    "enforced": st.booleans(),
    "on": st.sampled_from([frozenset({"prompt"}), frozenset({"completion"}), frozenset({"prompt", "completion"})]),
    "roles": st.none() | st.frozensets(st.sampled_from(list(VOICES)), min_size=1),
    "on_error": st.sampled_from([None, "block", "pass"]),
}
category_rules = st.builds(category, ids, actions, st.sampled_from(CATEGORIES[:3]), **common)
pattern_rules = st.builds(
    lambda i, a, s, **more: patterns(i, a, *s, **more), ids, actions, st.sets(st.sampled_from(SOURCES)), **common
)
rules = category_rules | pattern_rules
rule_lists = st.lists(rules, max_size=6)
spans = st.tuples(st.integers(0, 12), st.integers(0, 12)).map(lambda pair: Span(min(pair), max(pair)))
findings = st.lists(st.builds(Finding, st.sampled_from(SOURCES), st.sampled_from(["X", "Y"]), spans), max_size=6)
score_maps = st.none() | st.dictionaries(st.sampled_from(CATEGORIES[:3]), st.floats(0, 1))
failure_lists = st.sampled_from([(), DOWN])
segments = st.builds(
    lambda role, direction: Segment(TEXT, role, direction),
    st.sampled_from(list(VOICES)),
    st.sampled_from(["prompt", "completion"]),
)


worlds = st.tuples(segments, findings, score_maps, failure_lists)
World = tuple[Segment, list[Finding], dict[str, float] | None, tuple[Failure, ...]]


@given(rule_lists, worlds, st.randoms(), st.sampled_from(["block", "pass"]))
def test_the_order_of_rules_never_changes_the_action(listed: list[Rule], world: World, random: Random, on_error: str) -> None:
    one = decide(policy(*listed, on_error=on_error), *world)
    random.shuffle(listed)
    two = decide(policy(*listed, on_error=on_error), *world)
    assert (one.action, one.unavailable, one.not_inspected) == (two.action, two.unavailable, two.not_inspected)
    assert [span for span, _ in one.redactions] == [span for span, _ in two.redactions]


@given(rule_lists, rules, st.integers(0, 6), worlds)
def test_one_more_rule_never_makes_it_laxer(listed: list[Rule], more: Rule, at: int, world: World) -> None:
    before = decide(policy(*listed), *world)
    after = decide(policy(*listed[:at], more, *listed[at:]), *world)
    assert after.action >= before.action
    covered = {i for span, _ in after.redactions for i in range(*span)}
    assert covered >= {i for span, _ in before.redactions for i in range(*span)}


@given(rule_lists, worlds)
def test_monitoring_never_changes_what_happens(listed: list[Rule], world: World) -> None:
    whole = decide(policy(*listed), *world)
    enforced = decide(policy(*(r for r in listed if r.enforced)), *world)
    assert (whole.action, whole.redactions, whole.unavailable) == (enforced.action, enforced.redactions, enforced.unavailable)


@given(rule_lists, worlds)
def test_redactions_are_sorted_disjoint_and_inside(listed: list[Rule], world: World) -> None:
    verdict = decide(policy(*listed), *world)
    at = 0
    for span, _ in verdict.redactions:
        assert at <= span.start < span.end <= len(world[0].text)
        at = span.end
    assert verdict.blocking is None or not verdict.unavailable
