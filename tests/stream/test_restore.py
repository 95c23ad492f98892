"""Real values come back in answers, wherever a placeholder was cut; what the model invents stays."""

from __future__ import annotations

import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from proxy.stream.channel import Channel
from proxy.text.redact import Placeholders, Restorer

from .rules import Rules

VALUES = {"[EMAIL_1]": "joe@example.com", "[EMAIL_2]": 'a"b\\c@example.com', "[EMAIL_12]": "twelve", "[NAME_1]": "<1234>"}
words = st.lists(
    st.sampled_from([*VALUES, "[EMAIL_3]", "[EMAIL_", "[[EMAIL_1]]", " and ", "x", "<1234>", "<99", "1]", "["]), max_size=12
)


def expected(text: str) -> str:
    """The prompt's names restored; the rule of the test redacts numbers in angle brackets that the model wrote itself."""
    names: dict[str, str] = {}
    out, at = "", 0
    while at < len(text):
        name = next((n for n in VALUES if text.startswith(n, at)), None)
        if name:
            out, at = out + VALUES[name], at + len(name)
        elif text[at] == "<" and text[at + 1 : at + 5].isdigit() and text[at + 5 : at + 6] == ">":
            out, at = out + names.setdefault(text[at : at + 6], f"[NUMBER_{len(names) + 1}]"), at + 6
        else:
            out, at = out + text[at], at + 1
    return out


def run(text: str, cuts: list[int], kind: str = "text", in_json: bool = False) -> str:
    channel = Channel(Rules(), Placeholders(), kind=kind, restorer=Restorer(VALUES, in_json))  # type: ignore[arg-type]
    edges = [0, *sorted(c for c in cuts if c <= len(text)), len(text)]
    out, sent = "", 0
    for left, right in itertools.pairwise(edges):
        channel.feed(text[left:right])
        out += channel.render(sent, text[sent : channel.frontier])
        sent = channel.frontier
    channel.finish()
    return out + channel.render(sent, text[sent:])


@given(words, st.lists(st.integers(0, 120), max_size=10))
def test_any_cut_restores_the_same(parts: list[str], cuts: list[int]) -> None:
    text = "".join(parts)
    assert run(text, cuts) == expected(text)


@given(words, st.lists(st.integers(0, 200), max_size=10), st.booleans())
def test_json_stays_valid(parts: list[str], cuts: list[int], ascii_only: bool) -> None:
    text = "".join(parts).replace("<1234>", "é")
    source = json.dumps({"to": [text]}, ensure_ascii=ascii_only)
    assert json.loads(run(source, cuts, "json")) == {"to": [expected(text)]}


@given(words, st.lists(st.integers(0, 200), max_size=10), st.booleans())
def test_an_answer_that_is_json_stays_json(parts: list[str], cuts: list[int], ascii_only: bool) -> None:
    """JSON mode: the text of the answer itself, which nobody else reads as JSON."""
    text = "".join(parts)
    source = json.dumps({"to": [text]}, ensure_ascii=ascii_only)
    assert json.loads(run(source, cuts, in_json=True)) == {"to": [expected(text)]}
