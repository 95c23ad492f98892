"""A scripted provider, so that every behaviour can be tried with no key and no network.

It answers by the last user message: `echo: TEXT` says TEXT, and a few words start a script (`/help` lists them).
What the scripts say is made up to set the guard off.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncIterator
from typing import Any

from proxy.upstream import Call, Response
from proxy.upstream.whole import Whole
from proxy.wire import sse
from proxy.wire.parts import decode, encode

_HARM = "You stupid worthless idiot, everybody hates you. I will find out where you live and kill you tonight."
SCRIPTS = {
    "/help": "Say: /hello, /contact, /secret, /harmful, /long, /tool, or 'echo: TEXT'. Weir judges whatever comes back.",
    "/hello": "A weir lets the water through and holds back what must not pass. It does not stop the river.",
    "/contact": "Of course. Write to marie.durand@example.org or call +33 6 12 34 56 78, and pay to FR76 3000 6000 0112 3456 7890 189.",
    "/secret": "Here is the key that I found in the file: " + "sk-proj-" + "Ab3dEf6hIj9lMn2pQr5tUv8xYz1B4dEf6hIj9lMn" + " Keep it safe.",
    "/harmful": "Let me think about your question for a moment. " + _HARM,
    "/long": "The river rises in the hills and winds through meadows and small towns. " * 40 + _HARM,
}  # fmt: skip
_DEFAULT = (
    "I am the demo model that comes with Weir. I answer without thinking, so that you can watch the guard work. Try /help."
)
_TOKEN = re.compile(r"\s*\S{1,6}")


class Demo:
    """`delay` seconds pass between the tokens of a stream."""

    def __init__(self, delay: float = 0.02) -> None:
        self._delay = delay

    async def open(self, call: Call) -> Response:
        if call.path == "models":
            return Whole(
                encode({"object": "list", "data": [{"id": "demo", "object": "model", "created": 0, "owned_by": "weir"}]})
            )
        body = decode(call.body)
        if call.path == "embeddings":
            return Whole(_embeddings(body))
        if call.path == "completions":
            return self._completion(body)
        if call.path.startswith("messages"):
            return self._anthropic(body, call.path.endswith("count_tokens"))
        text, tool = answer(body)
        head = {"id": f"chatcmpl-demo{time.time_ns():x}", "created": int(time.time()), "model": body.get("model", "demo")}
        count = max(1, int(body.get("n") or 1))
        if body.get("stream"):
            usage = bool((body.get("stream_options") or {}).get("include_usage"))
            return _Stream(list(_chunks(head, text, tool, count, usage)), self._delay)
        choices = [
            {"index": i, "message": _message(text, tool), "logprobs": None, "finish_reason": "tool_calls" if tool else "stop"}
            for i in range(count)
        ]
        return Whole(encode({**head, "object": "chat.completion", "choices": choices, "usage": _usage(text)}))

    def _completion(self, body: dict[str, Any]) -> Response:
        asked = body["prompt"] if isinstance(body["prompt"], list) else [body["prompt"]]
        said = [answer({"messages": [{"role": "user", "content": str(one)}]})[0] for one in asked]
        head = {
            "id": f"cmpl-demo{time.time_ns():x}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": body["model"],
        }
        if not body.get("stream"):
            choices = [{"index": i, "text": t, "logprobs": None, "finish_reason": "stop"} for i, t in enumerate(said)]
            return Whole(encode({**head, "choices": choices, "usage": _usage(" ".join(said))}))
        events = [(i, token, None) for i, text in enumerate(said) for token in _TOKEN.findall(text)]
        events += [(i, "", "stop") for i, _ in enumerate(said)]  # type: ignore[misc]
        chunks = [
            sse.encode(encode({**head, "choices": [{"index": i, "text": t, "logprobs": None, "finish_reason": f}]}))
            for i, t, f in events
        ]
        return _Stream([*chunks, sse.encode(sse.DONE)], self._delay)

    def _anthropic(self, body: dict[str, Any], count: bool) -> Response:
        if count:
            return Whole(encode({"input_tokens": len(_TOKEN.findall(str(body["messages"])))}))
        text, tool = answer(body)
        block: dict[str, Any] = {"type": "text", "text": text}
        if tool:
            given = decode(tool["function"]["arguments"].encode())
            block = {"type": "tool_use", "id": "toolu_demo", "name": tool["function"]["name"], "input": given}
        usage = {"input_tokens": 10, "output_tokens": len(_TOKEN.findall(text))}
        head = {"id": f"msg_demo{time.time_ns():x}", "type": "message", "role": "assistant", "model": body["model"]}
        reason = "tool_use" if tool else "end_turn"
        if not body.get("stream"):
            return Whole(encode({**head, "content": [block], "stop_reason": reason, "stop_sequence": None, "usage": usage}))
        begun = {**head, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
        empty = {**block, "input": {}} if tool else {**block, "text": ""}
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": begun},
            {"type": "content_block_start", "index": 0, "content_block": empty},
        ]
        if tool:
            pieces = re.findall(r".{1,4}", tool["function"]["arguments"])
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        else:
            deltas = [{"type": "text_delta", "text": token} for token in _TOKEN.findall(text)]
        events += ({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas)
        events += [
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage},
            {"type": "message_stop"},
        ]
        return _Stream([sse.encode(encode(e), e["type"]) for e in events], self._delay)

    async def close(self) -> None:
        return None


def _embeddings(body: dict[str, Any]) -> bytes:
    """Numbers that depend on the text and mean nothing."""
    asked = body["input"] if isinstance(body["input"], list) else [body["input"]]
    digests = [hashlib.sha256(str(one).encode()).digest()[:8] for one in asked]
    data = [
        {"object": "embedding", "index": i, "embedding": [b / 127.5 - 1 for b in digest]} for i, digest in enumerate(digests)
    ]
    usage = {"prompt_tokens": len(asked), "total_tokens": len(asked)}
    return encode({"object": "list", "data": data, "model": body["model"], "usage": usage})


def answer(body: dict[str, Any]) -> tuple[str, dict[str, Any] | None]:
    """(text, tool call) that the script has for this conversation."""
    said = [m for m in body["messages"] if m.get("role") == "user"]
    content = said[-1].get("content") if said else ""
    if isinstance(content, list):
        content = " ".join(p.get("text", "") for p in content if isinstance(p, dict))
    text = str(content or "").strip()
    if text == "/tool":
        name = next((t["function"]["name"] for t in body.get("tools") or [] if t.get("type") == "function"), "send_mail")
        arguments = '{"to": "marie.durand@example.org", "text": "See you on Monday."}'
        return "", {"id": "call_demo", "type": "function", "function": {"name": name, "arguments": arguments}}
    if text.lower().startswith("echo:"):
        return text[5:].strip(), None
    return SCRIPTS.get(text, _DEFAULT), None


def _message(text: str, tool: dict[str, Any] | None) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text or None, "refusal": None}
    return {**message, "tool_calls": [tool]} if tool else message


def _usage(text: str) -> dict[str, int]:
    completion = len(_TOKEN.findall(text))
    return {"prompt_tokens": 10, "completion_tokens": completion, "total_tokens": 10 + completion}


def _chunks(head: dict[str, Any], text: str, tool: dict[str, Any] | None, count: int, usage: bool) -> list[bytes]:
    def chunk(index: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return sse.encode(encode({**head, "object": "chat.completion.chunk", "choices": [choice]}))

    out = [chunk(i, {"role": "assistant", "content": "" if not tool else None}) for i in range(count)]
    for token in _TOKEN.findall(text):
        out += (chunk(i, {"content": token}) for i in range(count))
    if tool:
        call = {"index": 0, **tool, "function": {"name": tool["function"]["name"], "arguments": ""}}
        out += (chunk(i, {"tool_calls": [call]}) for i in range(count))
        for piece in re.findall(r".{1,4}", tool["function"]["arguments"]):
            out += (chunk(i, {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}) for i in range(count))
    out += (chunk(i, {}, "tool_calls" if tool else "stop") for i in range(count))
    if usage:
        out.append(sse.encode(encode({**head, "object": "chat.completion.chunk", "choices": [], "usage": _usage(text)})))
    return [*out, sse.encode(sse.DONE)]


class _Stream:
    status = 200

    def __init__(self, events: list[bytes], delay: float) -> None:
        self.headers = [("content-type", "text/event-stream")]
        self._events = events
        self._delay = delay
        self._closed = False

    async def read(self) -> bytes:
        return b"".join(self._events)

    async def chunks(self) -> AsyncIterator[bytes]:
        for event in self._events:
            if self._closed:
                return
            yield event
            await asyncio.sleep(self._delay)

    def close(self) -> None:
        self._closed = True
