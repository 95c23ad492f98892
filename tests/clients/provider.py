"""A provider that says the same in OpenAI's two dialects and in Anthropic's: what is said depends on the last thing asked."""

from __future__ import annotations

import json
from typing import Any

from tests.server.conftest import Upstream, answer, chunk, streamed, whole
from tests.server.test_doors import END, block, events, message, text_block
from tests.server.test_responses import HEAD, call, said
from tests.server.test_responses import message as response_message

Steps = list[bytes | float | None]

SAYS = {
    "hello": "Good morning.",
    "contact": "Write to joe@example.com.",
    "codename": "It is the bluebird, I say.",
    "person": '{"name": "Joe", "email": "joe@example.com"}',
}
TOOL = {"city": "Paris", "mail": "joe@example.com"}


def asked(value: Any) -> str:
    """The last text in a request's conversation."""
    last = value[-1] if isinstance(value, list) and value else value
    if isinstance(last, dict):
        return asked(last.get("content") or last.get("output") or last.get("text") or "")
    return last if isinstance(last, str) else ""


def plays(upstream: Upstream) -> None:
    def script(body: dict[str, Any]) -> Steps:
        path = upstream.headers[-1].split()[1].removeprefix("/v1/")
        last = asked(body.get("messages") or body.get("input"))
        stream = body.get("stream") is True
        if "fail" in last:
            error = {
                "message": "There is no such model.",
                "type": "invalid_request_error",
                "param": None,
                "code": "model_not_found",
            }
            told = {"type": "error", "error": {"type": "not_found_error", "message": "There is no such model."}}
            return whole(told if path.startswith("messages") else {"error": error}, "404 Not Found")
        if path == "messages/count_tokens":
            return whole({"input_tokens": 7})
        if path == "embeddings":
            data = [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}]
            return whole({"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 1, "total_tokens": 1}})
        calls = "weather" in last and bool(body.get("tools"))
        text = next((said for word, said in SAYS.items() if word in last.lower()), "Sunny." if "22 degrees" in last else "Yes.")
        speak = {"chat/completions": _chat, "responses": _responses, "messages": _messages}[path]
        return speak(text, calls, stream, body)

    upstream.script = script


def _chat(text: str, calls: bool, stream: bool, body: dict[str, Any]) -> Steps:
    arguments = json.dumps(TOOL)
    function = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": arguments}}
    finish = "tool_calls" if calls else "stop"
    if not stream:
        return whole(answer(None, finish, tool_calls=[function]) if calls else answer(text))
    if calls:
        first = {**function, "index": 0, "function": {"name": "get_weather", "arguments": ""}}
        rest = [{"index": 0, "function": {"arguments": letter}} for letter in arguments]
        pieces = [chunk({"role": "assistant", "content": None, "tool_calls": [first]})]
        pieces += [chunk({"tool_calls": [one]}) for one in rest]
    else:
        pieces = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": letter}) for letter in text)]
    pieces.append(chunk({}, finish))
    if (body.get("stream_options") or {}).get("include_usage"):
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        counted = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": usage}
        pieces.append(b"data: " + json.dumps(counted).encode() + b"\n\n")
    return streamed(*pieces, b"data: [DONE]\n\n")


USAGE = {
    "input_tokens": 1, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 1,
    "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 2,
}  # fmt: skip


def _responses(text: str, calls: bool, stream: bool, body: dict[str, Any]) -> Steps:
    item = {**call(json.dumps(TOOL)), "name": "get_weather"} if calls else response_message(text)
    whole_answer = {**HEAD, "status": "completed", "output": [item], "usage": USAGE}
    if not stream:
        return whole(whole_answer)
    bodies = [{"type": "response.created", "response": {**HEAD, "status": "in_progress", "output": []}}, *said(0, item)]
    bodies.append({"type": "response.completed", "response": whole_answer})
    numbered = [{**one, "sequence_number": number} for number, one in enumerate(bodies)]
    return streamed(*(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in numbered))


def _messages(text: str, calls: bool, stream: bool, body: dict[str, Any]) -> Steps:
    use = {"type": "tool_use", "id": "t1", "name": "get_weather", "input": TOOL}
    if not stream:
        return whole(message(use, stop="tool_use") if calls else message({"type": "text", "text": text}))
    if not calls:
        return events(*text_block(0, *text), *END)
    letters = ({"type": "input_json_delta", "partial_json": letter} for letter in json.dumps(TOOL))
    end: dict[str, Any] = {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {"output_tokens": 1},
    }
    return events(*block(0, {**use, "input": {}}, *letters), end, {"type": "message_stop"})
