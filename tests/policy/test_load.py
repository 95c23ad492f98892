"""Each file in tests/cases/policies is a policy, a line of =====, and what is said about it (nothing: it loads)."""

from __future__ import annotations

import hashlib
import typing
from pathlib import Path

import pytest

from proxy.detect.entities import ENTITIES
from proxy.detect.secrets import SECRETS
from proxy.policy import schema
from proxy.policy.load import Policy, load_policy, parse_policy, regex_problem
from proxy.types import CATEGORIES, Action
from proxy.yamlfile import FileError
from tests.policy.scripted import TABLE

CASES = sorted((Path(__file__).parent.parent / "cases" / "policies").glob("*.case"))
RULE = "version: 1\nrules:\n  - {id: r, action: block, "


def parse(text: str, name: str = "p") -> Policy:
    return parse_policy(text, TABLE, f"{name}.yaml", name)


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_case(path: Path) -> None:
    text, _, expected = path.read_text().partition("=====\n")
    try:
        parse(text)
        said: list[str] = []
    except FileError as error:
        said = [f"{p.line}: {p.message}" for p in error.problems]
    assert said == expected.splitlines()


def test_defaults() -> None:
    policy = parse(RULE + "detect: {category: hate}}")
    (rule,) = policy.rules
    assert (policy.name, policy.on_error, policy.streaming, policy.follow_limit) == ("p", "block", "hold", 400)
    assert (policy.on_block, policy.media, policy.limit_chars, policy.limit_over) == ("error", "flag", 200_000, "block")
    assert policy.refused("r", "fr").startswith("Je ne peux pas") and policy.refused("r", "") == policy.refused("r", "en")
    assert (set(rule.on), rule.roles, rule.enforced, rule.on_error) == ({"prompt", "completion"}, None, True, None)
    assert rule.thresholds["user"] == 0.95  # at the default fpr of 0.005


def test_the_version_is_the_hash_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("version: 1\nrules: []\n")
    policy = load_policy(path, TABLE)
    assert policy.sha == hashlib.sha256(path.read_bytes()).hexdigest()
    assert policy.ref == f"mine@{policy.sha[:8]}"
    assert policy.source == path


def test_thresholds_of_every_role() -> None:
    (rule,) = parse(RULE + "detect: {category: hate, fpr: 0.01}}").rules
    assert rule.thresholds["system"] == rule.thresholds["assistant"] == 0.9
    assert rule.thresholds["tool"] == rule.thresholds["document"] == 0.85
    (rule,) = parse(RULE + "detect: {category: hate, threshold: 0.83}}").rules
    assert set(rule.thresholds.values()) == {0.83}


def test_without_a_model_a_policy_still_loads() -> None:
    (rule,) = parse_policy(RULE + "detect: {category: hate}}", None, "p.yaml", "p").rules
    assert set(rule.thresholds.values()) == {1.0}


def test_what_is_looked_for() -> None:
    policy = parse(
        "version: 1\nrules:\n"
        "  - {id: a, detect: {category: hate}, on: [prompt], action: block}\n"
        "  - {id: b, detect: {entities: [email]}, on: [completion], action: redact}\n"
        "  - {id: c, detect: {secrets: true}, action: redact}\n"
        "  - {id: code-names, detect: {keywords: [bluebird, project kestrel]}, on: [prompt], action: flag}\n"
        "  - {id: d, detect: {pattern: 'PRJ-\\d{4}'}, on: [completion], action: flag}\n"
    )
    secrets = {p.id for p in SECRETS}
    assert set(policy.categories("prompt")) == {"hate"}
    assert not policy.categories("completion")
    assert policy.pattern_ids("prompt") == secrets | {f"{policy.ref}/code-names/0", f"{policy.ref}/code-names/1"}
    assert policy.pattern_ids("completion") == secrets | {ENTITIES["email"].id, f"{policy.ref}/d/0"}
    assert policy.patterns.keys() == policy.pattern_ids("prompt") | policy.pattern_ids("completion")
    assert policy.patterns[f"{policy.ref}/code-names/1"].label == "CODE_NAMES"
    assert policy.rules[3].action is Action.FLAG


def test_two_versions_of_a_policy_never_share_an_id() -> None:
    text = RULE + "detect: {keywords: [%s]}}"
    assert not parse(text % "one").pattern_ids("prompt") & parse(text % "two").pattern_ids("prompt")


def test_two_words_for_one_role() -> None:
    (rule,) = parse(RULE + "detect: {category: hate}, roles: [tool, system]}").rules
    assert set(rule.roles or ()) == {"tool", "document", "system", "developer"}


def test_the_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    assert parse("version: 1\nrules: []\nrefusal: 'no ${SECRET}'").refused("", "") == "no ${SECRET}"


def test_examples_know_their_line() -> None:
    policy = parse(
        "version: 1\nrules: []\nexamples:\n  - prompt: x\n    expect: {action: pass}\n"
        "  - {completion: y, expect: {action: block}}\n"
    )
    assert [(e.direction, e.action, e.line) for e in policy.examples] == [
        ("prompt", Action.PASS, 4),
        ("completion", Action.BLOCK, 6),
    ]


@pytest.mark.parametrize("regex", ["", "a*", "x?", "^", "$", r"\b", "(a|)", r"\s*", "(?i)"])
def test_a_pattern_that_matches_nothing_at_all_is_refused(regex: str) -> None:
    assert regex_problem(regex) == "the pattern matches the empty string; it would be found everywhere"


@pytest.mark.parametrize("regex", [r"(?=a)b", r"(a)\1", "(", "[a", "a{1001}"])
def test_what_re2_refuses(regex: str) -> None:
    assert (regex_problem(regex) or "").startswith("RE2 refuses the pattern: ")


def test_the_categories_are_those_of_the_model() -> None:
    assert typing.get_args(schema.Category) == CATEGORIES
