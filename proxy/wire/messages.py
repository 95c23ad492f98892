"""Anthropic's Messages: https://docs.anthropic.com/en/api/messages and …/messages-streaming"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec

from proxy.types import Role
from proxy.wire import sse, tools
from proxy.wire.form import Form, How, form, free
from proxy.wire.parts import (
    AROUND,
    BadBody,
    Field,
    Item,
    Json,
    Key,
    Media,
    Part,
    Path,
    Request,
    Said,
    decode,
    encode,
    is_prose,
    loose,
    read_settings,
    words,
)

_REQUEST = form(
    "prompt",
    inside="messages system metadata mcp_servers",
    text="tools stop_sequences",
    plain="max_tokens stream temperature top_k top_p context_management",
    passed="model service_tier container tool_choice thinking",
)
_METADATA = form("prompt", "metadata", passed="user_id")
_SERVER = form("prompt", "mcp_servers[]", text="name url tool_configuration", passed="type authorization_token")
# A role is read as well: what is none of the API's own words reaches the model of a provider that takes any.
_MESSAGE = form("prompt", "messages[]", text="role", inside="content")
_SEARCHED = frozenset(("encrypted_content", "encrypted_index"))  # sealed by the provider, wherever it stands


def _blocks(bodies: str, place: str, event: str = "") -> dict[str, Form]:
    """Content blocks by their type."""

    def block(kind: str, passed: str = "", inside: str = "", **fields: str) -> tuple[str, Form]:
        where = place.replace("*", kind)
        return kind, form(bodies, where, event=event, inside=inside, passed=passed, **fields)

    return dict(
        [
            block("text", "cache_control", text="text citations"),
            block("thinking", "signature", text="thinking"),
            block("redacted_thinking", binary="data"),
            block("tool_use", "id cache_control", json="input", text="name"),
            block("server_tool_use", "id cache_control", json="input", text="name"),
            block("mcp_tool_use", "id cache_control", json="input", text="name server_name"),
            block("tool_result", "tool_use_id cache_control", inside="content", plain="is_error"),
            block("mcp_tool_result", "tool_use_id cache_control", inside="content", plain="is_error"),
            block("web_search_tool_result", "tool_use_id cache_control", text="content"),
            block("web_fetch_tool_result", "tool_use_id cache_control", text="content"),
            block("code_execution_tool_result", "tool_use_id cache_control", text="content"),
            block("image", "cache_control", media="source"),
            block("document", "cache_control", inside="source", text="title context citations"),
            block("search_result", "cache_control", inside="content", text="title source citations"),
            block("container_upload", "cache_control", media="file_id"),
        ]
    )


_BLOCKS = _blocks("prompt", "messages[].content[*]")
_SOURCES = {
    "text": form("prompt", "messages[].content[document].source{text}", text="data", passed="media_type"),
    "content": form("prompt", "messages[].content[document].source{content}", inside="content"),
    "base64": form("prompt", "messages[].content[document].source{base64}", media="data", passed="media_type"),
    "url": form("prompt", "messages[].content[document].source{url}", media="url"),
    "file": form("prompt", "messages[].content[document].source{file}", media="file_id"),
}
_ANSWER = form(
    "answer",
    inside="content",
    plain="usage",
    text="stop_sequence",
    passed="id type role model stop_reason container",
)
_SAID = _blocks("answer", "content[*]")
_BEGUN = _blocks("stream", "content_block{*}", "content_block_start")
_DELTAS = {
    "text_delta": form("stream", "delta{text_delta}", event="content_block_delta", text="text"),
    "thinking_delta": form("stream", "delta{thinking_delta}", event="content_block_delta", text="thinking"),
    "input_json_delta": form("stream", "delta{input_json_delta}", event="content_block_delta", json="partial_json"),
    "signature_delta": form("stream", "delta{signature_delta}", event="content_block_delta", passed="signature"),
    "citations_delta": form("stream", "delta{citations_delta}", event="content_block_delta", text="citation"),
}
_EVENTS = {
    "message_start": form("stream", event="message_start", inside="message"),
    "content_block_start": form("stream", event="content_block_start", inside="content_block", steer="index"),
    "content_block_delta": form("stream", event="content_block_delta", inside="delta", steer="index"),
    "content_block_stop": form("stream", event="content_block_stop", steer="index"),
    "message_delta": form("stream", event="message_delta", inside="delta", plain="usage"),
    "message_stop": form("stream", event="message_stop"),
    "ping": form("stream", event="ping"),
    "error": form("stream", event="error", text="error"),
}
_STARTED = form(
    "stream",
    "message",
    event="message_start",
    inside="content",
    plain="usage",
    text="stop_sequence",
    passed="id type role model stop_reason container",
)
_ENDED = form("stream", "delta", event="message_delta", text="stop_sequence", passed="stop_reason container")
FORMS = (
    _REQUEST,
    form("prompt", text="system"),
    form("prompt", "system[text]", text="text", passed="cache_control"),
    _METADATA,
    _SERVER,
    free(form("prompt", "tools[]", text="description input_schema name")),
    _MESSAGE,
    form("prompt", "messages[]", text="content"),
    *_BLOCKS.values(),
    form("prompt", "messages[].content[tool_result]", text="content"),
    form("prompt", "messages[].content[tool_result].content[text]", text="text"),
    form("prompt", "messages[].content[tool_result].content[image]", media="source"),
    form("prompt", "messages[].content[search_result].content[text]", text="text"),
    *_SOURCES.values(),
    form("prompt", "messages[].content[document].source{content}.content[text]", text="text"),
    _ANSWER,
    *_SAID.values(),
    *_EVENTS.values(),
    _STARTED,
    *_BEGUN.values(),
    *_DELTAS.values(),
    _ENDED,
)
_COUNTED = form("answer", plain="input_tokens context_management")
_ROLES = frozenset(("user", "assistant"))
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


_UNKNOWN = form("stream", "", event="*")  # an event that the API does not document


class Messages:
    """The API of `messages`: `wire.api.Api`."""

    path = "messages"
    forms: tuple[Form, ...] = FORMS
    error = staticmethod(error)

    def request(self, body: Json) -> Request:
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise BadBody("'messages' must be a non-empty array.", "messages")
        if not isinstance(body.get("model"), str):
            raise BadBody("'model' must be a string.", "model")
        found = Request([], [], [])
        read_settings(found, body, _REQUEST, "system")
        if (system := body.get("system")) is not None:
            _content(system, ("system",), "system", found)
        _nested(body, "metadata", _METADATA, found)
        _nested(body, "mcp_servers", _SERVER, found)
        for index, message in enumerate(messages):
            if not isinstance(message, dict):
                raise BadBody(f"'messages[{index}]' must be an object.", f"messages[{index}]")
            at: Path = ("messages", index)
            role: Role = "assistant" if message.get("role") == "assistant" else "user"
            said = {key: value for key, value in message.items() if key != "role" or value not in _ROLES}
            read_settings(found, said, _MESSAGE, role, at)
            if message.get("content") is not None:
                _content(message["content"], (*at, "content"), role, found)
        return found._replace(fields=tools.named(found.fields, tools.in_messages(messages)))

    def said(self, answer: Json) -> list[Said]:
        parts: list[Part] = []
        content = answer.get("content") or []
        if not isinstance(content, list):
            raise BadBody("content that is no array")
        for index, block in enumerate(content):
            if not isinstance(block, dict):
                raise BadBody("a content block that is not an object")
            parts += tools.marked(_block_parts(block, index, ("content", index)), tools.of_block(block))
        return [Said(0, answer, parts), Said(AROUND, answer, loose(answer, _ANSWER, (), ""))]

    def block(self, answer: Json, said: Said, annotation: Json) -> None:
        if said.number == AROUND:
            answer["content"] = []
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
    forms = (*(one for one in FORMS if "prompt" in one.bodies), _COUNTED)

    def said(self, answer: Json) -> list[Said]:
        return [Said(0, answer, loose(answer, _COUNTED, (), ""))]

    def block(self, answer: Json, said: Said, annotation: Json) -> None:
        """There is nothing left of it, and no place to say so."""

    def refusal(self, body: Json, text: str) -> tuple[str, bytes] | None:
        return None


def _nested(body: dict[str, Json], key: str, inner: Form, found: Request) -> None:
    """An object or objects among the settings; what is neither is read as it is."""
    value = body.get(key)
    each: list[tuple[Path, Json]] = [((key,), value)] if isinstance(value, dict) else []
    if isinstance(value, list):
        each = [((key, index), one) for index, one in enumerate(value)]
    elif value is not None and not each:
        found.fields.extend(Field(p, t, "system", prose=is_prose(t)) for p, t in words(value, (key,)))
    for at, one in each:
        if isinstance(one, dict):
            read_settings(found, one, inner, "system", at)
        else:
            found.fields.extend(Field(p, t, "system", prose=is_prose(t)) for p, t in words(one, at))


def _content(value: Json, at: Path, role: Role, found: Request) -> None:
    """A string, or content blocks, of a message, the system prompt or a tool's result."""
    if isinstance(value, str):
        found.fields.append(Field(at, value, role))
    elif isinstance(value, list):
        for index, block in enumerate(value):
            _block(block, (*at, index), role, found)
    else:
        found.fields.extend(Field(p, t, role, prose=is_prose(t)) for p, t in words(value, at))


def _block(block: Json, at: Path, role: Role, found: Request) -> None:
    fields, media, unknown = found
    kind = block.get("type") if isinstance(block, dict) else None
    known = _BLOCKS.get(kind) if isinstance(kind, str) else None
    if known is None:
        unknown.append(at)
        fields += (Field(p, t, role, prose=p[-1] == "text" or is_prose(t)) for p, t in words(block, at))
        return
    if known.inside:
        role = "tool"
    for key, value in block.items():
        place = (*at, key)
        if key not in known.known:
            unknown.append(place)
            fields.append(Field((*at, Key(key)), key, role, prose=is_prose(key)))
        if key in known.media or (kind == "redacted_thinking" and key == "data"):
            media.append(Media(at, str(kind)))
        elif key in known.inside and key == "source":
            _source(value, place, str(kind), found)
        elif key in known.inside:
            _content(value, place, role, found)
        elif known.how.get(key) is How.JSON and isinstance(value, dict | list):
            fields.append(Field(place, encode(value).decode(), role, "json", boxed=True))
        elif key not in known.apart:
            own = key in ("text", "thinking")
            fields += (Field(p, t, role, prose=own or is_prose(t)) for p, t in words(value, place, _SEARCHED))


def _source(source: Json, at: Path, kind: str, found: Request) -> None:
    known = _SOURCES.get(source["type"]) if isinstance(source, dict) and isinstance(source.get("type"), str) else None
    if known is None:
        found.fields.extend(Field(p, t, "tool", prose=is_prose(t)) for p, t in words(source, at))
        return
    if known.media:
        found.media.append(Media(at[:-1], kind))
    for key, value in source.items():
        if key in known.inside:
            _content(value, (*at, key), "tool", found)
        elif key not in known.apart:
            found.fields.extend(Field(p, t, "tool", prose=key == "data" or is_prose(t)) for p, t in words(value, (*at, key)))


# -- answers


def _block_parts(block: dict[str, Any], index: int, at: Path) -> Iterator[Part]:
    """The texts of a whole content block. What a tool is called with is read as the JSON that a stream would bring."""
    kind = block.get("type")
    known = _SAID.get(kind) if isinstance(kind, str) else None
    for key, value in block.items():
        place = (*at, key)
        if key in ("text", "thinking") and isinstance(value, str):
            yield Part((0, index, key), place, value)
        elif key == "input" and isinstance(value, dict):
            if value:
                yield Part((0, index, "partial_json"), place, encode(value).decode(), kind="json", boxed=True)
        elif known is None or key in known.inside or key not in known.apart:
            for path, text in words(value, place, _SEARCHED if known is not None else ()):
                yield Part((0, index, path), path, text, closed=True, prose=key != "name" and is_prose(text))


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
        known = _EVENTS.get(kind) if isinstance(kind, str) else None
        if known is None:
            return Item(lane, body, loose(body, _UNKNOWN, (), 0), choice=0)
        inner = next(iter(known.inside), "")
        held = body.get(inner)
        parts: list[Part] = []
        if isinstance(held, dict):
            parts = list(self._held_parts(held, inner, index if type(index) is int else 0))
        odd = known.apart - {inner} if inner and held is not None and not isinstance(held, dict) else ()
        parts += loose(body, known, (), 0, odd)
        parts += (Part((0, "index", p), p, t, closed=True, prose=False) for p, t in words(index, ("index",)))
        if kind == "message_start":
            return Item(None, body, parts, choice=0)
        if kind == "ping":
            return Item(None, body, parts)
        if kind == "message_delta":
            return Item(None, body, parts, choice=0, barrier="choice", ends="choice")
        if kind == "message_stop":
            return Item(None, body, parts, barrier="all", ends="stream")
        if kind == "error":
            return Item(None, body, parts, barrier="all", ends="error")
        self._tokens += kind == "content_block_delta"
        completes = (0, index) if kind == "content_block_stop" and type(index) is int else None
        return Item(lane, body, parts, choice=0, completes=completes)

    def _held_parts(self, held: dict[str, Any], inner: str, index: int) -> Iterator[Part]:
        """What the object has in it that the event is about."""
        if inner == "content_block":
            tool = self._tools[index] = tools.of_block(held)
            yield from tools.marked(_block_parts(held, index, (inner,)), tool)
        elif inner == "message":
            yield from loose(held, _STARTED, (inner,), 0)
            content = held.get("content")
            for number, block in enumerate(content if isinstance(content, list) else ()):
                if isinstance(block, dict):
                    found = _block_parts(block, number, (inner, "content", number))
                    yield from tools.marked(found, tools.of_block(block))
                else:
                    yield from loose({number: block}, _UNKNOWN, (inner, "content"), 0)
            if content and not isinstance(content, list):
                yield from loose({"content": content}, _UNKNOWN, (inner,), 0)
        elif "type" not in held:
            yield from loose(held, _ENDED, (inner,), 0)
        else:
            tool = self._tools.get(index, "" if "partial_json" in held else None)
            yield from tools.marked(self._delta_parts(held, index), tool)

    @staticmethod
    def _delta_parts(delta: dict[str, Any], index: int) -> Iterator[Part]:
        kind = delta.get("type")
        known = _DELTAS.get(kind) if isinstance(kind, str) else None
        own = _TEXTS.get(str(kind))
        for key, value in delta.items():
            if key == own and isinstance(value, str):
                yield Part((0, index, key), ("delta", key), value, kind="json" if key == "partial_json" else "text")
            elif known is None or key not in known.apart:
                for path, text in words(value, ("delta", key), _SEARCHED if known is not None else ()):
                    closed = known is not None or isinstance(path[-1], Key)
                    yield Part((0, index, path), path, text, closed=closed, prose=is_prose(text))

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
