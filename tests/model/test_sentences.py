from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from proxy.model.sentences import SHORTEST, sentences, within

WORD = re.compile(r"\S+")


def starts(text: str) -> list[int]:
    """A token a word."""
    return [match.start() for match in WORD.finditer(text)]


def said(text: str) -> list[str]:
    words = WORD.findall(text)
    return [" ".join(words[begin:end]) for begin, end in sentences(text, starts(text))]


def test_sentences_and_lines_stand_alone() -> None:
    text = "The cake needs four eggs and flour. I will come and kill you tonight!\nPlease bring the tables on Thursday"
    assert said(text) == [
        "The cake needs four eggs and flour.",
        "I will come and kill you tonight!",
        "Please bring the tables on Thursday",
    ]


def test_a_few_words_go_with_their_neighbour() -> None:
    assert said("Well. I will come and kill you tonight! Ha. Ha.") == ["Well. I will come and kill you tonight! Ha. Ha."]


@given(st.lists(st.sampled_from(["word", "end.", "why?", "list:", "line\n", "…", "\n"]), max_size=80))
def test_parts_lie_side_by_side(pieces: list[str]) -> None:
    text = " ".join(pieces)
    tokens = starts(text)
    parts = sentences(text, tokens)
    assert [token for begin, end in parts for token in range(begin, end)] == [*range(len(tokens))]
    assert all(end - begin >= SHORTEST for begin, end in parts) or len(parts) <= 1


@given(st.integers(0, 90), st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(8, 40))
def test_what_a_window_touches(begin: int, lengths: list[int], room: int) -> None:
    parts = [(sum(lengths[:i]), sum(lengths[: i + 1])) for i in range(len(lengths))]
    window = (begin, min(begin + room, sum(lengths)))
    found = within(parts, window, room)
    assert all(0 < b - a <= room and a < window[1] and b > window[0] for a, b in found)
    assert window not in found
    if window[0] < window[1] and not any(window[0] >= a and window[1] <= b for a, b in parts):
        assert {*range(*window)} <= {token for a, b in found for token in range(a, b)}
