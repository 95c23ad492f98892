from __future__ import annotations

import itertools
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proxy.text.jsontext import JsonText

values: Any = st.recursive(
    st.text(max_size=12) | st.integers() | st.booleans() | st.none(),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=6), v, max_size=3),
    max_leaves=6,
)


def written(value: Any, ascii_only: bool) -> str:
    return json.dumps(value, ensure_ascii=ascii_only)


@given(values, st.booleans(), st.lists(st.integers(0, 200), max_size=6))
def test_the_reading_does_not_depend_on_the_cuts(value: Any, ascii_only: bool, cuts: list[int]) -> None:
    source = written(value, ascii_only)
    edges = [0, *sorted(c for c in cuts if c <= len(source)), len(source)]
    reader = JsonText()
    parts = [reader.feed(source[a:b], b == len(source)) for a, b in itertools.pairwise(edges)]
    assert "".join(parts) == JsonText().feed(source, final=True)


@given(st.text(min_size=1, max_size=30), st.booleans(), st.data())
def test_what_is_cut_out_of_a_string_leaves_valid_json(text: str, ascii_only: bool, data: st.DataObject) -> None:
    source = written({"k": text}, ascii_only)
    reader = JsonText()
    logical = reader.feed(source, final=True)
    opening = logical.index('"', logical.index(":")) + 1
    start = data.draw(st.integers(opening, len(logical) - 2))
    end = data.draw(st.integers(start, len(logical) - 2))
    edited = source
    for left, right, inside in reversed(reader.pieces(start, end)):
        assert inside
        edited = edited[: reader.source(left)] + "[X_1]" + edited[reader.source(right) :]
    assert "k" in json.loads(edited)


def test_escapes_and_the_way_back() -> None:
    source = r'{"to": "joe\u0040example.com \ud83d\ude00\n"}'
    reader = JsonText()
    logical = reader.feed(source, final=True)
    assert logical == '{"to": "joe@example.com 😀\n"}'
    at = logical.index("joe@example.com")
    assert source[reader.source(at) : reader.source(at + len("joe@example.com"))] == r"joe\u0040example.com"
    assert reader.inside(at) and not reader.inside(0)


def test_a_bare_number_may_still_grow() -> None:
    reader = JsonText()
    reader.feed('{"card": 4111 1111')
    assert reader.bare_start() == len('{"card": 4111 ')
    reader.feed(', "s": "abc')
    assert reader.bare_start() == len('{"card": 4111 1111, "s": "abc')
