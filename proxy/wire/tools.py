"""Which tool a text belongs to: what it is called with, and what it has said. Names are the APIs' own; a tool that the provider
brings along is called as in the item's type, as in "web_search"."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

from proxy.wire.parts import Field, Json, Part, Path

Names = Mapping[Path, str]  # the place of a call or of a result -> the tool's name, "" where nobody knows it

_CALLS = frozenset("function_call custom_tool_call mcp_call mcp_approval_request".split())
_USES = frozenset("tool_use server_tool_use mcp_tool_use".split())


def named(fields: list[Field], names: Names) -> list[Field]:
    """The fields, each with the tool that it belongs to."""
    return [one._replace(tool=_at(one.path, names)) for one in fields] if names else fields


def _at(path: Path, names: Names) -> str | None:
    return next((names[path[:end]] for end in range(2, len(path) + 1) if path[:end] in names), None)


def marked(parts: Iterable[Part], tool: str | None) -> list[Part]:
    found = list(parts)
    for part in found:
        part.tool = tool
    return found


# -- chat completions


def in_chat(messages: list[dict[str, Any]]) -> Names:
    names: dict[Path, str] = {}
    calls: dict[str, str] = {}
    for index, message in enumerate(messages):
        at: Path = ("messages", index)
        if isinstance(given := message.get("function_call"), dict):
            names[(*at, "function_call")] = _text(given.get("name"))
        for number, call in enumerate(_list(message.get("tool_calls"))):
            name = _text(next((v.get("name") for v in call.values() if isinstance(v, dict)), None))
            names[(*at, "tool_calls", number)] = calls[_text(call.get("id"))] = name
        if message.get("role") in ("tool", "function"):
            names[at] = calls.get(_text(message.get("tool_call_id")), "") or _text(message.get("name"))
    return names


class ChatCalls:
    """The calls of an answer, whole or in chunks: a name comes before what the tool is called with, or it is not known. Some
    providers cut a name in two, and some say it again in each chunk."""

    def __init__(self) -> None:
        self._names: dict[Hashable, str] = {}

    def mark(self, parts: Iterable[Part]) -> None:
        of_calls = [p for p in parts if isinstance(p.channel, tuple) and p.channel[1] in ("tool_calls", "function_call")]
        for part in of_calls:
            if part.path is not None and part.path[-1] == "name":
                known = self._names.get(_call(part), "")
                self._names[_call(part)] = known if known == part.text else known + part.text
        for part in of_calls:
            part.tool = self._names.get(_call(part), "")


def _call(part: Part) -> Hashable:
    """The channels of one call begin alike; their last element is the place within it."""
    return part.channel[:-1] if isinstance(part.channel, tuple) else part.channel


# -- responses


def in_responses(items: list[Any]) -> Names:
    names: dict[Path, str] = {}
    calls: dict[str, str] = {}
    for index, item in enumerate(items):
        if (name := of_item(item)) is None:
            continue
        call = _text(item.get("call_id"))
        if item["type"].endswith("_output"):
            name = calls.get(call, name)
        else:
            calls[call] = name
        names[("input", index)] = name
    return names


def of_item(item: Json) -> str | None:
    """The tool of an item of the conversation; None if it is no call and no result."""
    kind = _text(item.get("type")) if isinstance(item, dict) else ""
    if kind in _CALLS:
        return _text(item.get("name"))
    if kind.removesuffix("_output") in _CALLS:
        return ""
    stem = kind.removesuffix("_output")
    return stem.removesuffix("_call") if stem.endswith("_call") else None


# -- messages


def in_messages(messages: list[dict[str, Any]]) -> Names:
    names: dict[Path, str] = {}
    calls: dict[str, str] = {}
    for index, message in enumerate(messages):
        for number, block in enumerate(_list(message.get("content"))):
            if (name := of_block(block)) is None:
                continue
            if "id" in block:
                calls[_text(block["id"])] = name
            names[("messages", index, "content", number)] = calls.get(_text(block.get("tool_use_id")), name)
    return names


def of_block(block: Json) -> str | None:
    """The tool of a content block; None if it is no call and no result."""
    kind = _text(block.get("type")) if isinstance(block, dict) else ""
    if kind in _USES:
        return _text(block.get("name"))
    if kind in ("tool_result", "mcp_tool_result"):
        return ""
    return kind.removesuffix("_tool_result") if kind.endswith("_tool_result") else None


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _list(value: Json) -> Iterator[dict[str, Any]]:
    """With something in the place of what is no object, so that what follows keeps its number."""
    return (one if isinstance(one, dict) else {} for one in value) if isinstance(value, list) else iter(())
