"""Marked texts as examples, in a file whose comments stay."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from proxy.cli import main
from proxy.policy.data import Row, row_of
from proxy.policy.learn import MOST, learnt, quoted

FILE = """\
# top
rules:
  - id: a   # the first
    detect:
      examples:
        violates: ["one", "two", "three"]  # keep
        allows:
          - "x"   # c1
          - y    # c2
      fpr: 0.02   # f
    action: block
  - {id: b, detect: {examples: {violates: ["p", "q", "r"]}}, action: block}
  - id: c
    detect:
      unless:
        allows:
        - |
          multi
          line
        - b
        - >
          folded
          text

    # comment after
    on: [prompt]
    action: block
  - id: d
    detect:
      examples:
        violates: [
          "m",   # mm
          "n",
          "o"    # oo
        ]
        allows: []
    action: block
  - {id: plain, detect: {keywords: [z]}, action: block}
"""


def row(text: str, mark: str, about: str) -> Row:
    return row_of({"text": text, "mark": mark, "about": about, "expect": {"action": "pass"}}, "marked", 1)


def lists(text: str) -> dict[str, dict[str, list[str]]]:
    rules: list[dict[str, Any]] = yaml.safe_load(text)["rules"]
    return {r["id"]: r["detect"].get("examples") or r["detect"].get("unless") or {} for r in rules}


def test_every_way_to_write_a_list() -> None:
    rows = [row(f'"{r}" é 😀\u200b\n{m}', m, r) for r in ("a", "b", "c", "d", "plain") for m in ("wrong_block", "missed")]
    found = learnt(FILE, rows)
    assert (len(found.added), found.left) == (8, 2)  # the rule of keywords learns nothing
    before, after = lists(FILE), lists(found.text)
    for rule in "abcd":
        for side, mark in (("violates", "missed"), ("allows", "wrong_block")):
            assert after[rule][side] == [*before[rule].get(side, []), f'"{rule}" é 😀\u200b\n{mark}']
    comments = re.compile("#.*")
    assert comments.findall(found.text) == comments.findall(FILE)
    assert learnt(found.text, rows).text == found.text  # what is there is not added again


def test_what_is_left_out() -> None:
    rows = [row("one", "wrong_block", "a"), row("new", "right", "a"), row(" ", "missed", "a"), row("t", "missed", "b")]
    found = learnt(FILE, rows, only="a")
    assert [one.text for one in found.added] == ["new"]  # "one" stands on the other side: a person must decide
    assert found.left == 2
    many = learnt(FILE, [row(f"text {n}", "missed", "a") for n in range(MOST + 10)])
    assert len(lists(many.text)["a"]["violates"]) == MOST and many.left == 13


def test_rows_that_nobody_has_marked() -> None:
    rows = [
        row_of({"text": "s", "expect": {"action": "block", "rule": "b"}}, "f", 1),
        row_of({"text": "t", "action": "pass"}, "f", 2),
    ]
    assert [(a.rule, a.side) for a in learnt(FILE, rows).added] == [("b", "violates")]
    assert [(a.rule, a.side) for a in learnt(FILE, rows, only="b").added] == [("b", "violates"), ("b", "allows")]


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_text_can_be_quoted(text: str) -> None:
    line = quoted(text)
    assert "\n" not in line
    assert yaml.safe_load(line) == text


def test_the_command(tmp_path: Path) -> None:
    file, data = tmp_path / "mine.yaml", tmp_path / "marked.jsonl"
    file.write_text("version: 1\n" + FILE.replace("  - {id: plain", "  # the last\n  - {id: plain"))
    data.write_text(json.dumps({"text": "four", "about": "a", "mark": "missed", "expect": {"action": "block"}}) + "\n")

    def learn(*more: str) -> Any:
        return CliRunner().invoke(main, ["policy", "learn", str(file), "--data", str(data), *more], catch_exceptions=False)

    shown = learn()
    assert shown.exit_code == 0 and "a: 1 more in violates" in shown.stderr
    assert '+        violates: ["one", "two", "three", "four"]  # keep' in shown.stdout
    assert "four" not in file.read_text()
    assert learn("--write").exit_code == 0
    assert lists(file.read_text())["a"]["violates"][-1] == "four" and "# the last" in file.read_text()
    assert learn("--rule", "plain").exit_code == 2


@pytest.mark.parametrize("bad", ["nothing", "plain"])
def test_a_rule_that_does_not_learn(bad: str) -> None:
    assert learnt(FILE, [row("t", "missed", bad)]).text == FILE
