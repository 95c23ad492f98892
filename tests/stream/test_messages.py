"""The same core under Anthropic's events: any cut, planted findings, every block closed."""

from __future__ import annotations

import itertools
import json
from collections import deque
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proxy.stream.guard import Finish, Inspect, Send, StreamGuard
from proxy.wire.messages import EventReader
from proxy.wire.sse import Parser

from .rules import Rules, judge
from .test_guard import redacted, texts

HEAD = {"id": "m", "type": "message", "role": "assistant", "content": [], "model": "m", "usage": {"output_tokens": 1}}


def event(kind: str, **more: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more}, ensure_ascii=False)}\n\n".encode()


def stream(blocks: list[list[str]]) -> bytes:
    out = [event("message_start", message=HEAD), event("ping")]
    for index, tokens in enumerate(blocks):
        out.append(event("content_block_start", index=index, content_block={"type": "text", "text": ""}))
        for token in tokens:
            out.append(event("content_block_delta", index=index, delta={"type": "text_delta", "text": token}))
        out.append(event("content_block_stop", index=index))
    out.append(event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 3}))
    return b"".join([*out, event("message_stop")])


def run(data: bytes, cuts: list[int], model: bool) -> list[dict[str, Any]]:
    guard = StreamGuard(EventReader(), Rules(asks_model=model))
    edges = [0, *sorted({c % (len(data) + 1) for c in cuts}), len(data)]
    out, over = b"", False

    def take(commands: list[Any]) -> None:
        nonlocal out, over
        waiting = deque(commands)
        while waiting:
            command = waiting.popleft()
            assert not over
            if isinstance(command, Send):
                out += command.data
            elif isinstance(command, Inspect):
                waiting += guard.resolved(command.id, judge(command.segment.text))
            elif isinstance(command, Finish):
                over = True

    for left, right in itertools.pairwise(edges):
        if not over:
            take(guard.received(data[left:right]))
    if not over:
        take(guard.closed())
    assert over
    return [json.loads(e.data) for e in Parser().feed(out) if e.data]


def said(events: list[dict[str, Any]], index: int) -> str:
    deltas = [e["delta"] for e in events if e["type"] == "content_block_delta" and e["index"] == index]
    return "".join(d.get("text", "") for d in deltas)


@given(st.lists(texts, min_size=1, max_size=3), st.lists(st.integers(0, 10_000), max_size=20), st.booleans())
def test_any_cut_gives_the_same_answer_with_every_block_closed(blocks: list[list[str]], cuts: list[int], model: bool) -> None:
    data = stream(blocks)
    events, whole = run(data, cuts, model), run(data, [], model)
    kinds = [e["type"] for e in events]
    assert [said(events, i) for i in range(len(blocks))] == [said(whole, i) for i in range(len(blocks))]
    started = [e["index"] for e in events if e["type"] == "content_block_start"]
    stopped = [e["index"] for e in events if e["type"] == "content_block_stop"]
    assert started == stopped == list(range(len(started)))
    assert kinds[-2:] == ["message_delta", "message_stop"] and kinds.count("message_delta") == 1
    if not model:
        for index, tokens in enumerate(blocks):
            plain = "".join(tokens)
            assert said(events, index) == (redacted(plain) if index in started else "")
            if "BOMB" in plain:
                assert events[-2]["delta"]["stop_reason"] == "refusal"
                break
        else:
            assert events[-2]["delta"]["stop_reason"] == "end_turn"


def test_what_passes_arrives_as_it_came() -> None:
    data = stream([["One ", "two"], ["three"]])
    assert json.dumps(run(data, [], False)) == json.dumps([json.loads(e.data or b"") for e in Parser().feed(data)])
