from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from proxy.text.redact import Placeholders, Restorer, redact
from proxy.types import Span

VALUES = ["ann@example.com", "joe@example.com", "a@x.io"]
FOUND = re.compile("|".join(map(re.escape, VALUES)))
texts = st.lists(st.sampled_from([*VALUES, "[EMAIL_1]", "[EMAIL_2]", "[EMAIL_", "1]", " and ", "é"]), max_size=8).map("".join)


def redacted(text: str, names: Placeholders) -> str:
    return redact(text, [(Span(*match.span()), "EMAIL") for match in FOUND.finditer(text)], names)


def put_back(text: str, restorer: Restorer) -> str:
    for start, end in reversed(restorer.find(text)):
        text = text[:start] + restorer.values[text[start:end]] + text[end:]
    return text


@given(st.lists(texts, min_size=1, max_size=6), st.lists(texts, min_size=1, max_size=6), st.sampled_from(["", "_7F3A"]))
def test_what_is_taken_out_of_a_conversation_can_be_put_back(first: list[str], second: list[str], mark: str) -> None:
    """In every turn alike, also where a later request has learnt the names, and where people write such names themselves."""
    known: dict[str, tuple[str, str]] = {}
    for turns in (first, second):
        names = Placeholders(mark=mark)
        names.learn(known)
        for text in turns:
            names.avoid(text)
        sent = [redacted(text, names) for text in turns]
        assert not FOUND.search(" ".join(sent))
        values = names.values({"EMAIL"})
        assert len(set(values.values())) == len(values)
        assert known.items() <= names.known({"EMAIL"}).items()
        own = {name for name in values if name not in known}
        assert not any(name in text for name in own for text in turns)
        known = dict(names.known({"EMAIL"}))
        if values and turns is first:
            assert [put_back(text, Restorer(values)) for text in sent] == turns


def test_the_same_value_has_the_same_name() -> None:
    names = Placeholders()
    text = "a@x.io, b@x.io, a@x.io"
    spans = [(Span(0, 6), "EMAIL"), (Span(8, 14), "EMAIL"), (Span(16, 22), "EMAIL")]
    assert redact(text, spans, names) == "[EMAIL_1], [EMAIL_2], [EMAIL_1]"
    assert names.name("PHONE", "a@x.io") == "[PHONE_1]"


def test_a_child_knows_its_parents_names_and_keeps_its_own_to_itself() -> None:
    parent = Placeholders()
    parent.name("EMAIL", "a")
    one, other = parent.child(), parent.child()
    assert (one.name("EMAIL", "b"), other.name("EMAIL", "c")) == ("[EMAIL_2]", "[EMAIL_2]")
    assert one.name("EMAIL", "a") == "[EMAIL_1]"
    assert parent.name("EMAIL", "d") == "[EMAIL_2]"
