"""The streaming core under every cut of the bytes and every order of the verdicts, with planted findings."""

from __future__ import annotations

import itertools
import json
import random
import re
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.stream.cut import FIRST
from proxy.stream.guard import Finish, Inspect, Send, StreamGuard
from proxy.types import Action, Outcome, Verdict
from proxy.wire.chat import ChunkReader
from proxy.wire.sse import Parser

from .rules import Rules, judge

WORDS = [
    "the",
    "river ",
    " rises",
    "in <1234> ",
    "<12",
    "34>",
    "BO",
    "MB",
    "vile ",
    "secret ",
    "été ",
    "\u2028",
    "日本",
    "😀",
    '"\\',
    "\n\n",
    "x" * 30 + " ",
]
texts = st.lists(st.sampled_from(WORDS) | st.text(max_size=5), max_size=40)


def chunk(index: int, delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish, **more}
    body = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"


def stream(tokens: list[str], key: str = "content", index: int = 0, finish: str = "stop") -> bytes:
    events = [chunk(index, {"role": "assistant", "content": ""})]
    events += (chunk(index, {key: token}) for token in tokens)
    return b"".join([*events, chunk(index, {}, finish), b"data: [DONE]\n\n"])


def run(
    data: bytes, cuts: list[int] = (), *, model: bool = False, shuffle: int | None = None, guard: StreamGuard | None = None, late: bool = False
) -> tuple[bytes, str]:  # fmt: skip
    """Plays the bytes, cut at `cuts`; verdicts are answered in an order drawn from `shuffle`, or at the very end."""
    guard = guard or StreamGuard(ChunkReader(), Rules(asks_model=model))
    rng = random.Random(shuffle)
    edges = [0, *sorted({c % (len(data) + 1) for c in cuts}), len(data)]
    out, asked, reason = b"", [], ""

    def take(commands: list[Any]) -> None:
        nonlocal out, reason
        for command in commands:
            assert not reason, "nothing may follow the finish"
            if isinstance(command, Send):
                out += command.data
            elif isinstance(command, Inspect):
                asked.append(command)
            elif isinstance(command, Finish):
                reason = command.reason

    for left, right in itertools.pairwise(edges):
        if reason:
            break
        take(guard.received(data[left:right]))
        while asked and not reason and not late and (shuffle is None or rng.random() < 0.6):
            one = asked.pop(0 if shuffle is None else rng.randrange(len(asked)))
            take(guard.resolved(one.id, judge(one.segment.text)))
    if not reason:
        take(guard.closed())
    while asked and not reason:
        one = asked.pop(0 if shuffle is None else rng.randrange(len(asked)))
        take(guard.resolved(one.id, judge(one.segment.text)))
    return out, reason


def said(out: bytes, key: str = "content", index: int = 0) -> str:
    return "".join(c["delta"].get(key) or "" for c in choices(out) if c["index"] == index)


def choices(out: bytes) -> list[dict[str, Any]]:
    bodies = [json.loads(e.data) for e in Parser().feed(out) if e.data and e.data != b"[DONE]"]
    return [c for b in bodies for c in b.get("choices", [])]


def finishes(out: bytes, index: int = 0) -> list[str]:
    return [c["finish_reason"] for c in choices(out) if c["finish_reason"] and c["index"] == index]


def redacted(text: str) -> str:
    """What the patterns alone should leave of a whole text."""
    text = text.split("BOMB", maxsplit=1)[0]
    names: dict[str, str] = {}
    return re.sub(r"<\d{4}>", lambda m: names.setdefault(m[0], f"[NUMBER_{len(names) + 1}]"), text)


@given(texts, st.lists(st.integers(0, 10_000), max_size=30))
@example(["a BO", "MB b"], [])
@example(["<12", "34>"], [150])
def test_any_cut_gives_the_same_text(tokens: list[str], cuts: list[int]) -> None:
    out, reason = run(stream(tokens), cuts)
    text = "".join(tokens)
    assert said(out) == redacted(text)
    assert reason == ("blocked" if "BOMB" in text else "done")
    assert finishes(out) == (["content_filter"] if "BOMB" in text else ["stop"])
    assert out.endswith(b"data: [DONE]\n\n")


@given(texts, st.lists(st.integers(0, 10_000), max_size=20), st.integers(0, 99), st.booleans())
@settings(max_examples=200)
def test_any_order_of_verdicts_gives_the_same_text(tokens: list[str], cuts: list[int], seed: int, late: bool) -> None:
    whole, _ = run(stream(["".join(tokens)]), model=True)
    out, _ = run(stream(tokens), cuts, model=True, shuffle=seed, late=late)
    assert said(out) == said(whole)
    assert finishes(out) == finishes(whole)
    assert "BOMB" not in said(out)
    if max(map(len, "".join(tokens).split()), default=0) <= 4 * FIRST:  # a longer run without a space is cut inside a word
        assert "vile" not in said(out) and "secret" not in said(out)


@given(
    st.lists(st.sampled_from(["the ", "river", " rises", "été", "😀 "]), max_size=30),
    st.lists(st.integers(0, 10_000), max_size=9),
)
def test_what_passes_arrives_as_it_came(tokens: list[str], cuts: list[int]) -> None:
    data = stream(tokens)
    assert run(data, cuts) == (data, "done")


@given(texts, texts, st.integers(0, 99))
def test_choices_and_channels_are_independent(first: list[str], second: list[str], seed: int) -> None:
    rng = random.Random(seed)
    queues = {(0, "content"): list(first), (1, "content"): list(second), (1, "reasoning_content"): list(first)}
    events = []
    while any(queues.values()):
        index, key = rng.choice([k for k, q in queues.items() if q])
        events.append(chunk(index, {key: queues[index, key].pop(0)}))
    data = b"".join([*events, chunk(0, {}, "stop"), chunk(1, {}, "stop"), b"data: [DONE]\n\n"])
    out, _ = run(data, guard=StreamGuard(ChunkReader(2), Rules()))
    assert said(out, index=0) == redacted("".join(first))
    if "BOMB" not in "".join(first):
        assert said(out, index=1) == redacted("".join(second))
    assert finishes(out, 0) == (["content_filter"] if "BOMB" in "".join(first) else ["stop"])
    assert finishes(out, 1) == (["content_filter"] if "BOMB" in f"{''.join(first)} {''.join(second)}" else ["stop"])


def test_a_value_one_character_an_event_inside_tool_arguments() -> None:
    source = '{"to": "a\\u003c1234>", "n": [<1234>, 7], "é": "\\ud83d\\ude00"}'
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}
    events = [chunk(0, {"role": "assistant", "content": None, "tool_calls": [call]})]
    events += (chunk(0, {"tool_calls": [{"index": 0, "function": {"arguments": c}}]}) for c in source)
    out, _ = run(b"".join([*events, chunk(0, {}, "tool_calls"), b"data: [DONE]\n\n"]))
    calls = [c["delta"]["tool_calls"][0] for c in choices(out) if c["delta"].get("tool_calls")]
    assert calls[0]["id"] == "call_1" and calls[0]["function"]["name"] == "f"
    arguments = json.loads("".join(c["function"]["arguments"] for c in calls))
    assert arguments["to"] == "a[NUMBER_1]" and arguments["é"] == "😀"


def test_judged_text_does_not_wait_for_the_event_to_be_whole() -> None:
    guard = StreamGuard(ChunkReader(), Rules())
    (sent,) = guard.received(chunk(0, {"content": "Your number is <12"}))
    assert isinstance(sent, Send) and said(sent.data) == "Your number is "
    (sent,) = guard.received(chunk(0, {"content": "34>, sir. <"}))
    assert said(sent.data) == "[NUMBER_1], sir. "


def test_buffer_sends_nothing_before_the_end() -> None:
    guard = StreamGuard(ChunkReader(), Rules(), mode="buffer")
    assert guard.received(chunk(0, {"content": "All is well. "})) == []
    out, _ = run(chunk(0, {"content": "BOMB"}), guard=guard)
    assert said(out) == "" and finishes(out) == ["content_filter"]


def test_follow_leaks_no_more_than_it_says() -> None:
    guard = StreamGuard(ChunkReader(), Rules(asks_model=True), mode="follow", follow_limit=40)
    commands = guard.received(stream(["well then "] * 20))
    sent = b"".join(c.data for c in commands if isinstance(c, Send))
    assert 0 < len(said(sent)) <= 40
    asks = [c for c in commands if isinstance(c, Inspect)]
    after = guard.resolved(asks[0].id, judge("vile"))
    assert finishes(b"".join(c.data for c in after if isinstance(c, Send))) == ["content_filter"]


def test_logprobs_of_redacted_and_withheld_text_go_too() -> None:
    tokens = ["I ", "say ", "<1234>", " now ", "BO", "MB"]
    entries = {"content": [{"token": t, "logprob": -1.0, "bytes": None, "top_logprobs": []} for t in tokens], "refusal": None}
    data = chunk(0, {"content": "".join(tokens)}, logprobs=entries) + chunk(0, {}, "stop")
    out, _ = run(data + b"data: [DONE]\n\n")
    kept = [e["token"] for c in choices(out) if c["logprobs"] for e in c["logprobs"]["content"]]
    assert said(out) == "I say [NUMBER_1] now " and kept == ["I ", "say ", " now "]


def test_logprobs_apart_from_their_text_are_a_text_of_their_own() -> None:
    events = [chunk(0, {}, logprobs={"content": [{"token": t}]}) for t in ("<1", "234", ">", " ok ")]
    out, _ = run(b"".join([*events, chunk(0, {}, "stop"), b"data: [DONE]\n\n"]))
    assert [e["token"] for c in choices(out) if c["logprobs"] for e in c["logprobs"]["content"]] == [" ok "]


def test_usage_and_done_wait_and_follow_a_block_when_asked_for() -> None:
    guard = StreamGuard(ChunkReader(include_usage=True), Rules(), prompt_tokens=7)
    out, reason = run(stream(["fine ", "BOMB"]), guard=guard)
    events = [e.data for e in Parser().feed(out)]
    assert reason == "blocked" and events[-1] == b"[DONE]"
    assert json.loads(events[-2])["usage"]["prompt_tokens"] == 7
    assert json.loads(events[-3])["choices"][0]["finish_reason"] == "content_filter"


def test_a_dead_upstream_ends_with_an_error_after_what_was_judged() -> None:
    guard = StreamGuard(ChunkReader(), Rules())
    out = b"".join(c.data for c in guard.received(chunk(0, {"content": "half a B"})) if isinstance(c, Send))
    commands = guard.closed("The provider broke off its answer.")
    out += commands[0].data
    assert said(out) == "half a B" and b'"code":"upstream_error"' in out
    assert commands[-1] == Finish("error")


def test_a_malformed_event_is_an_error_and_never_passes() -> None:
    out, reason = run(chunk(0, {"content": "fine "}) + b'data: {"choices": [{"in\n\n' + chunk(0, {"content": "more"}))
    assert said(out) == "fine " and reason == "error" and b"not JSON" in out


def test_an_error_of_the_upstream_arrives() -> None:
    out, reason = run(chunk(0, {"content": "fine "}) + b'data: {"error":{"message":"overloaded"}}\n\n')
    assert said(out) == "fine " and reason == "error" and b"overloaded" in out


def test_unknown_fields_are_carried_and_read() -> None:
    body = chunk(0, {"content": "ok ", "vendor": {"note": "see <1234>"}}, "stop", vendor_score=0.5)
    out, _ = run(body + b"data: [DONE]\n\n")
    deltas = [c["delta"] for c in choices(out)]
    assert {"note": "see [NUMBER_1]"} in [d.get("vendor") for d in deltas] and said(out) == "ok "
    assert any(c.get("vendor_score") == 0.5 for c in choices(out))


# -- a judge that comes after


def test_a_doubted_piece_leaves_and_the_end_waits() -> None:
    guard = StreamGuard(ChunkReader(), Rules(asks_model=True, reach=100))
    asked = [c for c in guard.received(stream(["Hello there, ", "you vile one."])) if isinstance(c, Inspect)]
    out = b"".join(c.data for a in asked for c in guard.resolved(a.id, Verdict(pending=True)) if isinstance(c, Send))
    assert b"vile" in out and b'finish_reason":"stop' not in out
    commands = [c for a in asked for c in guard.resolved(a.id, judge(a.segment.text))]
    said = b"".join(c.data for c in commands if isinstance(c, Send))
    assert b"content_filter" in said and b'"stop"' not in said
    assert guard.leaked >= len("you vile one.")
    assert guard.over


def test_a_doubt_that_is_dispelled_ends_as_it_would() -> None:
    guard = StreamGuard(ChunkReader(), Rules(asks_model=True, reach=100))
    asked = [c for c in guard.received(stream(["All is well."])) if isinstance(c, Inspect)]
    for one in asked:
        guard.resolved(one.id, Verdict(pending=True))
    assert not guard.over
    commands = [c for one in asked for c in guard.resolved(one.id, Verdict())]
    assert b"[DONE]" in b"".join(c.data for c in commands if isinstance(c, Send))
    assert guard.over and not guard.leaked


def test_stretches_cover_the_text_once_however_it_is_cut() -> None:
    text = "One two three four five. " * 80
    found = []
    for size in (1, 7, 2000):
        guard = StreamGuard(ChunkReader(), Rules(asks_model=True, reach=2000))
        commands = [c for at in range(0, len(text), size) for c in guard.received(chunk(0, {"content": text[at : at + size]}))]
        commands += guard.received(chunk(0, {}, "stop"))
        stretches = [c.segment.stretch for c in commands if isinstance(c, Inspect) and c.segment.stretch]
        assert "".join(stretches) == text
        assert all(len(s) >= 400 for s in stretches[:-1])
        found.append(stretches)
    assert found[0] == found[1] == found[2]


def test_a_doubted_prompt_ends_every_choice() -> None:
    guard = StreamGuard(ChunkReader(choices=2), Rules(), doubted=True)
    first = guard.received(chunk(0, {"content": "Hello."}) + stream(["Hi."], index=1))
    out = b"".join(c.data for c in first if isinstance(c, Send))
    assert b"Hello." in out and b'"stop"' not in out
    verdict = Verdict(Action.BLOCK, (Outcome("r", Action.BLOCK, True, "r", 1.0, None),))
    said = b"".join(c.data for c in guard.settled(verdict) if isinstance(c, Send))
    assert said.count(b"content_filter") == 2 and guard.over and guard.leaked == 9
