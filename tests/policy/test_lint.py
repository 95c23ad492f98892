from __future__ import annotations

from pathlib import Path

import pytest

from proxy import builtin
from proxy.policy.lint import lint
from tests.policy.scripted import TABLE

EXAMPLES = "examples:\n  - {prompt: hello, expect: {action: pass}}\n"


def said(tmp_path: Path, rules: str, tail: str = EXAMPLES) -> list[str]:
    path = tmp_path / "p.yaml"
    path.write_text("version: 1\nrules:\n" + rules + tail)
    found = lint(path, TABLE)
    assert all(p.warning for p in found)
    return [f"{p.line}: {p.message}" for p in found]


@pytest.mark.parametrize("path", sorted(builtin.POLICIES.glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_policies_are_clean(path: Path) -> None:
    assert lint(path, TABLE) == []


def test_errors_come_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("version: 1\nrlues: []\n")
    assert [str(p) for p in lint(path, TABLE)] == [
        f'{path}:1: "rules" is missing',
        f'{path}:2: unknown key "rlues" (did you mean "rules"?)',
    ]


def test_a_warning_says_that_it_is_one(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("version: 1\nname: q\nrules: []\n")
    assert [str(p) for p in lint(path, TABLE)] == [
        f"{path}:1: warning: no examples: `weir policy test` has nothing to run",
        f'{path}:2: warning: the name is "q", but routes find this file as "p"',
        f"{path}:3: warning: no rules: everything passes",
    ]


@pytest.mark.parametrize(
    ("rules", "warnings"),
    [
        ("  - {id: a, detect: {category: hate, fpr: 0.1}, action: block}\n",
         ["3: a loose fpr: about 1 harmless text in 10 is taken for a violation"]),
        ("  - {id: a, detect: {category: hate, threshold: 0.1}, action: block}\n",
         ["3: a loose threshold: most texts that score 0.1 are harmless"]),
        ("  - {id: a, detect: {keywords: [bluebird, xy]}, action: block}\n",
         ["3: a keyword this short is found by accident"]),
        ("  - {id: a, detect: {category: hate}, roles: [user], on: [completion], action: block}\n",
         ['3: rule "a" never applies: a completion has the role assistant, which "roles" leaves out']),
        ("  - {id: a, detect: {category: hate}, roles: [user], action: block}\n",
         ['3: rule "a" does not apply to completions: a completion has the role assistant, which "roles" leaves out']),
        ("  - {id: a, detect: {keywords: [bluebird]}, roles: [user], tools: bash, action: block}\n",
         ['3: rule "a" never applies: tools are called by the assistant, and answer with the role tool']),
        ("  - {id: a, detect: {keywords: [bluebird]}, tools: bash, action: block}\n"
         "  - {id: b, detect: {keywords: [bluebird]}, action: block}\n", []),
    ],
)  # fmt: skip
def test_one_rule(tmp_path: Path, rules: str, warnings: list[str]) -> None:
    assert said(tmp_path, rules) == warnings


@pytest.mark.parametrize(
    ("one", "two", "dead"),
    [
        ("{category: hate, fpr: 0.01}, action: block", "{category: hate, fpr: 0.001}, action: flag", "b"),
        ("{category: hate, fpr: 0.001}, action: flag", "{category: hate, fpr: 0.01}, action: block", "a"),
        ("{category: hate}, action: block", "{category: hate}, action: block", "b"),
        ("{entities: [email, phone]}, action: redact", "{entities: [email]}, action: flag", "b"),
        ("{secrets: true}, action: block, on: [prompt]", "{secrets: true}, action: redact", ""),
        ("{category: hate, fpr: 0.001}, action: block", "{category: hate, fpr: 0.01}, action: flag", ""),
        ("{category: hate}, action: block, mode: monitor", "{category: hate}, action: flag", ""),
        ("{category: hate}, action: block, roles: [user], on: [prompt]", "{category: hate}, action: block, on: [prompt]", "a"),
        ("{category: hate}, action: block", "{category: violence}, action: flag", ""),
    ],
)
def test_a_rule_that_never_matters(tmp_path: Path, one: str, two: str, dead: str) -> None:
    found = said(tmp_path, f"  - {{id: a, detect: {one}}}\n  - {{id: b, detect: {two}}}\n")
    assert [m.split('"')[1] for m in found if "never matters" in m] == ([dead] if dead else [])


def test_follow_and_the_redaction_of_a_whole_text(tmp_path: Path) -> None:
    rules = "  - {id: a, detect: {category: hate}, action: redact}\n"
    assert said(tmp_path, rules, "streaming: follow\nfollow_limit: 80\n" + EXAMPLES) == [
        '3: in follow mode up to 80 characters leave before "a" can redact them'
    ]


def test_examples_that_cannot_pass(tmp_path: Path) -> None:
    rules = "  - {id: a, detect: {category: hate}, on: [prompt], action: flag}\n"
    tail = (
        "examples:\n  - {prompt: x, expect: {action: block, rule: a}}\n  - {completion: x, expect: {action: flag, rule: a}}\n"
    )
    assert said(tmp_path, rules, tail) == [
        '5: this example cannot pass: rule "a" says flag, not block',
        '6: this example cannot pass: rule "a" does not look at a completion by the assistant',
    ]


def test_an_example_by_the_wrong_tool_cannot_pass(tmp_path: Path) -> None:
    rule = "  - {id: a, detect: {keywords: [bluebird]}, tools: [bash], action: block}\n"
    example = "examples:\n  - {{completion: a bluebird, {}expect: {{action: block, rule: a}}}}\n"
    assert said(tmp_path, rule, example.format("tool: Bash, ")) == []
    where = 'rule "a" does not look at a completion by the assistant'
    for given, which in (("", " without a tool"), ("tool: write, ", ' of the tool "write"')):
        assert said(tmp_path, rule, example.format(given)) == [f"5: this example cannot pass: {where}{which}"]
