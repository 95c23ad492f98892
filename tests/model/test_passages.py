from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from proxy.model.passages import SHORTEST_SENTENCE, passages, within

WORD = re.compile(r"\S+")


def starts(text: str) -> list[int]:
    """A token a word."""
    return [match.start() for match in WORD.finditer(text)]


def said(text: str, room: int = 18) -> list[str]:
    words = WORD.findall(text)
    return [" ".join(words[begin:end]) for begin, end in passages(text, starts(text), room)]


CALM = "For the cake you need four eggs and two hundred grams of flour and the same of butter"
HARM = "I know where you live. I will come tonight and kill you and whoever opens the door."


def test_a_line_stands_alone_and_whole() -> None:
    assert said(f"{CALM}\n{HARM}\n\n{CALM}") == [CALM, HARM, CALM]


def test_a_line_longer_than_a_window_falls_into_sentences() -> None:
    assert said(f"{CALM}. {HARM} {CALM}") == [
        f"{CALM}.",
        "I know where you live.",
        "I will come tonight and kill you and whoever opens the door.",
        CALM,
    ]


def test_a_few_words_go_with_their_neighbour() -> None:
    assert said(f"Milk\nEggs\nFlour\n{HARM}\nHa.", room=40) == [f"Milk Eggs Flour {HARM} Ha."]
    assert said(f"{CALM} for it. Well. {HARM}") == [f"{CALM} for it. Well.", *HARM.replace(". ", ".\n").split("\n")]


@given(st.lists(st.sampled_from(["word", "end.", "why?", "list:", "line\n", "…", "\n"]), max_size=80), st.integers(8, 40))
def test_parts_lie_side_by_side(pieces: list[str], room: int) -> None:
    text = " ".join(pieces)
    tokens = starts(text)
    parts = passages(text, tokens, room)
    assert [token for begin, end in parts for token in range(begin, end)] == [*range(len(tokens))]
    assert all(end - begin >= SHORTEST_SENTENCE for begin, end in parts) or len(parts) <= 1


@given(st.integers(0, 90), st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(8, 40))
def test_what_a_window_touches(begin: int, lengths: list[int], room: int) -> None:
    parts = [(sum(lengths[:i]), sum(lengths[: i + 1])) for i in range(len(lengths))]
    window = (begin, min(begin + room, sum(lengths)))
    found = within(parts, window, room)
    assert all(0 < b - a <= room and a < window[1] and b > window[0] for a, b in found)
    assert window not in found
    if window[0] < window[1] and not any(window[0] >= a and window[1] <= b for a, b in parts):
        assert {*range(*window)} <= {token for a, b in found for token in range(a, b)}
