"""Anthropic's Messages: https://docs.anthropic.com/en/api/messages and …/messages-streaming"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec

from proxy.types import Role
from proxy.wire import sse, tools
from proxy.wire.parts import (
    BadBody,
    Field,
    Item,
    Json,
    Media,
    Part,
    Path,
    Request,
    Said,
    decode,
    encode,
    is_prose,
    strings,
)

_OPAQUE = frozenset("model metadata service_tier container tool_choice thinking".split())
_KNOWN = _OPAQUE | frozenset(
    "messages system tools max_tokens stop_sequences stream temperature top_k top_p mcp_servers context_management".split()
)
_KNOWN_MESSAGE = frozenset(("role", "content"))
_BLOCKS = frozenset(
    (
        "text image document tool_use tool_result thinking redacted_thinking search_result server_tool_use "
        "web_search_tool_result web_fetch_tool_result code_execution_tool_result mcp_tool_use mcp_tool_result container_upload"
    ).split()
)
# Identifiers, signatures and sealed data: no text of anybody's, and of no use when changed.
_SEALED = frozenset("type id tool_use_id signature encrypted_content encrypted_index media_type cache_control file_id".split())
_MEDIA = frozenset(("image", "redacted_thinking", "container_upload"))
_TEXTS = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def error(status: int, /, message: str, kind: str, param: str | None, code: str | None, **more: Any) -> bytes:
    """Anthropic's error object, with Weir's code and place beside it."""
    kind = _ERRORS.get(status, "invalid_request_error" if status < 500 else "api_error")
    return encode({"type": "error", "error": {"type": kind, "message": message, "param": param, "code": code, **more}})


class Messages:
    """The API of `messages`: `wire.api.Api`."""

    path = "messages"
    error = staticmethod(error)

    def request(self, body: Json) -> Request:
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise BadBody("'messages' must be a non-empty array.", "messages")
        if not isinstance(body.get("model"), str):
            raise BadBody("'model' must be a string.", "model")
        fields: list[Field] = []
        media: list[Media] = []
        unknown: list[Path] = [(key,) for key in body if key not in _KNOWN]
        for key, value in body.items():
            if key == "system":
                _content(value, ("system",), "system", fields, media, unknown)
            elif key != "messages" and key not in _OPAQUE:
                fields += (Field(p, t, "system", prose=is_prose(t)) for p, t in _open_strings(value, (key,)))
        for index, message in enumerate(messages):
            if not isinstance(message, dict):
                raise BadBody(f"'messages[{index}]' must be an object.", f"messages[{index}]")
            at: Path = ("messages", index)
            role: Role = "assistant" if message.get("role") == "assistant" else "user"
            unknown += ((*at, key) for key in message if key not in _KNOWN_MESSAGE)
            for key, value in message.items():
                if key == "content":
                    _content(value, (*at, key), role, fields, media, unknown)
                elif key != "role":
                    fields += (Field(p, t, role, prose=is_prose(t)) for p, t in strings(value, (*at, key)))
        return Request(tools.named(fields, tools.in_messages(messages)), media, unknown)

    def said(self, answer: Json) -> list[Said]:
        parts: list[Part] = []
        for index, block in enumerate(answer.get("content") or []):
            if not isinstance(block, dict):
                raise BadBody("a content block that is not an object")
            parts += tools.marked(_block_parts(block, index, ("content", index)), tools.of_block(block))
        return [Said(0, answer, parts)]

    def block(self, answer: Json, said: Said, annotation: Json) -> None:
        answer["stop_reason"], answer["stop_sequence"] = "refusal", None
        answer["content"] = [block for block in answer["content"] if block.get("type") != "text" or block.get("text")]
        if annotation is not None:
            answer["content_filter_results"] = annotation

    def reader(self, body: Json) -> EventReader:
        return EventReader()

    def refusal(self, body: Json, text: str) -> tuple[str, bytes] | None:
        usage = {"input_tokens": 0, "output_tokens": 0}
        head = {
            "id": f"msg_weir{time.time_ns():x}",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "usage": usage,
        }
        block = {"type": "text", "text": text}
        if not body.get("stream"):
            return "application/json", encode({**head, "content": [block], "stop_reason": "refusal", "stop_sequence": None})
        reader = EventReader()
        start: dict[str, Any] = {
            "type": "message_start",
            "message": {**head, "content": [], "stop_reason": None, "stop_sequence": None},
        }
        events: list[dict[str, Any]] = [
            start,
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
        ]
        reader.open = 0
        said = b"".join(sse.encode(encode(e), str(e["type"])) for e in events)
        return sse.CONTENT_TYPE, said + reader.blocked(0) + reader.done()


class CountTokens(Messages):
    """The API of `messages/count_tokens`: the same request, a number for an answer."""

    path = "messages/count_tokens"

    def said(self, answer: Json) -> list[Said]:
        return []

    def refusal(self, body: Json, text: str) -> tuple[str, bytes] | None:
        return None


def _open_strings(value: Json, path: Path) -> Iterator[tuple[Path, str]]:
    return ((p, t) for p, t in strings(value, path) if t and not _SEALED.intersection(map(str, p)))


def _content(value: Json, at: Path, role: Role, fields: list[Field], media: list[Media], unknown: list[Path]) -> None:
    """A string, or content blocks, of a message, the system prompt or a tool's result."""
    if isinstance(value, str):
        fields.append(Field(at, value, role))
        return
    if not isinstance(value, list):
        fields += (Field(p, t, role, prose=is_prose(t)) for p, t in _open_strings(value, at))
        return
    for index, block in enumerate(value):
        _block(block, (*at, index), role, fields, media, unknown)


def _block(block: Json, at: Path, role: Role, fields: list[Field], media: list[Media], unknown: list[Path]) -> None:
    kind = block.get("type") if isinstance(block, dict) else None
    if kind not in _BLOCKS:
        unknown.append(at)
    source = block.get("source") if isinstance(block, dict) else None
    if kind in _MEDIA or (isinstance(source, dict) and source.get("type") in ("base64", "url", "file")):
        media.append(Media(at, str(kind)))
        return
    if isinstance(block, dict) and kind in ("tool_result", "document", "search_result"):
        inner = "source" if isinstance(source, dict) and "content" in source else ""
        place = (*at, inner, "content") if inner else (*at, "content")
        if (content := (source or {}).get("content") if inner else block.get("content")) is not None:
            _content(content, place, "tool", fields, media, unknown)
        for path, text in _open_strings(block, at):
            if path[: len(place)] != place:
                fields.append(Field(path, text, "tool", prose=is_prose(text)))
        return
    for path, text in _open_strings(block, at):
        prose = path[-1] in ("text", "thinking") or is_prose(text)
        fields.append(Field(path, text, role, prose=prose))


# -- answers


def _block_parts(block: dict[str, Any], index: int, at: Path) -> Iterator[Part]:
    """The texts of a whole content block. What a tool is called with is read as the JSON that a stream would bring."""
    for key, value in block.items():
        place = (*at, key)
        if key in _SEALED:
            continue
        if key in ("text", "thinking") and isinstance(value, str):
            yield Part((0, index, key), place, value)
        elif key == "input" and isinstance(value, dict):
            if value:
                yield Part((0, index, "partial_json"), place, encode(value).decode(), kind="json", boxed=True)
        elif key == "name" and isinstance(value, str):
            yield Part((0, index, key), place, value, closed=True, prose=False)
        else:
            for path, text in _open_strings(value, place):
                yield Part((0, index, path), path, text, closed=True, prose=is_prose(text))


class EventReader:
    """Reads events into items, all in one lane: blocks come one after the other, and stay so."""

    choices = 1
    include_usage = False
    watches = True

    def __init__(self) -> None:
        self.open: int | None = None  # the block that the client has seen begin and not end
        self._tokens = 0
        self._tools: dict[int, str | None] = {}  # of upstream's blocks

    def items(self, event: sse.Event) -> list[Item]:
        """Raises BadBody when the event is none of the API's."""
        if event.data is None:
            return [Item(None, None, [], event.raw)]
        try:
            body = decode(event.data)
        except (msgspec.DecodeError, UnicodeDecodeError) as problem:
            raise BadBody("an event that is not JSON") from problem
        if not isinstance(body, dict):
            raise BadBody("an event that is not an object")
        item = self._item(body)
        item.raw, item.name = event.raw, event.name or str(body.get("type") or "")
        return [item]

    def _item(self, body: dict[str, Any]) -> Item:
        kind, index = body.get("type"), body.get("index")
        lane = (0, "content")
        if kind == "message_start":
            return Item(None, body, [], choice=0)
        if kind == "ping":
            return Item(None, body, [])
        if kind == "content_block_start" and isinstance(block := body.get("content_block"), dict) and type(index) is int:
            tool = self._tools[index] = tools.of_block(block)
            return Item(lane, body, tools.marked(_block_parts(block, index, ("content_block",)), tool), choice=0)
        self._tokens += kind == "content_block_delta"
        if kind == "content_block_delta" and isinstance(delta := body.get("delta"), dict) and type(index) is int:
            tool = self._tools.get(index, "" if "partial_json" in delta else None)
            return Item(lane, body, tools.marked(self._delta_parts(delta, index), tool), choice=0)
        if kind == "content_block_stop" and type(index) is int:
            return Item(lane, body, [], choice=0, completes=(0, index))
        if kind == "message_delta":
            return Item(None, body, self._others(body.get("delta"), ("delta",)), choice=0, barrier="choice", ends="choice")
        if kind == "message_stop":
            return Item(None, body, [], barrier="all", ends="stream")
        if kind == "error":
            return Item(None, body, self._others(body.get("error"), ("error",)), barrier="all", ends="error")
        return Item(lane, body, self._others(body, ()), choice=0)

    @staticmethod
    def _delta_parts(delta: dict[str, Any], index: int) -> Iterator[Part]:
        known = _TEXTS.get(str(delta.get("type")))
        for key, value in delta.items():
            if key == known and isinstance(value, str):
                yield Part((0, index, key), ("delta", key), value, kind="json" if key == "partial_json" else "text")
            elif key not in _SEALED:
                for path, text in _open_strings(value, ("delta", key)):
                    yield Part((0, index, path), path, text, closed=True, prose=is_prose(text))

    @staticmethod
    def _others(value: Json, at: Path) -> list[Part]:
        skip = _SEALED | {"stop_reason"}
        found = ((p, t) for p, t in strings(value, at) if t and not skip.intersection(map(str, p)))
        return [Part((0, "", p), p, t, closed=True, prose=is_prose(t)) for p, t in found]

    def sent(self, body: Json) -> None:
        if isinstance(body, dict) and body.get("type") in ("content_block_start", "content_block_stop"):
            self.open = body["index"] if body["type"] == "content_block_start" else None

    def blocked(self, index: int, annotation: Json = None) -> bytes:
        """Closes the block that the client has open, then ends the message."""
        delta: dict[str, Any] = {"stop_reason": "refusal", "stop_sequence": None}
        if annotation is not None:
            delta["content_filter_results"] = annotation
        events: list[dict[str, Any]] = [{"type": "content_block_stop", "index": self.open}] if self.open is not None else []
        events.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": self._tokens}})
        return b"".join(sse.encode(encode(e), e["type"]) for e in events)

    def usage(self, prompt: int, completion: int) -> bytes:
        return b""

    def done(self) -> bytes:
        return sse.encode(encode({"type": "message_stop"}), "message_stop")

    def error(self, message: str, code: str) -> bytes:
        return sse.encode(error(502, message, "api_error", None, code), "error")
