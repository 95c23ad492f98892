from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.circumstances import Setting, When
from proxy.policy.load import Detectors, Policy, parse_policy
from proxy.yamlfile import FileError
from tests.policy.scripted import TABLE

POLICY = """\
version: 1
rules:
  - {id: always, detect: {keywords: [bluebird]}, action: flag}
  - {id: kids, detect: {keywords: [bluebird]}, action: block, when: {route: "kids-*", language: [fr, en]}}
  - {id: partners, detect: {keywords: [robin]}, action: block, when: {key: [partner], model: "gpt-*"}}
"""
names = st.sampled_from(["", "a", "ab", "b"])
conditions = st.lists(st.sampled_from(["a", "a*", "b"]), max_size=2).map(tuple)


def parse(text: str = POLICY, detectors: Detectors | None = None) -> Policy:
    return parse_policy(text, TABLE, "p.yaml", "p", detectors=detectors or Detectors())


def held(**known: str) -> list[str]:
    return [rule.id for rule in parse().under(Setting(**known)).rules]


def test_rules_hold_where_they_say() -> None:
    assert held(route="kids-1", language="fr", key="other", model="o1") == ["always", "kids"]
    assert held(route="shop", language="fr", key="partner", model="gpt-5") == ["always", "partners"]
    assert held(route="kids-1", language="de", key="partner", model="o1") == ["always"]


def test_what_is_not_known_exempts_nobody() -> None:
    assert held() == ["always", "kids", "partners"]
    assert held(route="kids-1") == ["always", "kids", "partners"]


@given(conditions, conditions, names, names)
def test_each_condition_narrows(route: tuple[str, ...], key: tuple[str, ...], where: str, who: str) -> None:
    setting = Setting(where, who)
    assert When(route, key).holds(setting) == (When(route).holds(setting) and When(key=key).holds(setting))


def test_policies_under_other_settings_are_told_apart() -> None:
    policy = parse()
    found = {
        policy.under(Setting(r, k, m, "fr")).variant for r in ("kids-1", "x") for k in ("partner", "x") for m in ("gpt-5",)
    }
    assert len(found) == 4
    assert policy.under(Setting()) is policy


def test_a_route_or_key_that_is_not_there_is_an_error() -> None:
    try:
        parse(POLICY.replace("[partner]", "[partnr]"), Detectors(routes=["kids-1"], keys=["partner"]))
    except FileError as error:
        assert [(p.line, p.message) for p in error.problems] == [(5, 'unknown key "partnr" (did you mean "partner"?)')]
    else:
        raise AssertionError("no error")
    parse(POLICY, Detectors(routes=["kids-1"], keys=["partner"]))
