"""The reader finds every text: whatever string is planted anywhere in a body comes back with a path that leads to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire import sse
from proxy.wire.chat import ChunkReader, choice_parts, read_request
from proxy.wire.parts import BadBody, get, strings

CASES = Path(__file__).parent.parent / "cases" / "chat"
REQUEST = json.loads((CASES / "request.json").read_text())
ANSWER = json.loads((CASES / "answer.json").read_text())
SETTINGS = {
    "model",
    "reasoning_effort",
    "service_tier",
    "user",
    "tool_choice",
    "prompt_cache_key",
    "safety_identifier",
    "verbosity",
}
words = st.text(st.characters(categories=["L", "N", "Zs"]), min_size=1, max_size=20)
anything: Any = st.recursive(st.none() | st.booleans() | st.integers() | words, lambda v: st.lists(v, max_size=3) | st.dictionaries(words, v, max_size=3), max_leaves=8)  # fmt: skip


def test_every_string_of_a_full_request_is_read_or_known_to_be_a_setting() -> None:
    fields, media, unknown = read_request(REQUEST)
    read = {f.path for f in fields}
    whole = [m.path for m in media]
    for path, text in strings(REQUEST):
        in_media = any(path[: len(m)] == m for m in whole)
        named = path[0] in SETTINGS or path[-1] == "role" or (path[-1] == "type" and "content" in path)
        assert path in read or in_media or named or not text, path
    for field in fields:
        assert get(REQUEST, field.path) == field.text
    assert unknown == [("x_vendor",), ("messages", 2, "content", 4)]
    assert {m.kind for m in media} == {"image_url", "input_audio", "file"}


def test_roles_and_kinds() -> None:
    fields = read_request(REQUEST).fields
    by_path = {f.path: f for f in fields}
    assert by_path["messages", 0, "content"].role == "system"
    assert by_path["messages", 1, "content"].role == "developer"
    assert by_path["messages", 4, "content"].role == "tool"
    arguments = by_path["messages", 3, "tool_calls", 0, "function", "arguments"]
    assert (arguments.role, arguments.kind) == ("assistant", "json")
    assert not by_path["messages", 3, "tool_calls", 0, "id"].prose
    assert by_path["tools", 0, "function", "description"].prose


@given(anything)
def test_a_field_that_nobody_knows_is_read_all_the_same(value: Any) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x", "surprise": value}], "surprise": value}
    read = {f.path for f in read_request(body).fields}
    assert {p for p, text in strings(value, ("surprise",)) if text} <= read
    assert {p for p, text in strings(value, ("messages", 0, "surprise"))} <= read


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ([], None),
        ({"model": "m"}, "messages"),
        ({"model": "m", "messages": []}, "messages"),
        ({"messages": [{"role": "user"}]}, "model"),
        ({"model": "m", "messages": ["hi"]}, "messages[0]"),
    ],
)
def test_a_body_that_is_no_chat_is_told_where(body: Any, param: str | None) -> None:
    with pytest.raises(BadBody) as told:
        read_request(body)
    assert told.value.param == param


def test_every_string_of_a_full_answer_is_read() -> None:
    choice = ANSWER["choices"][0]
    parts = choice_parts(choice, 0, "message", ("choices", 0))
    read = {p.path for p in parts}
    for path, text in strings(choice["message"], ("choices", 0, "message")):
        assert path in read or path[-1] == "role", (path, text)
    content = next(p for p in parts if p.channel == (0, "content"))
    assert content.logprobs == ("choices", 0, "logprobs", "content")


def event(**body: Any) -> sse.Event:
    raw = sse.encode(json.dumps(body).encode())
    return sse.Parser().feed(raw)[0]


def test_the_usual_chunk_and_its_unusual_twin_are_read_alike() -> None:
    usual = {"id": "c", "object": "o", "created": 1, "model": "m", "choices": [{"index": 0, "delta": {"content": "hi"}}]}
    (one,) = ChunkReader(1).items(event(**usual))
    (other,) = ChunkReader(1).items(event(**usual, novel=7))
    assert (one.lane, [p.text for p in one.parts]) == (other.lane, [p.text for p in other.parts]) == ((0, "content"), ["hi"])


def test_a_chunk_of_two_choices_becomes_one_item_each() -> None:
    choices = [{"index": i, "delta": {"content": t}, "finish_reason": None} for i, t in enumerate("ab")]
    items = ChunkReader(2).items(event(choices=choices))
    assert [(i.choice, i.parts[0].text) for i in items] == [(0, "a"), (1, "b")]


@pytest.mark.parametrize("data", [b"{", b"[1]", b'{"choices":[{"index":4,"delta":{}}]}', b'{"choices":["x"]}'])
def test_what_is_no_chunk_is_refused(data: bytes) -> None:
    with pytest.raises(BadBody):
        ChunkReader(1).items(sse.Event(sse.encode(data), data))
