"""How much one request may hold, whatever is said in it. Small bodies cost a look at their length."""

from __future__ import annotations

from typing import Any

from proxy.config import Limits
from proxy.server.answers import Refusal
from proxy.wire.parts import Json


def check(raw: bytes, body: dict[str, Any], limits: Limits) -> None:
    """Raises Refusal 400."""
    for name in ("messages", "input", "prompt"):
        items = body.get(name)
        if isinstance(items, list) and items and not isinstance(items[0], int):  # numbers are the tokens of one text
            _count(items, limits.messages, name)
            parts = 0
            for item in items:
                content = item.get("content") if isinstance(item, dict) else None
                if isinstance(content, list):
                    parts += len(content)
            if parts > limits.parts:
                raise _too_many(name, "content parts", limits.parts, parts)
    for name, most in (("system", limits.parts), ("tools", limits.tools), ("functions", limits.tools)):
        items = body.get(name)
        if isinstance(items, list):
            _count(items, most, name)
    # No deeper than it has brackets: the walk is for those few that have more of them than levels allowed.
    if raw.count(b"{") + raw.count(b"[") > limits.nesting and _deeper(body, limits.nesting):
        text = f"The request body is nested more than {limits.nesting} levels deep."
        raise Refusal(400, text, "nested_too_deeply")


def _count(items: list[Json], most: int, name: str) -> None:
    if len(items) > most:
        raise _too_many(name, "items", most, len(items))


def _too_many(name: str, what: str, most: int, found: int) -> Refusal:
    text = f"Invalid '{name}': array too long. Expected at most {most} {what}, but got {found} instead."
    return Refusal(400, text, "array_above_max_length", name)


def _deeper(value: Json, levels: int) -> bool:
    """Level by level, so that the walk itself needs no depth."""
    layer = [value]
    for _ in range(levels):
        layer = [i for v in layer for i in (v.values() if isinstance(v, dict) else v) if isinstance(i, dict | list)]
        if not layer:
            return False
    return True
