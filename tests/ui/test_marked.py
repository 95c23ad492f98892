"""Hostile texts, as they are shown."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from proxy.ui.marked import LONGEST, Mark, marked


def test_what_was_found() -> None:
    shown = marked("Mail joe@x.org <now>", [Mark(5, 14, "found", 'mail: "EMAIL"')])
    assert shown == 'Mail <mark class="found" title="mail: &#34;EMAIL&#34;">joe@x.org</mark> &lt;now&gt;'


def test_overlapping_marks_are_both_there() -> None:
    shown = marked("abcdef", [Mark(0, 4, "found", "a"), Mark(2, 6, "w5", "b")])
    assert shown.striptags() == "abcdef"
    assert 'class="found w5" title="a b">cd<' in shown


def test_what_nobody_sees_is_seen() -> None:
    shown = marked("ab\u202ecd\u200b\x00\U000e0041")
    assert 'title="RIGHT-TO-LEFT OVERRIDE">U+202E<' in shown
    assert all(f">{name}<" in shown for name in ("U+200B", "U+0000", "U+E0041"))
    assert not set(shown) & set("\u202e\u200b\x00\U000e0041")
    assert marked("a\ud800") == 'a<span class="hidden-char" title="control">U+D800</span>'
    assert marked("one\ntwo\té 👍🏽") == "one\ntwo\té 👍🏽"


def test_a_long_text_is_cut() -> None:
    assert marked("x" * (LONGEST + 5), [Mark(LONGEST - 1, LONGEST + 5, "found", "r")]).striptags() == "x" * LONGEST


@given(
    st.text(alphabet="<>&\"'ab\u202e/=", max_size=60), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=4)
)
def test_no_text_makes_markup(text: str, spans: list[tuple[int, int]]) -> None:
    shown = marked(text, [Mark(a, b, "found", text) for a, b in spans])
    assert isinstance(shown, Markup)
    left = shown.replace("</mark>", "").replace("</span>", "")
    opened = [piece.split(" ")[0] for piece in left.split("<")[1:]]
    assert set(opened) <= {"mark", "span"}
    assert shown.unescape().count("U+202E") >= text.count("\u202e")
