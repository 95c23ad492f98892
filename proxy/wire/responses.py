"""Responses: https://platform.openai.com/docs/api-reference/responses and …/responses-streaming

A stream says everything up to four times: in deltas, when a text is done, when its item is done, and in the whole response
at the end. The deltas are inspected; what repeats them is written as they were.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec

from proxy.types import Role
from proxy.wire import sse, tools
from proxy.wire.form import Form, form, free
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
    decode,
    encode,
    is_prose,
    loose,
    read_settings,
    rewritten,
    words,
)

_REQUEST = form(
    "prompt",
    inside="input tools",
    text="instructions metadata text",
    plain=(
        "background max_output_tokens max_tool_calls parallel_tool_calls store stream stream_options temperature top_logprobs "
        "top_p"
    ),
    media="previous_response_id conversation",  # what the provider keeps, nobody here can read
    passed=(
        "model service_tier reasoning user safety_identifier prompt_cache_key prompt_cache_retention truncation include "
        "tool_choice"
    ),
)
_TOOL = free(form("prompt", "tools[]", text="description parameters server_description format type name server_label",
             passed="authorization headers"))  # fmt: skip
_PROMPT = form("prompt", "prompt", text="variables", media="id", passed="version")
# What the provider has sealed or numbered, wherever it stands in an item.
_SEALED = frozenset("id call_id item_id file_id container_id encrypted_content".split())
_PARTS = "input_text output_text refusal summary_text reasoning_text input_image input_file input_audio computer_screenshot"


def _items(bodies: str, place: str, event: str = "") -> dict[str, Form]:
    """Items and content parts by their type."""

    def item(kind: str, **fields: str) -> tuple[str, Form]:
        passed = "" if kind in _PARTS.split() else "id call_id status encrypted_content"
        return kind, form(bodies, place.replace("*", kind), event=event, passed=passed, **fields)

    return dict(
        [
            item("message", inside="content", text="role"),
            item("function_call", json="arguments", text="name"),
            item("function_call_output", inside="output"),
            item("reasoning", inside="summary content"),
            item("custom_tool_call", text="input name"),
            item("custom_tool_call_output", inside="output"),
            item("web_search_call", text="action"),
            item("file_search_call", text="queries results"),
            item("computer_call", text="action pending_safety_checks"),
            item("computer_call_output", inside="output", text="acknowledged_safety_checks"),
            item("code_interpreter_call", text="code outputs"),
            item("local_shell_call", text="action"),
            item("local_shell_call_output", inside="output"),
            item("mcp_call", json="arguments", text="name server_label output error"),
            item("mcp_list_tools", text="tools error server_label"),
            item("mcp_approval_request", json="arguments", text="name server_label"),
            item("mcp_approval_response", text="reason approval_request_id", plain="approve"),
            item("item_reference", media="id"),
            item("image_generation_call", media="result"),
            item("input_text", text="text"),
            item("output_text", text="text annotations", repeat="logprobs"),
            item("refusal", text="refusal"),
            item("summary_text", text="text"),
            item("reasoning_text", text="text"),
            item("input_image", media="image_url file_id", text="detail"),
            item("input_file", media="file_data file_id file_url", text="filename"),
            item("input_audio", media="input_audio"),
            item("computer_screenshot", media="image_url file_id"),
        ]
    )


def _only(forms: dict[str, Form], names: str) -> list[Form]:
    return [forms[name] for name in names.split()]


_ITEMS = _items("prompt", "input[*]")
_MEDIA = frozenset(kind for kind, one in _ITEMS.items() if one.media)
_OUTPUT = (
    "message function_call reasoning custom_tool_call web_search_call file_search_call computer_call code_interpreter_call "
    "local_shell_call mcp_call mcp_list_tools mcp_approval_request"
)
# What an answer repeats of its request, or says of itself; texts of the model are in `output`.
_SAYS = (
    "id object created_at completed_at status billing background conversation max_output_tokens max_tool_calls metadata "
    "parallel_tool_calls previous_response_id prompt store stream stream_options temperature text tools top_logprobs top_p "
    "instructions model service_tier reasoning user safety_identifier prompt_cache_key prompt_cache_retention truncation "
    "include tool_choice moderation"
)
_ENVELOPE = form("answer", inside="output", text="error incomplete_details output_text", plain="usage", passed=_SAYS)
_WHOLE = form(
    "stream", "response", event="response.completed", inside="output", text="error incomplete_details output_text",
    plain="usage", passed=_SAYS,
)  # fmt: skip
_OF_EVENTS = "sequence_number item_id response_id obfuscation"
_EVENT = form("stream", event="response.*", passed=_OF_EVENTS, binary="partial_image_b64",
              inside="response item part", steer="output_index content_index summary_index")  # fmt: skip
_UNSEEN = _REQUEST.media
# Event -> (kind of text, which index numbers it, the field it is in).
_DELTAS = {
    "output_text": ("text", "content_index", "text"),
    "refusal": ("refusal", "content_index", "refusal"),
    "reasoning_text": ("reasoning", "content_index", "text"),
    "reasoning_summary_text": ("summary", "summary_index", "text"),
    "function_call_arguments": ("arguments", "", "arguments"),
    "mcp_call_arguments": ("arguments", "", "arguments"),
    "custom_tool_call_input": ("input", "", "input"),
    "code_interpreter_call_code": ("code", "", "code"),
}
_LANE = (0, "output")


def _event_forms() -> Iterator[Form]:
    for stem, (kind, _, name) in _DELTAS.items():
        how = "json" if kind == "arguments" else "text"
        repeat = "logprobs" if kind == "text" else ""
        yield form("stream", event=f"response.{stem}.delta", passed=_OF_EVENTS, repeat=repeat, **{how: "delta"})
        yield form("stream", event=f"response.{stem}.done", passed=_OF_EVENTS, repeat=repeat, **{how: name})


FORMS = (
    _REQUEST,
    form("prompt", text="input"),
    _PROMPT,
    _TOOL,
    form("prompt", "text.format", text="description schema name type", plain="strict"),
    form("prompt", "input[message]", text="content"),
    form("prompt", "input[function_call_output]", text="output"),
    *_only(_ITEMS, " ".join(kind for kind in _ITEMS if kind not in _PARTS.split())),
    *_only(_items("prompt", "input[message].content[*]"), "input_text output_text refusal input_image input_file input_audio"),
    *_only(_items("prompt", "input[function_call_output].output[*]"), "input_text input_image input_file"),
    *_only(_items("prompt", "input[computer_call_output].output{*}"), "computer_screenshot"),
    *_only(_items("prompt", "input[reasoning].summary[*]"), "summary_text"),
    *_only(_items("prompt", "input[reasoning].content[*]"), "reasoning_text"),
    _ENVELOPE,
    *_only(_items("answer", "output[*]"), _OUTPUT),
    *_only(_items("answer", "output[message].content[*]"), "output_text refusal"),
    *_only(_items("answer", "output[reasoning].summary[*]"), "summary_text"),
    *_only(_items("answer", "output[reasoning].content[*]"), "reasoning_text"),
    _EVENT,
    *_event_forms(),
    *_only(_items("stream", "item{*}", "response.output_item.added"), _OUTPUT),
    *_only(_items("stream", "item{*}", "response.output_item.done"), _OUTPUT),
    *_only(_items("stream", "part{*}", "response.content_part.done"), "output_text refusal"),
    _WHOLE,
    *_only(_items("stream", "response.output[*]", "response.completed"), _OUTPUT),
)
_ROLES = frozenset("user assistant system developer".split())
_WORDS = _ITEMS.keys() | _ROLES | frozenset("completed incomplete in_progress failed".split())  # that say nothing of anybody's


class Responses:
    """The API of `responses`: `wire.api.Api`."""

    path = "responses"
    forms: tuple[Form, ...] = FORMS
    error = staticmethod(error)

    def request(self, body: Json) -> Request:
        if not isinstance(body.get("model"), str):
            raise BadBody("'model' must be a string.", "model")
        found = Request([], [Media((key,), key) for key in sorted(_UNSEEN) if body.get(key)], [])
        read_settings(found, {key: value for key, value in body.items() if key != "prompt"}, _REQUEST, "system")
        given = body.get("input")
        if isinstance(given, list):
            for index, item in enumerate(given):
                _input_item(item, ("input", index), "user", found)
        elif given is not None:
            found.fields.extend(Field(p, t, "user") for p, t in words(given, ("input",)))
        self._defined(body.get("tools"), found)
        if isinstance(template := body.get("prompt"), dict):
            found.media.append(Media(("prompt",), "prompt"))
            read_settings(found, template, _PROMPT, "user", ("prompt",))
        elif template is not None:
            found.fields.extend(Field(p, t, "user", prose=is_prose(t)) for p, t in words(template, ("prompt",)))
        names = tools.in_responses(given) if isinstance(given, list) else {}
        return found._replace(fields=tools.named(found.fields, names))

    @staticmethod
    def _defined(given: Json, found: Request) -> None:
        for index, tool in enumerate(given) if isinstance(given, list) else [("", given)] if given else ():
            if isinstance(tool, dict) and isinstance(index, int):
                open_ = {key: value for key, value in tool.items() if key not in _TOOL.apart}
                found.fields.extend(Field(p, t, "system", prose=is_prose(t)) for p, t in words(open_, ("tools", index)))
            else:
                place: Path = ("tools", index) if isinstance(index, int) else ("tools",)
                found.fields.extend(Field(p, t, "system", prose=is_prose(t)) for p, t in words(tool, place))

    def said(self, answer: Json) -> list[Said]:
        parts: list[Part] = []
        output = answer.get("output") or []
        if not isinstance(output, list):
            raise BadBody("an output that is no array")
        for position, item in enumerate(output):
            if not isinstance(item, dict):
                raise BadBody("an output item that is not an object")
            parts += item_parts(item, position, ("output", position))
        return [Said(0, answer, parts), Said(AROUND, answer, loose(answer, _ENVELOPE, (), ""))]

    def block(self, answer: Json, said: Said, annotation: Json) -> None:
        if said.number == AROUND:
            answer["output"] = []
        answer["status"], answer["incomplete_details"] = "incomplete", {"reason": "content_filter"}
        answer["output"] = [item for item in answer["output"] if _trimmed(item)]
        if annotation is not None:
            answer["content_filter_results"] = annotation

    def reader(self, body: Json) -> EventReader:
        return EventReader()

    def refusal(self, body: Json, text: str) -> tuple[str, bytes] | None:
        stamp = f"{time.time_ns():x}"
        part = {"type": "refusal", "refusal": text}
        item = {"id": f"msg_weir{stamp}", "type": "message", "role": "assistant", "status": "incomplete", "content": [part]}
        head = {"id": f"resp_weir{stamp}", "object": "response", "created_at": int(time.time()), "model": body["model"]}
        head |= {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "error": None}
        if not body.get("stream"):
            details = {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}
            return "application/json", encode({**head, **details, "output": [item]})
        reader = EventReader()
        place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
        events: list[dict[str, Any]] = [
            {"type": "response.created", "response": {**head, "status": "in_progress", "output": []}},
            {"type": "response.output_item.added", "output_index": 0, "item": {**item, "status": "in_progress", "content": []}},
            {"type": "response.content_part.added", **place, "part": {**part, "refusal": ""}},
            {"type": "response.refusal.delta", **place, "delta": text},
        ]
        out = b""
        for number, event in enumerate(events):
            event["sequence_number"] = number
            reader.sent(event)
            out += sse.encode(encode(event), event["type"])
        return sse.CONTENT_TYPE, out + reader.blocked(0)


def _input_item(item: Json, at: Path, role: Role, found: Request) -> None:
    fields, media, unknown = found
    if not isinstance(item, dict):
        fields += (Field(p, t, role) for p, t in words(item, at))
        return
    kind = item.get("type", "message")
    known = _ITEMS.get(kind) if isinstance(kind, str) else None
    if known is None:
        unknown.append(at)
    elif kind in _MEDIA:
        media.append(Media(at, str(kind)))
    said = item.get("role")
    own: Role = said if said in ("assistant", "system", "developer") else role
    if str(kind).endswith("_output"):
        own = "tool"
    elif kind in ("function_call", "custom_tool_call", "mcp_call", "reasoning"):
        own = "assistant"
    for key, value in item.items():
        place = (*at, key)
        if known is not None and key not in known.known:
            unknown.append(place)
            fields.append(Field((*at, Key(key)), key, own, prose=is_prose(key)))
        if known is not None and (key in known.passed or key in known.media or (key == "role" and value in _ROLES)):
            continue
        if key in ("content", "output", "summary") and isinstance(value, list):
            for index, part in enumerate(value):
                given = {"type": "input_text", **part} if isinstance(part, dict) else part
                _input_item(given, (*place, index), own, found)
        elif key == "output" and isinstance(value, dict):
            _input_item({"type": "input_text", **value}, place, own, found)
        elif key == "arguments" and isinstance(value, str):
            fields.append(Field(place, value, own, "json"))
        else:
            for path, text in _open(value, place, known if known is not None and key in known.known else None):
                prose = path[-1] in ("text", "content", "output", "refusal") or is_prose(text)
                fields.append(Field(path, text, own, prose=prose))


def _open(value: Json, at: Path, known: Form | None) -> Iterator[tuple[Path, str]]:
    """Texts of a field. In an object that the API documents, identifiers are none, but for those in a schema."""
    if known is None or (at and at[-1] == "tools"):
        return words(value, at)
    return words(value, at, _SEALED)


# -- answers


def item_texts(item: dict[str, Any], at: Path) -> Iterator[tuple[str, int, Path]]:
    """(kind, number, place) of what the model itself wrote in an item."""
    for key, kinds in (
        ("content", {"output_text": "text", "refusal": "refusal", "reasoning_text": "reasoning"}),
        ("summary", {"summary_text": "summary"}),
    ):
        for number, part in enumerate(item.get(key) or () if isinstance(item.get(key), list) else ()):
            kind = kinds.get(str(part.get("type"))) if isinstance(part, dict) else None
            if kind and isinstance(part.get("refusal" if kind == "refusal" else "text"), str):
                yield kind, number, (*at, key, number, "refusal" if kind == "refusal" else "text")
    for key in ("arguments", "input", "code"):
        if isinstance(item.get(key), str):
            yield key, 0, (*at, key)


def item_parts(item: dict[str, Any], position: int, at: Path) -> list[Part]:
    """Everything in an item: the model's own texts, and any other string in it."""
    found: list[Part] = []
    places = {}
    for kind, number, path in item_texts(item, at):
        places[path] = Part((0, position, kind, number), path, "", kind="json" if kind == "arguments" else "text")
    for path, text in _item_strings(item, at):
        part = places.get(path)
        if part is not None:
            part.text = text
            found.append(part)
        else:
            found.append(Part((0, position, path), path, text, closed=True, prose=is_prose(text)))
    _tie_logprobs(item, at, found)
    return tools.marked(found, tools.of_item(item))


def _item_strings(item: dict[str, Any], at: Path) -> Iterator[tuple[Path, str]]:
    """What is said in an item or a part, without its token list and what is no text of anybody's."""
    kind = item.get("type")
    known = _ITEMS.get(kind) if isinstance(kind, str) else None
    for key, value in item.items():
        if key == "logprobs" and not isinstance(value, str):
            continue
        if known is not None and (key in known.passed or key in known.media):
            continue
        if key in ("type", "role", "status") and value in _WORDS:
            continue
        if key in ("content", "summary") and isinstance(value, list):
            for number, part in enumerate(value):
                inner = (*at, key, number)
                yield from _item_strings(part, inner) if isinstance(part, dict) else words(part, inner)
        else:
            yield from _open(value, (*at, key), known if known is not None and key in known.known else None)


def _tie_logprobs(value: Json, at: Path, parts: list[Part]) -> None:
    """A content part's token list belongs to its text; one that says something else is a text of its own."""
    if isinstance(value, dict):
        entries = value.get("logprobs")
        if isinstance(entries, list) and entries:
            text = "".join(str(e.get("token", "")) if isinstance(e, dict) else str(e) for e in entries)
            twin = next((p for p in parts if p.path in ((*at, "text"), (*at, "delta")) and p.text == text), None)
            if twin is not None:
                twin.logprobs = (*at, "logprobs")
            else:
                parts.append(Part((0, "logprobs", at), None, text, closed=True, prose=False, logprobs=(*at, "logprobs")))
        for key, inner in value.items():
            if key != "logprobs":
                _tie_logprobs(inner, (*at, key), parts)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _tie_logprobs(inner, (*at, index), parts)


def _trimmed(item: dict[str, Any]) -> bool:
    """Takes out the parts of an item that the filter has emptied; False if nothing is left."""
    for key in ("content", "summary"):
        if isinstance(item.get(key), list):
            item[key] = [p for p in item[key] if not isinstance(p, dict) or p.get("text", p.get("refusal", "?"))]
    kind = item.get("type")
    return bool(item.get("content")) if kind == "message" else item.get("arguments", item.get("input", "?")) != ""


def _beside(body: dict[str, Any], *apart: str) -> list[Part]:
    """Texts of an event that are none of what it is about."""
    return loose(body, _EVENT, (), 0, _EVENT.passed.union(apart))


class EventReader:
    """Reads events into items, all in one lane, and knows what has left, to close it properly."""

    choices = 1
    include_usage = False
    watches = True

    def __init__(self) -> None:
        self._heard: dict[tuple[Any, ...], str] = {}  # what upstream has said in each channel
        self._response: dict[str, Any] = {"object": "response"}
        self._items: dict[int, dict[str, Any]] = {}  # as the client knows them
        self._done: set[int] = set()
        self._tools: dict[int, str | None] = {}  # of upstream's items
        self._number = -1

    @property
    def response_id(self) -> str:
        """As the provider has named the answer; empty until it has."""
        name = self._response.get("id")
        return name if isinstance(name, str) else ""

    # -- in

    def items(self, event: sse.Event) -> list[Item]:
        """Raises BadBody when the event is none of the API's."""
        if event.data is None:
            return [Item(None, None, [], event.raw)]
        if event.data == sse.DONE:
            return [Item(None, None, [], event.raw, barrier="all", ends="stream")]
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
        kind, position = str(body.get("type") or ""), body.get("output_index")
        stem, _, last = kind.removeprefix("response.").rpartition(".")
        if kind == "error" or body.get("error"):
            return Item(None, body, _beside(body), barrier="all", ends="error")
        response, item, part = body.get("response"), body.get("item"), body.get("part")
        if isinstance(response, dict):
            parts = [*self._response_parts(response), *_beside(body, "response")]
            if last in ("completed", "incomplete", "failed", "cancelled"):
                return Item(None, body, parts, choice=0, barrier="choice", ends="choice")
            return Item(_LANE, body, parts, choice=0)
        if isinstance(item, dict) and type(position) is int:
            self._tools[position] = tools.of_item(item)
        if stem in _DELTAS and type(position) is int and type(body.get(_DELTAS[stem][1], 0)) is int:
            return self._text_item(body, stem, last, position)
        if isinstance(item, dict) and type(position) is int:
            parts = [*self._known(item_parts(item, position, ("item",))), *_beside(body, "item")]
            completes = (0, position) if kind == "response.output_item.done" else None
            return Item(_LANE, body, parts, choice=0, completes=completes)
        if (
            isinstance(part, dict)
            and type(position) is int
            and all(type(body.get(index, 0)) is int for index in ("content_index", "summary_index"))
        ):
            parts = [*self._known(self._part_parts(body, part, stem, position)), *_beside(body, "part")]
            return Item(_LANE, body, parts, choice=0)
        return Item(_LANE, body, _beside(body), choice=0)

    def _text_item(self, body: dict[str, Any], stem: str, last: str, position: int) -> Item:
        kind, index, name = _DELTAS[stem]
        number = body.get(index, 0) if index else 0
        key = (0, position, kind, number)
        name = "delta" if last == "delta" else name
        text = given if isinstance(given := body.get(name), str) else ""
        parts = _beside(body, *(["logprobs", name] if text == given else ["logprobs"]))
        if text:
            parts.append(Part(key, (name,), text, kind="json" if kind == "arguments" else "text"))
        _tie_logprobs(body, (), parts)
        tools.marked(parts, self._tools.get(position, "" if kind in ("arguments", "input", "code") else None))
        if last == "delta":
            self._heard[key] = self._heard.get(key, "") + text
            return Item(_LANE, body, parts, choice=0)
        return Item(_LANE, body, self._known(parts), choice=0, completes=key)

    @staticmethod
    def _part_parts(body: dict[str, Any], part: dict[str, Any], stem: str, position: int) -> list[Part]:
        """Of `content_part.*` and `reasoning_summary_part.*`: an item with one part in it."""
        holder, index = ("summary", "summary_index") if stem.startswith("reasoning_summary") else ("content", "content_index")
        number = body.get(index, 0)
        found = item_parts({"type": "message", holder: [part]}, position, ())
        for one in found:
            if one.path is not None:
                one.path = ("part", *one.path[2:])
            if one.logprobs is not None:
                one.logprobs = ("part", *one.logprobs[2:])
            if isinstance(one.channel, tuple) and len(one.channel) == 4:
                one.channel = (*one.channel[:3], number)
        return found

    def _response_parts(self, response: dict[str, Any]) -> list[Part]:
        if not self._response.get("id"):
            self._response = {k: v for k, v in response.items() if k != "output"}
        parts: list[Part] = []
        output = response.get("output") or []
        for position, item in enumerate(output if isinstance(output, list) else ()):
            if isinstance(item, dict):
                parts += item_parts(item, position, ("response", "output", position))
            else:
                parts += loose({position: item}, _EVENT, ("response", "output"), 0)
        odd = _WHOLE.apart if isinstance(output, list) else _WHOLE.passed
        parts += loose(response, _WHOLE, ("response",), 0, odd)
        return self._known(parts)

    def _known(self, parts: list[Part]) -> list[Part]:
        """Marks what has been heard already. What a channel is said to have said, and has not, is a text of its own."""
        for part in parts:
            key = part.channel
            if part.closed or not isinstance(key, tuple):
                continue
            heard = self._heard.get(key)
            if heard is None:
                self._heard[key] = part.text
            elif heard == part.text:
                part.repeats = True
            else:
                part.closed, part.channel = True, (*key, "again")
        return parts

    # -- out

    def sent(self, body: Json) -> None:
        if not isinstance(body, dict):
            return
        number, position = body.get("sequence_number"), body.get("output_index")
        self._number = number if isinstance(number, int) else self._number
        kind = str(body.get("type") or "").removeprefix("response.")
        if kind == "created" and isinstance(body.get("response"), dict):
            self._response = {k: v for k, v in body["response"].items() if k != "output"}
        if type(position) is not int:
            return
        stem, _, last = kind.rpartition(".")
        if stem == "output_item" and isinstance(body.get("item"), dict):
            self._items[position] = rewritten(body["item"])
            if last == "done":
                self._done.add(position)
        item = self._items.get(position)
        if item is None:
            return
        holder = "summary" if "summary" in stem else "content"
        if isinstance(body.get("part"), dict) and last == "added":
            item.setdefault(holder, []).append(rewritten(body["part"]))
        elif stem in _DELTAS and last == "delta":
            _, index, name = _DELTAS[stem]
            parts = item.get(holder) or []
            place = parts[body[index]] if index and body.get(index, 99) < len(parts) else None if index else item
            if place is not None:
                place[name] = str(place.get(name) or "") + str(body.get("delta") or "")

    def _event(self, kind: str, **more: Json) -> bytes:
        self._number += 1
        return sse.encode(encode({"type": kind, "sequence_number": self._number, **more}), kind)

    def blocked(self, index: int, annotation: Json = None) -> bytes:
        """Closes what the client has open, then ends the response."""
        out = b""
        for position, item in self._items.items():
            if position in self._done:
                continue
            item["status"] = "incomplete"
            for number, part in enumerate(item.get("content") or []):
                place = {"item_id": item.get("id"), "output_index": position, "content_index": number}
                if part.get("type") in ("output_text", "refusal"):
                    name = "text" if part["type"] == "output_text" else "refusal"
                    more: dict[str, Any] = {"logprobs": []} if name == "text" else {}
                    out += self._event(f"response.{part['type']}.done", **place, **{name: part.get(name, "")}, **more)
                out += self._event("response.content_part.done", **place, part=part)
            out += self._event("response.output_item.done", output_index=position, item=item)
        ended = {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}
        response = {**self._response, **ended, "output": [self._items[p] for p in sorted(self._items)]}
        if annotation is not None:
            response["content_filter_results"] = annotation
        return out + self._event("response.incomplete", response=response)

    def usage(self, prompt: int, completion: int) -> bytes:
        return b""

    def done(self) -> bytes:
        return b""

    def error(self, message: str, code: str) -> bytes:
        return self._event("error", code=code, message=message, param=None)
