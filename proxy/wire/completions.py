"""Completions, the older API of text in and text out: https://platform.openai.com/docs/api-reference/completions"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec

from proxy.wire import sse
from proxy.wire.chat import block_choices, choices_of, wants_usage
from proxy.wire.form import Form, form
from proxy.wire.openai import error
from proxy.wire.parts import (
    AROUND,
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
    loose,
    read_settings,
)

_REQUEST = form(
    "prompt",
    inside="prompt",
    text="suffix stop",
    plain=(
        "best_of echo frequency_penalty logit_bias logprobs max_tokens n presence_penalty seed stream stream_options "
        "temperature top_p"
    ),
    passed="model user",
)
_ENVELOPE = form(
    "answer stream", inside="choices", plain="usage", passed="id object created model system_fingerprint service_tier"
)
_CHOICE = form("answer stream", "choices[]", text="text", steer="index", passed="finish_reason", repeat="logprobs")
_OWN = _CHOICE.apart | {"text"}
_BARE_CHUNK = _ENVELOPE.known


class Completions:
    """The API of `completions`: `wire.api.Api`."""

    path = "completions"
    forms: tuple[Form, ...] = (_REQUEST, form("prompt", text="prompt"), _ENVELOPE, _CHOICE)
    error = staticmethod(error)

    def request(self, body: Json) -> Request:
        if not isinstance(body.get("model"), str):
            raise BadBody("'model' must be a string.", "model")
        if body.get("prompt") is None:
            raise BadBody("'prompt' must be a string or an array.", "prompt")
        found = Request(*texts(body["prompt"], ("prompt",)), [])
        read_settings(found, body, _REQUEST, "user")
        return found

    def said(self, answer: Json) -> list[Said]:
        found = []
        choices = answer.get("choices") or []
        if not isinstance(choices, list):
            raise BadBody("choices that are no array")
        for position, choice in enumerate(choices):
            if not isinstance(choice, dict):
                raise BadBody("a choice that is not an object")
            found.append(Said(position, choice, list(_parts(choice, position, ("choices", position)))))
        return [*found, Said(AROUND, answer, loose(answer, _ENVELOPE, (), ""))]

    def block(self, answer: Json, said: Said, annotation: Json) -> None:
        block_choices(answer, self.said(answer)[:-1], said, annotation)

    def reader(self, body: Json) -> Reader:
        prompts = body.get("prompt")
        several = len(prompts) if isinstance(prompts, list) and prompts and not isinstance(prompts[0], int) else 1
        return Reader(choices_of(body) * several, wants_usage(body))

    def refusal(self, body: Json, text: str) -> tuple[str, bytes] | None:
        choices = [
            {"index": i, "text": text, "logprobs": None, "finish_reason": "content_filter"} for i in range(choices_of(body))
        ]
        head = {
            "id": f"cmpl-weir{time.time_ns():x}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": body["model"],
        }
        if not body.get("stream"):
            usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
            return "application/json", encode({**head, "choices": choices, "usage": usage})
        return sse.CONTENT_TYPE, sse.encode(encode({**head, "choices": choices})) + sse.encode(sse.DONE)


def texts(value: Json, path: Path) -> tuple[list[Field], list[Media]]:
    """A text, texts, or the numbers of tokens, which nobody here can read: those count as media."""
    if isinstance(value, str):
        return [Field(path, value, "user")], []
    if not isinstance(value, list):
        raise BadBody(f"'{path[0]}' must be a string or an array.", str(path[0]))
    if value and all(isinstance(one, int) for one in value):
        return [], [Media(path, "tokens")]
    fields: list[Field] = []
    media: list[Media] = []
    for index, one in enumerate(value):
        more = texts(one, (*path, index)) if isinstance(one, str | list) else ([], [Media((*path, index), "tokens")])
        fields += more[0]
        media += more[1]
    return fields, media


def _parts(choice: dict[str, Any], index: int, at: Path) -> Iterator[Part]:
    text, logprobs = choice.get("text"), choice.get("logprobs")
    place: Path | None = (*at, "logprobs") if isinstance(logprobs, dict) else None
    said = "".join(map(str, logprobs.get("tokens") or ())) if isinstance(logprobs, dict) else ""
    if isinstance(text, str):
        yield Part((index, "text"), (*at, "text"), text, logprobs=place if said == text else None)
    if place is not None and said != text:
        yield Part((index, "logprobs"), None, said, prose=False, logprobs=place)
    odd = {name for name, known in (("text", isinstance(text, str)), ("logprobs", place)) if not known}
    yield from loose(choice, _CHOICE, at, index, _OWN - odd)


class Reader:
    watches = False

    def __init__(self, choices: int, include_usage: bool) -> None:
        self.choices, self.include_usage = choices, include_usage
        self._head: dict[str, Any] = {"id": "cmpl-weir", "object": "text_completion", "created": 0, "model": ""}

    def items(self, event: sse.Event) -> list[Item]:
        """Raises BadBody when the event is not a chunk."""
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
        choices = body.get("choices")
        around = loose(body, _ENVELOPE, (), "", () if isinstance(choices, list) else _ENVELOPE.passed)
        if body.get("error"):
            return [Item(None, body, around, event.raw, barrier="all", ends="error")]
        if not isinstance(choices, list) or not choices:
            return [Item(None, body, around, event.raw, barrier="all" if body.get("usage") else "")]
        self._head = body
        items: list[Item] = []
        for position, choice in enumerate(choices):
            index = choice.get("index", position) if isinstance(choice, dict) else None
            if type(index) is not int or not 0 <= index < self.choices:
                raise BadBody("a choice that was not asked for")
            items += self._choice({**body, "choices": [choice]}, choice, index)
        items[0].parts += around
        if len(items) == 1:
            items[0].raw = event.raw
        for item in items[1:]:
            item.body = {key: value for key, value in item.body.items() if key in _BARE_CHUNK}
        return items

    @staticmethod
    def _choice(body: dict[str, Any], choice: dict[str, Any], index: int) -> list[Item]:
        parts = list(_parts(choice, index, ("choices", 0)))
        if choice.get("finish_reason") is None:
            return [Item((index, "text"), body, parts, None, index)]
        if not any(part.text for part in parts):
            return [Item(None, body, [], None, index, "choice", "choice")]
        text = {**body, "choices": [{**choice, "finish_reason": None}], "usage": None}
        end = {key: choice.get(key) for key in ("index", "finish_reason")} | {"text": "", "logprobs": None}
        last = {**body, "choices": [end]}
        return [Item((index, "text"), text, parts, None, index), Item(None, last, [], None, index, "choice", "choice")]

    def _chunk(self, choices: list[Json], **more: Json) -> bytes:
        head = {k: v for k, v in self._head.items() if k in _ENVELOPE.passed}
        return sse.encode(encode({**head, "choices": choices, **more}))

    def sent(self, body: Json) -> None:
        """Not asked for."""

    def blocked(self, index: int, annotation: Json = None) -> bytes:
        choice = {"index": index, "text": "", "logprobs": None, "finish_reason": "content_filter"}
        if annotation is not None:
            choice["content_filter_results"] = annotation
        return self._chunk([choice])

    def usage(self, prompt: int, completion: int) -> bytes:
        counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        return self._chunk([], usage=counts)

    def done(self) -> bytes:
        return sse.encode(sse.DONE)

    def error(self, message: str, code: str) -> bytes:
        return sse.encode(error(502, message, "server_error", None, code))
