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
from proxy.wire.form import Form, How, form, free
from proxy.wire.openai import error
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
    blank,
    decode,
    encode,
    is_prose,
    loose,
    read_settings,
    words,
)

_REQUEST = form(
    "prompt",
    inside="messages",
    text="functions tools response_format prediction metadata stop web_search_options audio",
    plain=(
        "frequency_penalty logit_bias logprobs max_completion_tokens max_tokens n parallel_tool_calls presence_penalty seed "
        "store stream stream_options temperature top_logprobs top_p"
    ),
    passed=(
        "model service_tier reasoning_effort verbosity user safety_identifier prompt_cache_key prompt_cache_retention "
        "modalities tool_choice function_call"
    ),
)
# A role is read as well: what is none of the API's own words reaches the model of a provider that takes any.
_MESSAGE = form(
    "prompt",
    "messages[]",
    text="content refusal reasoning reasoning_content",
    name="role name tool_call_id",
    media="audio",
    inside="tool_calls function_call",
)
_PARTS = {
    "text": form("prompt", "messages[].content[text]", text="text"),
    "refusal": form("prompt", "messages[].content[refusal]", text="refusal"),
    "file": form("prompt", "messages[].content[file]", inside="file"),
} | {
    kind: form("prompt", f"messages[].content[{kind}]", media=kind)
    for kind in "image_url input_image image input_audio audio input_file video_url video".split()
}
_MEDIA = _PARTS.keys() - {"text", "refusal"}
_FILE = form("prompt", "messages[].content[file].file", text="filename", media="file_data file_id")
# What a part holds that nobody here can read; all else in it is text.
_PAYLOAD = _FILE.media | _MEDIA - {"file"} | frozenset(("url", "data", "file_url"))
_ENVELOPE = form(
    "answer stream",
    inside="choices",
    plain="usage",
    passed="id object created model system_fingerprint service_tier obfuscation",
)
_CHOICES = {
    "message": form("answer", "choices[]", inside="message", steer="index", passed="finish_reason", repeat="logprobs"),
    "delta": form("stream", "choices[]", inside="delta", steer="index", passed="finish_reason", repeat="logprobs"),
}
_SAID = "content refusal reasoning reasoning_content"
_WHOLE = form("answer", "choices[].message", text=f"{_SAID} annotations", name="role", inside="tool_calls function_call audio")
_DELTA = form("stream", "choices[].delta", text=_SAID, name="role", inside="tool_calls function_call audio")


def _calls(bodies: str, place: str) -> tuple[Form, ...]:
    return (
        form(bodies, f"{place}.tool_calls[]", name="id type", inside="function custom"),
        form(bodies, f"{place}.tool_calls[].function", name="name", json="arguments"),
        form(bodies, f"{place}.tool_calls[].custom", name="name", text="input"),
        form(bodies, f"{place}.function_call", name="name", json="arguments"),
    )


FORMS = (
    _REQUEST,
    free(form("prompt", "tools[].function", text="description name", inside="parameters")),
    free(form("prompt", "tools[].function.parameters", text="description properties")),
    form("prompt", "response_format.json_schema", text="description schema name", plain="strict"),
    form("prompt", "prediction", text="content type"),
    _MESSAGE,
    *_calls("prompt", "messages[]"),
    *_PARTS.values(),
    _FILE,
    _ENVELOPE,
    *_CHOICES.values(),
    _WHOLE,
    *_calls("answer", "choices[].message"),
    form("answer", "choices[].message.audio", text="transcript id", binary="data"),
    _DELTA,
    *_calls("stream", "choices[].delta"),
    form("stream", "choices[].delta.audio", text="transcript id", binary="data"),
)
_ROLES = frozenset("system developer user assistant tool function".split())
_TOKENS = frozenset("type id format role object name status".split())  # keys whose short values are not prose
_STREAMED_TEXT = frozenset(_SAID.split())
# A chunk with no more in it than this has one text and nothing else to read.
_BARE_CHUNK = _ENVELOPE.passed | {"usage", "choices"}
_BARE_CHOICE = _CHOICES["delta"].known


def read_request(body: Json) -> Request:
    """Raises BadBody."""
    if not isinstance(body, dict):
        raise BadBody("The request body must be a JSON object.")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadBody("'messages' must be a non-empty array.", "messages")
    if not isinstance(body.get("model"), str):
        raise BadBody("'model' must be a string.", "model")
    found = Request([], [], [])
    read_settings(found, body, _REQUEST, "system")
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise BadBody(f"'messages[{index}]' must be an object.", f"messages[{index}]")
        _read_message(message, ("messages", index), found)
    return found._replace(fields=tools.named(found.fields, tools.in_chat(messages)))


def _read_message(message: dict[str, Any], path: Path, found: Request) -> None:
    role = _role(message.get("role"))
    fields, media, unknown = found
    for key, value in message.items():
        at = (*path, key)
        if key not in _MESSAGE.known:
            unknown.append(at)
            fields.append(Field((*path, Key(key)), key, role, prose=is_prose(key)))
        if key == "role" and isinstance(value, str) and value in _ROLES:
            continue
        if key == "content" and isinstance(value, list):
            for index, part in enumerate(value):
                _read_content_part(part, (*at, index), role, found)
        elif key in _MESSAGE.media and value is not None:
            media.append(Media(at, key))
            if isinstance(value, dict):
                fields += (Field(p, t, role, prose=is_prose(t)) for p, t in words(value, at, _PAYLOAD | {"id"}))
        elif key in ("tool_calls", "function_call"):
            fields += _tool_call_fields(value, at, role)
        elif isinstance(value, str):
            fields.append(Field(at, value, role, prose=_MESSAGE.how.get(key) is not How.NAME))
        else:
            fields += (Field(p, text, role, prose=is_prose(text)) for p, text in words(value, at))


def _read_content_part(part: Json, path: Path, role: Role, found: Request) -> None:
    fields, media, unknown = found
    kind = part.get("type") if isinstance(part, dict) else None
    known = _PARTS.get(kind) if isinstance(kind, str) else None
    if known is None or not isinstance(part, dict):
        unknown.append(path)
        fields += (Field(p, t, role, prose=p[-1] == "text" or is_prose(t)) for p, t in words(part, path))
        return
    unknown += ((*path, key) for key in part if key not in known.known)
    if kind in _MEDIA:
        media.append(Media(path, str(kind)))
    for key, value in part.items():
        if key == "type":
            continue
        if key not in known.known:
            fields.append(Field((*path, Key(key)), key, role, prose=is_prose(key)))
        if kind not in _MEDIA:
            fields += (Field(p, t, role, prose=p[-1] == kind or is_prose(t)) for p, t in words(value, (*path, key)))
        elif key not in _PAYLOAD or not isinstance(value, str):
            fields += (Field(p, t, role, prose=is_prose(t)) for p, t in words(value, (*path, key), _PAYLOAD))


def _tool_call_fields(value: Json, path: Path, role: Role) -> Iterator[Field]:
    for at, text in words(value, path):
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
            if value is None or (key == "role" and value in _ROLES):
                continue
            place = (*at, holder, key)
            if key in _STREAMED_TEXT and isinstance(value, str):
                parts.append(Part((index, key), place, value))
            elif key == "tool_calls" and isinstance(value, list):
                for position, call in enumerate(value):
                    number = call.get("index", position) if isinstance(call, dict) else position
                    parts += _call_parts(call, (index, "tool_calls", number), (*place, position))
            elif key == "audio":
                parts += _call_parts(value, (index, key), place, frozenset(("data",)))
            else:
                parts += _call_parts(value, (index, key), place)
    parts += _logprob_parts(choice.get("logprobs"), parts, index, (*at, "logprobs"))
    form = _CHOICES[holder]
    odd = delta is not None and not isinstance(delta, dict)
    parts += loose(choice, form, at, index, form.apart - {holder} if odd else ())
    return parts


def _call_parts(value: Json, channel: tuple[Any, ...], place: Path, skip: frozenset[str] = frozenset()) -> Iterator[Part]:
    """Strings of a tool call, or of a field that nobody knows: each place in it is a text of its own."""
    for path, text in words(value, place, skip):
        inner = path[len(place) :]
        if isinstance(path[-1], Key) or (path[-1] in _TOKENS and len(text) <= 128):
            yield Part((*channel, inner), path, text, closed=True, prose=False)
        else:
            yield Part((*channel, inner), path, text, kind="json" if path[-1] == "arguments" else "text")


def _logprob_parts(logprobs: Json, parts: list[Part], index: int, at: Path) -> list[Part]:
    """Ties the token list to the text that it repeats; a list that repeats something else is a text of its own."""
    found: list[Part] = []
    if not isinstance(logprobs, dict):
        return [Part((index, "logprobs", p), p, t, closed=True, prose=False) for p, t in words(logprobs, at)]
    for key, entries in logprobs.items():
        if not isinstance(entries, list) or not entries:
            found += (Part((index, "logprobs", p), p, t, closed=True, prose=False) for p, t in words(entries, (*at, key)))
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
    forms: tuple[Form, ...] = FORMS
    error = staticmethod(error)

    def request(self, body: Json) -> Request:
        return read_request(body)

    def said(self, answer: Json) -> list[Said]:
        return list(_said(answer))

    def block(self, answer: Json, said: Said, annotation: Json) -> None:
        block_choices(answer, list(_said(answer))[:-1], said, annotation)

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


def block_choices(answer: Json, choices: list[Said], said: Said, annotation: Json) -> None:
    """Ends one of the choices, or all of them for what stands AROUND them."""
    for one in [said] if said.number != AROUND else choices:
        if said.number == AROUND:
            blank(answer, one.parts)
        one.holder["finish_reason"] = "content_filter"
        if annotation is not None:
            one.holder["content_filter_results"] = annotation


def _said(answer: Json) -> Iterator[Said]:
    choices = answer.get("choices") or []
    if not isinstance(choices, list):
        raise BadBody("choices that are no array")
    for position, choice in enumerate(choices):
        if not isinstance(choice, dict):
            raise BadBody("a choice that is not an object")
        parts = choice_parts(choice, position, "message", ("choices", position))
        tools.ChatCalls().mark(parts)
        parts.sort(key=lambda part: "reasoning" not in str(part.channel))  # reasoning streams first
        yield Said(position, choice, parts)
    yield Said(AROUND, answer, loose(answer, _ENVELOPE, (), ""))


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
                and choice.keys() <= _BARE_CHOICE
                and body.keys() <= _BARE_CHUNK
                and not body.get("usage")
            ):
                part = Part((index, "content"), ("choices", 0, "delta", "content"), text)
                self._head = body
                return [Item((index, "content"), body, [part], event.raw, index)]
        return self._any_items(body, event.raw)

    def _any_items(self, body: dict[str, Any], raw: bytes) -> list[Item]:
        choices = body.get("choices")
        around = loose(body, _ENVELOPE, (), "", () if isinstance(choices, list) else _ENVELOPE.passed)
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
        for item in items[1:]:
            item.body = {key: value for key, value in item.body.items() if key in _BARE_CHUNK}
        if len(items) > 1 and body.get("usage"):
            for item in items[:-1]:
                item.body["usage"] = None
        return items

    # -- what Weir says itself

    def _chunk(self, choices: list[Json], **more: Json) -> bytes:
        head = {k: v for k, v in self._head.items() if k in _ENVELOPE.passed and k != "obfuscation"}
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
        last = {key: choice.get(key) for key in ("index", "finish_reason")} | {"delta": {}, "logprobs": None}
        items.append(Item(None, {**body, "choices": [last]}, [], None, index, "choice", "choice"))
    return items


def _lane(part: Part) -> tuple[Any, ...]:
    """What must stay in order: a field of the delta, or one tool call."""
    channel = part.channel
    assert isinstance(channel, tuple)
    return channel[:3] if channel[1] == "tool_calls" else channel[:2] if channel[1] != "logprobs" else channel


def _only(body: dict[str, Any], choice: dict[str, Any], parts: list[Part], first: bool) -> dict[str, Any]:
    """The same chunk with only the given parts' fields in its choice; the first has those without a text, too. Paths of the
    parts are moved along."""
    delta: dict[str, Any] = {}
    if first and isinstance(choice.get("delta"), dict):
        delta = {k: v for k, v in choice["delta"].items() if v is None or (k == "role" and v in _ROLES)}
    one: dict[str, Any] = {k: v for k, v in choice.items() if k in _BARE_CHOICE or (first and not any(words(v)))}
    one |= {"delta": delta, "logprobs": None, "finish_reason": None}
    for part in parts:
        if part.path is not None:
            below = [k.name if isinstance(k, Key) else k for k in part.path[2:4]]
            if below[0] == "delta" and len(below) > 1:
                key = str(below[1])
                value = choice["delta"][key]
                if key == "tool_calls" and isinstance(value, list) and isinstance(position := part.path[4], int):
                    delta[key] = [value[position]]
                    part.path = (*part.path[:4], 0, *part.path[5:])
                else:
                    delta[key] = value
            else:
                one[str(below[0])] = choice[str(below[0])]
        if part.logprobs is not None:
            name = part.logprobs[-1]
            one["logprobs"] = {**(one["logprobs"] or {}), name: choice["logprobs"][name]}
    return {**body, "choices": [one]}
