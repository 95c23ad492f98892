"""The scanner's promise: any cutting of a text, carrying what is unsettled, finds what the whole text holds."""

from __future__ import annotations

import base64
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.detect.entities import ENTITIES
from proxy.detect.keywords import keyword_pattern
from proxy.detect.scanner import MAX_HOLD, PatternError, Scanner, Selection
from proxy.detect.secrets import SECRETS
from proxy.types import Finding, Pattern, Span

OWN = [
    keyword_pattern("k/1", "KESTREL", "project kestrel"),
    keyword_pattern("k/2", "OWL", "owl"),
    Pattern("p/1", "TICKET", r"\bPRJ-\d{4,6}\b"),
]
EVERYTHING = [*ENTITIES.values(), *SECRETS, *OWN]
KEY = "sk-" + "proj-" + "Ab3dEf6hIj9lMn2pQr5tUv8x"
PLANTS = [
    "joe@example.com", "j\u200boe@exa\u200bmple.com", "+33 6 12 34 56 78", "4111 1111 1111 1111", "4111\uff11111 1111 1111".replace("\uff11", "1"),
    "FR76 3000 6000 0112 3456 7890 189", "123-45-6789", "192.168.1.10", "1 85 05 78 006 084 91", KEY, "Project  Kestrel", "owl", "PRJ-12345",
    "рroject kestrel", "o w l s", base64.b64encode(b"please write to joe@example.com today").decode(),
    "-----BEGIN " + "PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----", "password = hunter2Xy9!",
]  # fmt: skip
FILLER = ["the river ", "été ", "a ", "PRJ-", "12 ", "sk-", "j", "@", ".", "\n", "日本", "😀", " ", "-", "x" * 20]
texts = st.lists(st.sampled_from(PLANTS + FILLER) | st.text(max_size=4), max_size=12).map("".join)


def selection(hyperscan: bool = True) -> Selection:
    return Scanner(EVERYTHING, use_hyperscan=hyperscan).select([p.id for p in EVERYTHING])


FAST, PORTABLE = selection(), selection(hyperscan=False)


def in_pieces(selection: Selection, text: str, cuts: list[int]) -> list[Finding]:
    edges = [0, *sorted({c % (len(text) + 1) for c in cuts}), len(text)]
    found: list[Finding] = []
    settled = 0
    for left, right in pairwise(edges):
        assert left <= right
        scan = selection.scan(text[settled:right], text[max(0, settled - 64) : settled], right == len(text))
        found += (f.__class__(f.source, f.label, Span(f.span.start + settled, f.span.end + settled)) for f in scan.findings)
        assert all(f.span.end <= scan.settled for f in scan.findings)
        assert right - settled - scan.settled <= MAX_HOLD
        settled += scan.settled
        if right == len(text):
            assert settled == len(text)
            break
    return found


@given(texts, st.lists(st.integers(0, 400), max_size=20))
@settings(max_examples=400)
@example("joe@example.com", [3, 9])
@example("x été joe@example.com", list(range(30)))
@example("a river 'PRJ-o w l s-joe@example.com", [14])
def test_any_cutting_finds_the_same_characters(text: str, cuts: list[int]) -> None:
    assert covered(in_pieces(FAST, text, cuts)) == covered(list(FAST.scan(text).findings))


def covered(findings: list[Finding]) -> set[tuple[str, int]]:
    return {(f.label, at) for f in findings for at in range(*f.span)}


@given(texts)
def test_without_hyperscan_it_finds_the_same(text: str) -> None:
    assert PORTABLE.scan(text) == FAST.scan(text)
    assert PORTABLE.scan(text, "", False) == FAST.scan(text, "", False)


@pytest.mark.parametrize("plant", PLANTS)
def test_one_character_at_a_time(plant: str) -> None:
    text = f"Well, {plant} and so on."
    found = in_pieces(FAST, text, list(range(len(text))))
    assert covered(found) == covered(list(FAST.scan(text).findings))


@pytest.mark.parametrize("text", ["Hello there, ", "The river rises in the hills and ", "C'est l'été à Paris, ", "1 + 1 = 2; "])
def test_finished_words_are_not_held(text: str) -> None:
    assert FAST.scan(text, "", False).settled == len(text)


def test_a_value_is_held_from_its_first_character() -> None:
    assert FAST.scan("call +33 6 12 34", "", False).settled == 5
    assert FAST.scan("mail joe@exa", "", False).settled == 5
    assert FAST.scan("about project ", "", False).settled == 6


@pytest.mark.parametrize("regex", ["(a)\\1", "(?=a)b", "a*", "(", ""])
def test_what_cannot_be_used_is_refused(regex: str) -> None:
    with pytest.raises(PatternError) as caught:
        Scanner([Pattern("p", "P", regex)])
    assert caught.value.pattern == "p"


def test_two_thousand_rules() -> None:
    many = [keyword_pattern(f"k/{i}", "K", f"word{i} and {i * 7}") for i in range(2000)]
    chosen = Scanner(many).select([p.id for p in many])
    (found,) = chosen.scan("say word1234 and 8638 now").findings
    assert found.source == "k/1234" and found.span == Span(4, 21)
    assert chosen.scan("say word1234 an", "", False).settled == 4
