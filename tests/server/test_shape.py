from __future__ import annotations

from typing import Any

import msgspec
import pytest

from proxy.config import Limits
from proxy.server.answers import Refusal
from proxy.server.shape import check

LIMITS = Limits(messages=3, parts=4, tools=2, nesting=6)


def nested(levels: int) -> Any:
    return {} if levels == 1 else {"a": nested(levels - 1)}


def refused(body: dict[str, Any]) -> tuple[str, str | None]:
    with pytest.raises(Refusal) as told:
        check(msgspec.json.encode(body), body, LIMITS)
    assert told.value.status == 400
    return told.value.code, told.value.param


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": [{}] * 4}, "messages"),
        ({"messages": [{"content": ["x"] * 3}, {"content": ["x"] * 2}]}, "messages"),
        ({"input": ["x"] * 4}, "input"),
        ({"input": [{"role": "user", "content": [{}] * 5}]}, "input"),
        ({"prompt": ["x"] * 4}, "prompt"),
        ({"tools": [{}] * 3}, "tools"),
        ({"functions": [{}] * 3}, "functions"),
        ({"system": [{}] * 5}, "system"),
    ],
)
def test_too_many(body: dict[str, Any], param: str) -> None:
    assert refused(body) == ("array_above_max_length", param)


def test_what_is_within_the_limits() -> None:
    for body in (
        {"messages": [{"content": ["x"] * 2}] * 2 + [{"content": "x" * 10_000}], "tools": [{}] * 2},
        {"input": [1, 2, 3, 4, 5]},
        {"messages": "no list", "tools": None},
        {"messages": [{"content": "{" * 100 + "[" * 100}]},
    ):
        check(msgspec.json.encode(body), body, LIMITS)


def test_nesting_to_the_level() -> None:
    check(msgspec.json.encode(nested(6)), nested(6), LIMITS)
    assert refused(nested(7)) == ("nested_too_deeply", None)
    assert refused({"messages": [[[[[[]]]]]]})[0] == "nested_too_deeply"
    many = {"messages": [{"a": [{}, [], {}]}], "metadata": {"a": {}, "b": {}}}
    check(msgspec.json.encode(many), many, LIMITS)
