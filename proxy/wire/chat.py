"""Chat completions: https://platform.openai.com/docs/api-reference/chat

Requests, answers and chunks are read with humility: text fields by name, any other string wherever it stands, and
everything else is carried through untouched.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec

from proxy.types import Role
from proxy.wire import sse, tools
from proxy.wire.openai import error
from proxy.wire.parts import BadBody, Field, Item, Json, Media, Part, Path, Request, Said, decode, encode, is_prose, strings

# Strings that are names of settings or identifiers, not somebody's text.
_OPAQUE_REQUEST = frozenset(
    (
        "model service_tier reasoning_effort verbosity user safety_identifier prompt_cache_key prompt_cache_retention "
        "modalities tool_choice function_call"
    ).split()
)
_ENVELOPE = frozenset("id object created model system_fingerprint service_tier usage choices obfuscation".split())
_CHOICE = frozenset(["index", "delta", "message", "logprobs", "finish_reason"])
_TOKENS = frozenset("type id format role object name status".split())  # keys whose short values are not prose
_MEDIA = frozenset("image_url input_image image input_audio audio file input_file video_url video".split())
_STREAMED_TEXT = ("content", "refusal", "reasoning_content", "reasoning")


# Fields that the API documents. Any other is inspected all the same, and refused where the policy says so.
_KNOWN_REQUEST = _OPAQUE_REQUEST | frozenset(
    (
        "messages audio frequency_penalty functions logit_bias logprobs max_completion_tokens max_tokens metadata n "
        "parallel_tool_calls prediction presence_penalty response_format seed stop store stream stream_options "
        "temperature tools top_logprobs top_p web_search_options"
    ).split()
)
_KNOWN_MESSAGE = frozenset(
    "role content name refusal audio tool_calls function_call tool_call_id reasoning reasoning_content".split()
)
_KNOWN_PARTS = _MEDIA | {"text", "refusal"}


def read_request(body: Json) -> Request:
    """Raises BadBody."""
    if not isinstance(body, dict):
        raise BadBody("The request body must be a JSON object.")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadBody("'messages' must be a non-empty array.", "messages")
    if not isinstance(body.get("model"), str):
        raise BadBody("'model' must be a string.", "model")
    fields: list[Field] = []
    media: list[Media] = []
    unknown: list[Path] = [(key,) for key in body if key not in _KNOWN_REQUEST]
    for key, value in body.items():
        if key == "messages" or key in _OPAQUE_REQUEST:
            continue
        fields += (Field(path, text, "system", prose=is_prose(text)) for path, text in strings(value, (key,)) if text)
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise BadBody(f"'messages[{index}]' must be an object.", f"messages[{index}]")
        _read_message(message, ("messages", index), fields, media)
        unknown += _unknown(message, ("messages", index))
    return Request(tools.named(fields, tools.in_chat(messages)), media, unknown)


def _unknown(message: dict[str, Any], path: Path) -> Iterator[Path]:
    yield from ((*path, key) for key in message if key not in _KNOWN_MESSAGE)
    content = message.get("content")
    for index, part in enumerate(content if isinstance(content, list) else ()):
        if not isinstance(part, dict) or part.get("type") not in _KNOWN_PARTS:
            yield (*path, "content", index)


def _read_message(message: dict[str, Any], path: Path, fields: list[Field], media: list[Media]) -> None:
    role = _role(message.get("role"))
    for key, value in message.items():
        at = (*path, key)
        if key == "role":
            continue
        if key == "content" and isinstance(value, list):
            for index, part in enumerate(value):
                _read_content_part(part, (*at, index), role, fields, media)
        elif key == "audio":
            media.append(Media(at, "audio"))
        elif key in ("tool_calls", "function_call"):
            fields += _tool_call_fields(value, at, role)
        elif isinstance(value, str):
            fields.append(Field(at, value, role, prose=key not in _TOKENS and key != "tool_call_id"))
        else:
            fields += (Field(p, text, role, prose=is_prose(text)) for p, text in strings(value, at))


def _read_content_part(part: Json, path: Path, role: Role, fields: list[Field], media: list[Media]) -> None:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in _MEDIA:
        media.append(Media(path, str(kind)))
        return
    for at, text in strings(part, path):
        if at[-1] != "type":
            prose = at[-1] in ("text", "refusal") or is_prose(text)
            fields.append(Field(at, text, role, prose=prose))


def _tool_call_fields(value: Json, path: Path, role: Role) -> Iterator[Field]:
    for at, text in strings(value, path):
        if at[-1] == "arguments":
            yield Field(at, text, role, "json")
        else:
            yield Field(at, text, role, prose=at[-1] not in _TOKENS and is_prose(text))


def _role(role: Json) -> Role:
    if role == "function":
        return "tool"
    return role if role in ("system", "developer", "assistant", "tool") else "user"


# -- answers


def choice_parts(choice: dict[str, Any], index: int, holder: str, at: Path) -> list[Part]:
    """The texts of one choice, in a chunk (`holder` is "delta") or in an answer ("message")."""
    parts: list[Part] = []
    delta = choice.get(holder)
    if isinstance(delta, dict):
        for key, value in delta.items():
            if value is None or key == "role":
                continue
            place = (*at, holder, key)
            if key in _STREAMED_TEXT and isinstance(value, str):
                parts.append(Part((index, key), place, value))
            elif key == "tool_calls" and isinstance(value, list):
                for position, call in enumerate(value):
                    number = call.get("index", position) if isinstance(call, dict) else position
                    parts += _call_parts(call, (index, "tool_calls", number), (*place, position))
            else:
                parts += _call_parts(value, (index, key), place)
    parts += _logprob_parts(choice.get("logprobs"), parts, index, (*at, "logprobs"))
    for key, value in choice.items():
        if key not in _CHOICE:
            parts += (Part((index, key, p), p, text, closed=True, prose=False) for p, text in strings(value, (*at, key)))
    return parts


def _call_parts(value: Json, channel: tuple[Any, ...], place: Path) -> Iterator[Part]:
    """Strings of a tool call, or of a field that nobody knows: each place in it is a text of its own."""
    for path, text in strings(value, place):
        inner = path[len(place) :]
        if path[-1] in _TOKENS and len(text) <= 128:
            yield Part((*channel, inner), path, text, closed=True, prose=False)
        else:
            yield Part((*channel, inner), path, text, kind="json" if path[-1] == "arguments" else "text")


def _logprob_parts(logprobs: Json, parts: list[Part], index: int, at: Path) -> list[Part]:
    """Ties the token list to the text that it repeats; a list that repeats something else is a text of its own."""
    found: list[Part] = []
    if not isinstance(logprobs, dict):
        return found
    for key, entries in logprobs.items():
        if not isinstance(entries, list) or not entries:
            continue
        text = "".join(str(entry.get("token", "")) if isinstance(entry, dict) else str(entry) for entry in entries)
        twin = next((p for p in parts if p.channel == (index, key)), None)
        if twin is not None and twin.text == text:
            twin.logprobs = (*at, key)
        else:
            found.append(Part((index, "logprobs", key), None, text, prose=False, logprobs=(*at, key)))
    return found


class Chat:
    """The API of `chat/completions`: `wire.api.Api`."""

    path = "chat/completions"
    error = staticmethod(error)

    def request(self, body: Json) -> Request:
        return read_request(body)

    def said(self, answer: Json) -> list[Said]:
        return list(_said(answer))

    def block(self, answer: Json, said: Said, annotation: Json) -> None:
        said.holder["finish_reason"] = "content_filter"
        if annotation is not None:
            said.holder["content_filter_results"] = annotation

    def reader(self, body: Json) -> ChunkReader:
        return ChunkReader(choices_of(body), wants_usage(body))

    def refusal(self, body: Json, text: str) -> tuple[str, bytes] | None:
        head = {"id": f"chatcmpl-weir{time.time_ns():x}", "created": int(time.time()), "model": body.get("model")}
        usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        indices = range(choices_of(body))
        message = {"role": "assistant", "content": None, "refusal": text}
        if not body.get("stream"):
            said = [{"index": i, "message": message, "logprobs": None, "finish_reason": "content_filter"} for i in indices]
            return "application/json", encode({**head, "object": "chat.completion", "choices": said, "usage": usage})
        head["object"] = "chat.completion.chunk"
        events = []
        for delta, finish in ((message, None), ({}, "content_filter")):
            for index in indices:
                choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
                events.append(sse.encode(encode({**head, "choices": [choice]})))
        if wants_usage(body):
            events.append(sse.encode(encode({**head, "choices": [], "usage": usage})))
        return sse.CONTENT_TYPE, b"".join([*events, sse.encode(sse.DONE)])


def choices_of(body: Json) -> int:
    count = body.get("n")
    return count if isinstance(count, int) and 1 <= count <= 128 else 1


def wants_usage(body: Json) -> bool:
    options = body.get("stream_options")
    return bool(isinstance(options, dict) and options.get("include_usage"))


def _said(answer: Json) -> Iterator[Said]:
    for position, choice in enumerate(answer.get("choices") or []):
        if not isinstance(choice, dict):
            raise BadBody("a choice that is not an object")
        parts = choice_parts(choice, position, "message", ("choices", position))
        tools.ChatCalls().mark(parts)
        parts.sort(key=lambda part: "reasoning" not in str(part.channel))  # reasoning streams first
        yield Said(position, choice, parts)


class ChunkReader:
    """Reads chunks into items, and writes the chunks that Weir itself must say."""

    watches = False

    def __init__(self, choices: int = 1, include_usage: bool = False) -> None:
        self.choices = choices
        self.include_usage = include_usage
        self._head: dict[str, Any] = {"id": "chatcmpl-weir", "object": "chat.completion.chunk", "created": 0, "model": ""}
        self._calls = tools.ChatCalls()

    def items(self, event: sse.Event) -> list[Item]:
        """Raises BadBody when the event is not a chunk."""
        if event.data is None:
            return [Item(None, None, [], event.raw)]
        if event.data == sse.DONE:
            return [Item(None, None, [], event.raw, barrier="all", ends="stream")]
        try:
            body = decode(event.data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadBody("an event that is not JSON") from error
        if not isinstance(body, dict):
            raise BadBody("an event that is not an object")
        choices = body.get("choices")
        # The usual chunk: one choice, more content, nothing else.
        if type(choices) is list and len(choices) == 1 and type(choice := choices[0]) is dict:
            delta, index = choice.get("delta"), choice.get("index")
            if (
                type(delta) is dict
                and len(delta) == 1
                and type(text := delta.get("content")) is str
                and type(index) is int
                and choice.get("finish_reason") is None
                and choice.get("logprobs") is None
                and choice.keys() <= _CHOICE
                and body.keys() <= _ENVELOPE
            ):
                part = Part((index, "content"), ("choices", 0, "delta", "content"), text)
                self._head = body
                return [Item((index, "content"), body, [part], event.raw, index)]
        return self._any_items(body, event.raw)

    def _any_items(self, body: dict[str, Any], raw: bytes) -> list[Item]:
        around = [
            Part(("", p), p, text, closed=True, prose=False)
            for key, value in body.items()
            if key not in _ENVELOPE
            for p, text in strings(value, (key,))
        ]
        choices = body.get("choices")
        if body.get("error"):
            return [Item(None, body, around, raw, barrier="all", ends="error")]
        if not isinstance(choices, list) or not choices:
            return [Item(None, body, around, raw, barrier="all" if body.get("usage") else "")]
        self._head = body
        items: list[Item] = []
        for position, choice in enumerate(choices):
            index = choice.get("index", position) if isinstance(choice, dict) else None
            if type(index) is not int or not 0 <= index < self.choices:
                raise BadBody("a choice that was not asked for")
            items += _choice_items({**body, "choices": [choice]}, choice, index)
        for item in items:
            self._calls.mark(item.parts)
        items[0].parts += around
        if len(items) == 1:
            items[0].raw = raw
        elif body.get("usage"):
            for item in items[:-1]:
                item.body["usage"] = None
        return items

    # -- what Weir says itself

    def _chunk(self, choices: list[Json], **more: Json) -> bytes:
        head = {k: v for k, v in self._head.items() if k in _ENVELOPE and k not in ("usage", "obfuscation")}
        return sse.encode(encode({**head, "choices": choices, **more}))

    def sent(self, body: Json) -> None:
        """Not asked for."""

    def blocked(self, index: int, annotation: Json = None) -> bytes:
        choice = {"index": index, "delta": {}, "logprobs": None, "finish_reason": "content_filter"}
        if annotation is not None:
            choice["content_filter_results"] = annotation
        return self._chunk([choice])

    def usage(self, prompt: int, completion: int) -> bytes:
        """The upstream was cancelled before it could count, so these are Weir's own estimates."""
        counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        return self._chunk([], usage=counts)

    def done(self) -> bytes:
        return sse.encode(sse.DONE)

    def error(self, message: str, code: str) -> bytes:
        """In OpenAI's shape; the SDKs raise on it."""
        return sse.encode(error(502, message, "server_error", None, code))


def _choice_items(body: dict[str, Any], choice: dict[str, Any], index: int) -> list[Item]:
    """A chunk with one choice, taken apart into one item a lane, the finish last."""
    parts = choice_parts(choice, index, "delta", ("choices", 0))
    finish = choice.get("finish_reason") is not None
    lanes: dict[tuple[Any, ...], list[Part]] = {}
    for part in parts:
        lanes.setdefault(_lane(part), []).append(part)
    if len(lanes) <= 1 and not (finish and parts):
        lane = next(iter(lanes), None)
        return [Item(lane, body, parts, None, index, "choice" if finish else "", "choice" if finish else "")]
    items: list[Item] = []
    for lane, own in lanes.items():
        items.append(Item(lane, _only(body, choice, own, first=not items), own, None, index))
    if finish:
        last = {**choice, "delta": {}, "logprobs": None}
        items.append(Item(None, {**body, "choices": [last]}, [], None, index, "choice", "choice"))
    return items


def _lane(part: Part) -> tuple[Any, ...]:
    """What must stay in order: a field of the delta, or one tool call."""
    channel = part.channel
    assert isinstance(channel, tuple)
    return channel[:3] if channel[1] == "tool_calls" else channel[:2] if channel[1] != "logprobs" else channel


def _only(body: dict[str, Any], choice: dict[str, Any], parts: list[Part], first: bool) -> dict[str, Any]:
    """The same chunk with only the given parts' fields in its delta. Paths of the parts are moved along."""
    delta: dict[str, Any] = {"role": choice["delta"]["role"]} if first and "role" in choice.get("delta", {}) else {}
    one: dict[str, Any] = {**choice, "delta": delta, "logprobs": None, "finish_reason": None}
    for part in parts:
        if part.path is not None and part.path[2:3] == ("delta",):
            key = str(part.path[3])
            value = choice["delta"][key]
            if key == "tool_calls":
                position = part.path[4]
                delta[key] = [value[position]]
                part.path = (*part.path[:4], 0, *part.path[5:])
            else:
                delta[key] = value
        if part.logprobs is not None:
            name = part.logprobs[-1]
            one["logprobs"] = {**(one["logprobs"] or {}), name: choice["logprobs"][name]}
    return {**body, "choices": [one]}
