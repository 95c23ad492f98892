"""Servers that speak what providers speak who do not speak OpenAI's HTTP: Anthropic, Gemini, Bedrock with its binary event
stream, and Azure's deployments. What they say is asked for in the prompt:

`tool` calls one, `think` thinks first, `break` hangs up in the middle, when the client has seen some, `slow` takes ten seconds,
`fail NNN` is an error of that status, and anything else is answered with `TEXT`.
"""

from __future__ import annotations

import asyncio
import binascii
import contextlib
import json
import re
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.upstream.client import heard
from tests.upstream.speech import TEXT

WORDS = [word + " " for word in TEXT.split()]
THOUGHT = "First the hills, then the meadows."
CITY = {"city": "Paris"}
Json = dict[str, Any]


@dataclass
class Foreign:
    """`requests` are (path with its query, headers, body)."""

    requests: list[tuple[str, dict[str, str], Json]] = field(default_factory=list)
    cancelled: int = 0

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/{path:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append((request.path_qs, headers, body))
        if request.path.endswith("count_tokens"):
            return web.json_response({"input_tokens": 11})
        if "mbed" in request.path:
            return web.json_response({"embeddings": [{"values": [0.25, 0.5]}], "embedding": {"values": [0.25, 0.5]}})
        if not any(part in request.path_qs for part, _ in SPEAKERS):
            return web.json_response({"error": {"message": "There is nothing here."}}, status=404)
        speaker = next(one for part, one in SPEAKERS if part in request.path_qs)
        wish = _last_text(body)
        if found := re.search(r"fail (\d+)", wish):
            shown = (
                headers.get("x-api-key") or headers.get("x-goog-api-key") or headers.get("api-key") or headers["authorization"]
            )
            told = speaker.error(int(found[1]), f"No, not with {shown}.")
            return web.json_response(told, status=int(found[1]), headers={"retry-after": "7"})
        streams, whole = speaker.streams(request.path, body), speaker.whole(wish)
        if not streams:
            return web.json_response(whole)
        answer = web.StreamResponse(headers={"content-type": speaker.kind})
        await answer.prepare(request)
        events = speaker.events(wish)
        for number, event in enumerate(events):
            if "break" in wish and number == len(events) // 2:
                while not heard:
                    await asyncio.sleep(0.01)
                assert request.transport is not None
                request.transport.abort()
                return answer
            if "slow" in wish:
                await asyncio.sleep(10 / len(events))
            try:
                await answer.write(speaker.frame(event))
            except ConnectionError:
                self.cancelled += 1
                raise
        await answer.write_eof()
        return answer


@dataclass(frozen=True)
class Speaker:
    kind: str
    streams: Callable[[str, Json], bool]
    whole: Callable[[str], Json]
    events: Callable[[str], list[Json]]
    frame: Callable[[Json], bytes]
    error: Callable[[int, str], Json]


def _last_text(body: Json) -> str:
    """Of whatever is the user's last word, in whichever shape."""
    turns = body.get("messages") or body.get("contents") or [body.get("input") or ""]
    return json.dumps(turns[-1])


def _sse(event: Json) -> bytes:
    name = f"event: {event['type']}\n" if "type" in event else ""
    return f"{name}data: {json.dumps(event)}\n\n".encode()


# -- Anthropic


def _claude(wish: str) -> Json:
    blocks: list[Json] = [{"type": "text", "text": TEXT}]
    if "think" in wish:
        blocks.insert(0, {"type": "thinking", "thinking": THOUGHT, "signature": "sig"})
    if "tool" in wish:
        blocks = [{"type": "tool_use", "id": "toolu_1", "name": "weather", "input": CITY}]
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": blocks, "stop_sequence": None,
        "stop_reason": "tool_use" if "tool" in wish else "end_turn", "usage": {"input_tokens": 5, "output_tokens": 7},
    }  # fmt: skip


def _claude_events(wish: str) -> list[Json]:
    whole = _claude(wish)
    events: list[Json] = [{"type": "message_start", "message": {**whole, "content": [], "stop_reason": None}}]
    for index, block in enumerate(whole["content"]):
        empty = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}, "tool_use": {"input": {}}}[block["type"]]
        deltas: list[Json] = [{"type": "text_delta", "text": word} for word in WORDS]
        if block["type"] == "thinking":
            deltas = [{"type": "thinking_delta", "thinking": THOUGHT}, {"type": "signature_delta", "signature": "sig"}]
        if block["type"] == "tool_use":
            deltas = [{"type": "input_json_delta", "partial_json": part} for part in ('{"city"', ': "Paris"}')]
        events.append({"type": "content_block_start", "index": index, "content_block": {**block, **empty}})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    return [*events, {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 7}}, {"type": "message_stop"}]


def _claude_error(status: int, text: str) -> Json:
    return {"type": "error", "error": {"type": "some_error", "message": text}}


# -- Gemini


def _gemini_part(wish: str) -> list[list[Json]]:
    if "tool" in wish:
        return [[{"functionCall": {"name": "weather", "args": CITY}}]]
    thought = [[{"text": THOUGHT, "thought": True}]] if "think" in wish else []
    return [*thought, *([{"text": word}] for word in WORDS)]


def _gemini_body(parts: list[Json], last: bool) -> Json:
    usage = {"promptTokenCount": 5, "candidatesTokenCount": 7, "totalTokenCount": 12}
    said: Json = {"content": {"role": "model", "parts": parts}, "index": 0}
    return {
        "candidates": [{**said, "finishReason": "STOP"} if last else said],
        "usageMetadata": usage,
        "modelVersion": "gemini",
    }


def _gemini(wish: str) -> Json:
    return _gemini_body([part for parts in _gemini_part(wish) for part in parts], True)


def _gemini_events(wish: str) -> list[Json]:
    parts = _gemini_part(wish)
    return [_gemini_body(one, number == len(parts) - 1) for number, one in enumerate(parts)]


def _gemini_error(status: int, text: str) -> Json:
    return {"error": {"code": status, "message": text, "status": "SOME_STATUS"}}


# -- Bedrock


def _converse(wish: str) -> Json:
    content: list[Json] = [{"text": TEXT}]
    if "think" in wish:
        content.insert(0, {"reasoningContent": {"reasoningText": {"text": THOUGHT, "signature": "sig"}}})
    if "tool" in wish:
        content = [{"toolUse": {"toolUseId": "tool_1", "name": "weather", "input": CITY}}]
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": "tool_use" if "tool" in wish else "end_turn",
        "usage": {"inputTokens": 5, "outputTokens": 7, "totalTokens": 12},
        "metrics": {"latencyMs": 1},
    }


def _converse_events(wish: str) -> list[Json]:
    """Each with its type under `:event-type`."""

    def event(kind: str, **body: Any) -> Json:
        return {":event-type": kind, **body}

    if "tool" in wish:
        start = event("contentBlockStart", start={"toolUse": {"toolUseId": "tool_1", "name": "weather"}}, contentBlockIndex=0)
        parts = ('{"city"', ': "Paris"}')
        said = [start, *(event("contentBlockDelta", delta={"toolUse": {"input": p}}, contentBlockIndex=0) for p in parts)]
    else:
        said = [event("contentBlockDelta", delta={"text": word}, contentBlockIndex=0) for word in WORDS]
        if "think" in wish:
            said.insert(0, event("contentBlockDelta", delta={"reasoningContent": {"text": THOUGHT}}, contentBlockIndex=0))
    return [
        event("messageStart", role="assistant"),
        *said,
        event("contentBlockStop", contentBlockIndex=0),
        event("messageStop", stopReason="tool_use" if "tool" in wish else "end_turn"),
        event("metadata", usage={"inputTokens": 5, "outputTokens": 7, "totalTokens": 12}, metrics={"latencyMs": 1}),
    ]


def _amazon(event: Json) -> bytes:
    """One message of application/vnd.amazon.eventstream: lengths, their checksum, headers, payload, checksum of all."""
    payload = json.dumps({key: value for key, value in event.items() if key != ":event-type"}).encode()
    named = {":event-type": event[":event-type"], ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in named.items()
    )
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack(">I", binascii.crc32(prelude)) + headers + payload
    return message + struct.pack(">I", binascii.crc32(message))


def _bedrock_error(status: int, text: str) -> Json:
    return {"message": text}


# -- OpenAI's own, at Azure


def _openai(wish: str) -> Json:
    message: Json = {"role": "assistant", "content": TEXT}
    if "tool" in wish:
        call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": json.dumps(CITY)}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
    if "think" in wish:
        message["reasoning_content"] = THOUGHT
    reason = "tool_calls" if "tool" in wish else "stop"
    usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": "gpt", "choices": [choice], "usage": usage}


def _openai_events(wish: str) -> list[Json]:
    whole = _openai(wish)
    message, reason = whole["choices"][0]["message"], whole["choices"][0]["finish_reason"]
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    if "think" in wish:
        deltas.append({"reasoning_content": THOUGHT})
    if "tool" in wish:
        deltas.append({"tool_calls": [{"index": 0, **message["tool_calls"][0]}]})
    else:
        deltas += [{"content": word} for word in WORDS]
    head = {**whole, "object": "chat.completion.chunk"}
    del head["usage"]
    events = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    events.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    return [*events, {**head, "choices": [], "usage": whole["usage"]}, {"done": True}]


def _openai_frame(event: Json) -> bytes:
    return b"data: [DONE]\n\n" if event == {"done": True} else _sse(event)


def _openai_error(status: int, text: str) -> Json:
    return {"error": {"message": text, "type": "some_error", "param": None, "code": "some_code"}}


def _asked(path: str, body: Json) -> bool:
    return body.get("stream") is True


_SSE = "text/event-stream"
# Found by a part of the path.
SPEAKERS = (
    ("/v1/messages", Speaker(_SSE, _asked, _claude, _claude_events, _sse, _claude_error)),
    ("enerateContent", Speaker(_SSE, lambda path, _: "stream" in path, _gemini, _gemini_events, _sse, _gemini_error)),
    (
        "/converse",
        Speaker(
            "application/vnd.amazon.eventstream", lambda path, _: path.endswith("converse-stream"), _converse, _converse_events,
            _amazon, _bedrock_error,
        ),
    ),
    ("/chat/completions", Speaker(_SSE, _asked, _openai, _openai_events, _openai_frame, _openai_error)),
)  # fmt: skip


@contextlib.contextmanager
def serving(foreign: Foreign) -> Iterator[int]:
    """In a thread; yields the port."""
    loop, port = asyncio.new_event_loop(), 0
    runner = web.AppRunner(foreign.app(), access_log=None, shutdown_timeout=1)

    async def start() -> int:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return int(runner.addresses[0][1])

    port = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield port
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()
