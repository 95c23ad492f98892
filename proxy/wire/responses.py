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
from proxy.wire.openai import error
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
    rewritten,
    strings,
)

_OPAQUE = frozenset(
    (
        "model service_tier reasoning user safety_identifier prompt_cache_key prompt_cache_retention truncation include "
        "tool_choice"
    ).split()
)
_KNOWN = _OPAQUE | frozenset(
    (
        "input instructions background conversation max_output_tokens max_tool_calls metadata parallel_tool_calls "
        "previous_response_id prompt store stream stream_options temperature text tools top_logprobs top_p"
    ).split()
)
_UNSEEN = frozenset("previous_response_id conversation".split())  # what the provider keeps, nobody here can read
# Identifiers, states and sealed data.
_SEALED = frozenset("type id call_id item_id status role encrypted_content file_id detail object".split())
_MEDIA = frozenset("input_image input_file input_audio image_generation_call computer_screenshot item_reference".split())
_ITEMS = frozenset(
    (
        "message function_call function_call_output reasoning custom_tool_call custom_tool_call_output web_search_call "
        "file_search_call computer_call computer_call_output code_interpreter_call local_shell_call local_shell_call_output "
        "mcp_call mcp_list_tools mcp_approval_request mcp_approval_response input_text output_text refusal summary_text "
        "reasoning_text"
    ).split()
)
# What an answer repeats of its request or says of itself; texts of the model are in `output`.
_ENVELOPE = _KNOWN | frozenset(
    ("id object created_at completed_at status error incomplete_details output output_text usage billing moderation").split()
)
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


class Responses:
    """The API of `responses`: `wire.api.Api`."""

    path = "responses"
    error = staticmethod(error)

    def request(self, body: Json) -> Request:
        if not isinstance(body.get("model"), str):
            raise BadBody("'model' must be a string.", "model")
        fields: list[Field] = []
        media = [Media((key,), key) for key in _UNSEEN if body.get(key)]
        unknown: list[Path] = [(key,) for key in body if key not in _KNOWN]
        for key, value in body.items():
            if key == "input" and isinstance(value, str):
                fields.append(Field((key,), value, "user"))
            elif key == "input" and isinstance(value, list):
                for index, item in enumerate(value):
                    _input_item(item, (key, index), "user", fields, media, unknown)
            elif key not in _OPAQUE and key not in _UNSEEN:
                prose = key == "instructions"
                fields += (Field(p, t, "system", prose=prose or is_prose(t)) for p, t in strings(value, (key,)) if t)
        given = body.get("input")
        names = tools.in_responses(given) if isinstance(given, list) else {}
        return Request(tools.named(fields, names), media, unknown)

    def said(self, answer: Json) -> list[Said]:
        parts: list[Part] = []
        for position, item in enumerate(answer.get("output") or []):
            if not isinstance(item, dict):
                raise BadBody("an output item that is not an object")
            parts += item_parts(item, position, ("output", position))
        return [Said(0, answer, parts)]

    def block(self, answer: Json, said: Said, annotation: Json) -> None:
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


def _open_strings(value: Json, path: Path) -> Iterator[tuple[Path, str]]:
    return ((p, t) for p, t in strings(value, path) if t and not _SEALED.intersection(map(str, p)))


def _input_item(item: Json, at: Path, role: Role, fields: list[Field], media: list[Media], unknown: list[Path]) -> None:
    if not isinstance(item, dict):
        fields += (Field(p, t, role) for p, t in strings(item, at))
        return
    kind = item.get("type", "message")
    if kind in _MEDIA:
        media.append(Media(at, str(kind)))
        return
    if kind not in _ITEMS:
        unknown.append(at)
    said = item.get("role")
    own: Role = said if said in ("assistant", "system", "developer") else role
    if str(kind).endswith("_output"):
        own = "tool"
    elif kind in ("function_call", "custom_tool_call", "mcp_call", "reasoning"):
        own = "assistant"
    for key, value in item.items():
        place = (*at, key)
        if key in ("content", "output") and isinstance(value, list):
            for index, part in enumerate(value):
                _input_item(
                    part if not isinstance(part, dict) else {"type": "input_text", **part},
                    (*place, index),
                    own,
                    fields,
                    media,
                    unknown,
                )
        elif key == "arguments" and isinstance(value, str):
            fields.append(Field(place, value, own, "json"))
        else:
            for path, text in _open_strings(value, place):
                fields.append(
                    Field(path, text, own, prose=path[-1] in ("text", "content", "output", "refusal") or is_prose(text))
                )


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
    for path, text in _open_strings(item, at):
        if "logprobs" in path:
            continue
        part = places.get(path)
        if part is not None:
            part.text = text
            found.append(part)
        else:
            found.append(Part((0, position, path), path, text, closed=True, prose=is_prose(text)))
    _tie_logprobs(item, at, found)
    return tools.marked(found, tools.of_item(item))


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
            parts = [Part((0, p), p, t, closed=True, prose=False) for p, t in _open_strings(body, ())]
            return Item(None, body, parts, barrier="all", ends="error")
        response = body.get("response")
        if isinstance(response, dict):
            parts = self._response_parts(response)
            if last in ("completed", "incomplete", "failed", "cancelled"):
                return Item(None, body, parts, choice=0, barrier="choice", ends="choice")
            return Item(_LANE, body, parts, choice=0)
        if isinstance(body.get("item"), dict) and type(position) is int:
            self._tools[position] = tools.of_item(body["item"])
        if stem in _DELTAS and type(position) is int:
            return self._text_item(body, stem, last, position)
        if kind == "response.output_item.done" and isinstance(item := body.get("item"), dict) and type(position) is int:
            return Item(_LANE, body, self._known(item_parts(item, position, ("item",))), choice=0, completes=(0, position))
        if kind == "response.output_item.added" and isinstance(item := body.get("item"), dict) and type(position) is int:
            return Item(_LANE, body, self._known(item_parts(item, position, ("item",))), choice=0)
        if isinstance(part := body.get("part"), dict) and type(position) is int:
            return Item(_LANE, body, self._known(self._part_parts(body, part, stem, position)), choice=0)
        parts = [Part((0, position, p), p, t, closed=True, prose=is_prose(t)) for p, t in _open_strings(body, ())]
        return Item(_LANE, body, parts, choice=0)

    def _text_item(self, body: dict[str, Any], stem: str, last: str, position: int) -> Item:
        kind, index, name = _DELTAS[stem]
        number = body.get(index, 0) if index else 0
        key = (0, position, kind, number)
        name = "delta" if last == "delta" else name
        parts: list[Part] = []
        for path, text in _open_strings(body, ()):
            if path == (name,):
                parts.append(Part(key, path, text, kind="json" if kind == "arguments" else "text"))
            elif "logprobs" not in path:
                parts.append(Part((0, position, path), path, text, closed=True, prose=is_prose(text)))
        _tie_logprobs(body, (), parts)
        tools.marked(parts, self._tools.get(position, "" if kind in ("arguments", "input", "code") else None))
        if last == "delta":
            self._heard[key] = self._heard.get(key, "") + str(body.get("delta") or "")
            return Item(_LANE, body, parts, choice=0)
        return Item(_LANE, body, self._known(parts), choice=0, completes=key)

    @staticmethod
    def _part_parts(body: dict[str, Any], part: dict[str, Any], stem: str, position: int) -> list[Part]:
        """Of `content_part.*` and `reasoning_summary_part.*`: an item with one part in it."""
        holder, index = ("summary", "summary_index") if stem.startswith("reasoning_summary") else ("content", "content_index")
        number = body.get(index, 0)
        found = item_parts({holder: [part]}, position, ())
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
        for position, item in enumerate(response.get("output") or []):
            if isinstance(item, dict):
                parts += item_parts(item, position, ("response", "output", position))
        for key, value in response.items():
            if key not in _ENVELOPE:
                parts += (
                    Part((0, "", p), p, t, closed=True, prose=is_prose(t)) for p, t in _open_strings(value, ("response", key))
                )
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
