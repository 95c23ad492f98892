"""One answer as each API says it, whole and streamed, so that a test can spoil it wherever it likes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.server.conftest import answer, chunk

APIS = ("chat", "completions", "responses", "messages")
TEXT = "The river rises in the hills and winds through meadows. " * 2


def api_of(body: dict[str, Any]) -> str:
    """Which API a request is for, by what only that one has."""
    if "input" in body:
        return "responses"
    if "prompt" in body:
        return "completions"
    return "messages" if "max_tokens" in body else "chat"


@dataclass(frozen=True)
class Speech:
    """`begun` are the events before the first character, `said` those with the text."""

    api: str
    whole: dict[str, Any]
    begun: list[bytes]
    said: list[bytes]
    ended: list[bytes]

    @property
    def events(self) -> list[bytes]:
        return [*self.begun, *self.said, *self.ended]


def _words(text: str) -> list[str]:
    return [word + " " for word in text.split()]


def _events(bodies: list[dict[str, Any]]) -> list[bytes]:
    return [f"event: {b['type']}\ndata: {json.dumps(b)}\n\n".encode() for b in bodies]


def speech(api: str, text: str = TEXT) -> Speech:
    return {"chat": _chat, "completions": _completions, "responses": _responses, "messages": _messages}[api](text)


def _chat(text: str) -> Speech:
    said = [chunk({"content": word}) for word in _words(text)]
    return Speech(
        "chat", answer(text), [chunk({"role": "assistant", "content": ""})], said, [chunk({}, "stop"), b"data: [DONE]\n\n"]
    )


def _completions(text: str) -> Speech:
    def body(text: str, finish: str | None) -> dict[str, Any]:
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
        return {"id": "c", "object": "text_completion", "created": 1, "model": "m", "choices": [choice]}

    *said, end = [f"data: {json.dumps(body(w, None if w else 'stop'))}\n\n".encode() for w in [*_words(text), ""]]
    return Speech("completions", body(text, "stop"), [], said, [end, b"data: [DONE]\n\n"])


def _messages(text: str) -> Speech:
    head = {"id": "m1", "type": "message", "role": "assistant", "model": "m", "stop_sequence": None}
    usage = {"input_tokens": 1, "output_tokens": 1}
    start = {**head, "content": [], "stop_reason": None, "usage": usage}
    begun = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    ]
    said = [{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}} for word in _words(text)]
    ended = [
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": usage},
        {"type": "message_stop"},
    ]
    whole = {**head, "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "usage": usage}
    return Speech("messages", whole, _events(begun), _events(said), _events(ended))


def _responses(text: str) -> Speech:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    head = {
        "id": "resp_1", "object": "response", "created_at": 1, "model": "m", "parallel_tool_calls": True, "tool_choice": "auto",
        "tools": [], "error": None, "incomplete_details": None, "instructions": None, "metadata": {}, "temperature": 1, "top_p": 1,
    }  # fmt: skip
    place = {"output_index": 0, "item_id": "msg_1", "content_index": 0}
    whole = {**head, "status": "completed", "output": [item]}
    bodies: list[dict[str, Any]] = [
        {"type": "response.created", "response": {**head, "status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "status": "in_progress", "content": []}},
        {"type": "response.content_part.added", **place, "part": {**part, "text": ""}},
        *({"type": "response.output_text.delta", **place, "delta": word, "logprobs": []} for word in _words(text)),
        {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": whole},
    ]
    events = _events([{**body, "sequence_number": number} for number, body in enumerate(bodies)])
    return Speech("responses", whole, events[:3], events[3:-4], events[-4:])
