from __future__ import annotations

from proxy.text.redact import Placeholders, redact
from proxy.types import Span


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
