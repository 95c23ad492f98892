"""The other APIs through a real Weir, by their own SDKs: Anthropic's Messages, completions, embeddings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from .conftest import Upstream, Weir, streamed, whole

HELLO: Any = [{"role": "user", "content": "Hello there"}]
USAGE = {"input_tokens": 1, "output_tokens": 1}


@pytest.fixture
def claude(weir: Weir) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=weir.url, api_key="caller-key", max_retries=0) as one:
        yield one


@pytest.fixture
def client(weir: Weir) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{weir.url}/v1", api_key="caller-key", max_retries=0) as one:
        yield one


def message(*content: dict[str, Any], stop: str = "end_turn") -> dict[str, Any]:
    head = {"id": "m1", "type": "message", "role": "assistant", "model": "m", "usage": USAGE}
    return {**head, "content": list(content), "stop_reason": stop, "stop_sequence": None}


def events(*bodies: dict[str, Any]) -> list[bytes | float | None]:
    start = {"type": "message_start", "message": {**message(), "stop_reason": None}}
    return streamed(*(f"event: {b['type']}\ndata: {json.dumps(b)}\n\n".encode() for b in (start, *bodies)))


def block(index: int, begin: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": begin},
        *({"type": "content_block_delta", "index": index, "delta": d} for d in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def text_block(index: int, *tokens: str) -> list[dict[str, Any]]:
    return block(index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": t} for t in tokens))


END = [
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": USAGE},
    {"type": "message_stop"},
]


def ask(claude: anthropic.Anthropic, **more: Any) -> Any:
    return claude.messages.create(**{"model": "m", "max_tokens": 100, "messages": HELLO, **more})


def test_an_ordinary_message_passes_as_it_is(claude: anthropic.Anthropic, upstream: Upstream) -> None:
    made = message({"type": "text", "text": "Good morning."})
    upstream.script = lambda body: whole(made)
    asked = {
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "stop_sequences": ["END"],
    }
    raw = claude.messages.with_raw_response.create(model="m", max_tokens=5, messages=HELLO, **asked)
    assert json.loads(raw.http_response.content) == made
    assert upstream.requests[-1] == {"model": "m", "max_tokens": 5, "messages": HELLO, **asked}
    head = upstream.headers[-1].lower()
    assert "caller-key" in head and "anthropic-version" in head
    assert raw.headers["x-weir-action"] == "pass"


PLANTED: list[Any] = [
    {"system": "the bluebird sings"},
    {"system": [{"type": "text", "text": "the bluebird sings"}]},
    {"messages": [{"role": "user", "content": "the bluebird sings"}]},
    {"messages": [*HELLO, {"role": "assistant", "content": [{"type": "text", "text": "bluebird"}]}]},
    {"messages": [*HELLO, {"role": "assistant", "content": [{"type": "thinking", "thinking": "bluebird", "signature": "s"}]}]},
    {"messages": [*HELLO, {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "n", "input": {"a": ["bluebird"]}}]}]},
    {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "bluebird"}]}]},
    {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "bluebird"}]}]}]},
    {"messages": [{"role": "user", "content": [{"type": "document", "title": "bluebird", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}]}]},
    {"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "bluebird"}}]}]},
    {"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "bluebird"}]}}]}]},
    {"tools": [{"name": "n", "description": "asks the bluebird", "input_schema": {"type": "object"}}]},
    {"stop_sequences": ["bluebird"]},
    {"messages": [{"role": "user", "content": [{"type": "novelty", "deep": ["bluebird"]}]}]},
    {"extra_body": {"novelty": {"deep": ["bluebird"]}}},
]  # fmt: skip


@pytest.mark.parametrize("asked", PLANTED, ids=lambda a: json.dumps(a)[:60])
def test_a_block_wherever_text_stands(claude: anthropic.Anthropic, upstream: Upstream, asked: Any) -> None:
    before = len(upstream.requests)
    with pytest.raises(anthropic.BadRequestError) as told:
        ask(claude, **asked)
    assert len(upstream.requests) == before
    body: Any = told.value.body
    assert body["type"] == "error" and body["error"]["type"] == "invalid_request_error"
    assert body["error"]["code"] == "content_filter" and "codenames" in body["error"]["message"]


def test_tokens_are_counted_of_guarded_requests_only(claude: anthropic.Anthropic, upstream: Upstream) -> None:
    upstream.script = lambda body: whole({"input_tokens": 7})
    assert claude.messages.count_tokens(model="m", messages=HELLO).input_tokens == 7
    with pytest.raises(anthropic.BadRequestError):
        claude.messages.count_tokens(model="m", messages=[{"role": "user", "content": "bluebird"}])


def test_answers_are_redacted_streamed_and_not(claude: anthropic.Anthropic, upstream: Upstream) -> None:
    tool = {"type": "tool_use", "id": "t1", "name": "send", "input": {"to": ["joe@example.com"], "n": 3}}
    upstream.script = lambda body: whole(message({"type": "text", "text": "Write to joe@example.com."}, tool, stop="tool_use"))
    made = ask(claude)
    assert made.content[0].text == "Write to [EMAIL_1]."
    assert made.content[1].input == {"to": ["[EMAIL_1]"], "n": 3}
    given = json.dumps(tool["input"])
    upstream.script = lambda body: events(
        *block(0, {"type": "thinking", "thinking": "", "signature": ""}, {"type": "thinking_delta", "thinking": "ask a@b.example "},
               {"type": "signature_delta", "signature": "c2ln"}),
        *text_block(1, *"Write to joe@example.com"),
        *block(2, {**tool, "input": {}}, *({"type": "input_json_delta", "partial_json": c} for c in given)),
        *END,
    )  # fmt: skip
    with claude.messages.stream(model="m", max_tokens=9, messages=HELLO) as stream:
        final = stream.get_final_message()
    assert [b.type for b in final.content] == ["thinking", "text", "tool_use"]
    assert final.content[0].thinking == "ask [EMAIL_1] "  # type: ignore[union-attr]
    assert final.content[1].text == "Write to [EMAIL_1]"  # type: ignore[union-attr]
    assert final.content[2].input == {"to": ["[EMAIL_1]"], "n": 3}  # type: ignore[union-attr]
    assert final.stop_reason == "end_turn"


def test_an_answer_is_cut(claude: anthropic.Anthropic, upstream: Upstream) -> None:
    upstream.script = lambda body: whole(message({"type": "text", "text": "It is the bluebird, I say."}))
    made = ask(claude)
    assert (made.stop_reason, made.content[0].text) == ("refusal", "It is the ")


@pytest.mark.parametrize("place", ["text", "second", "tool", "name", "unknown"])
def test_a_stream_is_cut_with_every_block_closed(claude: anthropic.Anthropic, upstream: Upstream, place: str) -> None:
    tool = {"type": "tool_use", "id": "t", "name": "bluebird" if place == "name" else "n", "input": {}}
    said = {
        "text": text_block(0, "It is ", "the blue", "bird I ", "say"),
        "second": [*text_block(0, "One "), *text_block(1, "It is the bluebird, I ", "say")],
        "tool": block(0, tool, {"type": "input_json_delta", "partial_json": '{"a": "blue'}, {"type": "input_json_delta", "partial_json": 'bird now"}'}),
        "name": [*text_block(0, "Calling "), *block(1, tool)],
        "unknown": [*text_block(0, "One "), {"type": "novelty", "text": "bluebird"}],
    }[place]  # fmt: skip
    upstream.cancelled.clear()
    upstream.script = lambda body: [*events(*said)[:-1], 3.0, *events(*END)[1:]]
    seen = []
    with claude.messages.stream(model="m", max_tokens=9, messages=HELLO) as stream:
        for event in stream:
            seen.append(event.type)
        final = stream.get_final_message()
    assert final.stop_reason == "refusal"
    assert "bird" not in final.model_dump_json()
    assert seen.count("content_block_start") == seen.count("content_block_stop")
    assert seen[-1] == "message_stop" and seen.count("message_stop") == 1


def test_a_stream_that_breaks_says_so(claude: anthropic.Anthropic, upstream: Upstream) -> None:
    upstream.script = lambda body: [*events(*text_block(0, "One ")[:-1])[:-1], None]
    with (
        pytest.raises(anthropic.APIStatusError) as told,
        claude.messages.stream(model="m", max_tokens=9, messages=HELLO) as stream,
    ):
        stream.get_final_message()
    assert "api_error" in str(told.value)


def test_keys_limits_and_errors_speak_anthropics_words(claude: anthropic.Anthropic, upstream: Upstream) -> None:
    upstream.script = lambda body: whole(
        {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}, "529 Overloaded"
    )
    with pytest.raises(anthropic.APIStatusError) as told:
        ask(claude)
    assert told.value.status_code == 529 and "busy" in str(told.value)
    with pytest.raises(anthropic.BadRequestError, match="non-empty"):
        ask(claude, messages=[])


def test_refuse_is_said_by_the_assistant(claude: anthropic.Anthropic) -> None:
    asked: Any = {"model": "refuse", "messages": [{"role": "user", "content": "bluebird"}]}
    made = ask(claude, **asked)
    assert (made.stop_reason, made.content[0].text) == ("refusal", "No, thank you.")
    with claude.messages.stream(max_tokens=9, **asked) as stream:
        assert stream.get_final_text() == made.content[0].text


def test_the_demo_speaks_messages_too(claude: anthropic.Anthropic) -> None:
    made = ask(claude, model="demo", messages=[{"role": "user", "content": "/contact"}])
    with claude.messages.stream(model="demo", max_tokens=9, messages=[{"role": "user", "content": "/contact"}]) as stream:
        assert stream.get_final_text() == made.content[0].text
    assert "[EMAIL_1]" in made.content[0].text
    with claude.messages.stream(model="demo", max_tokens=9, messages=[{"role": "user", "content": "/tool"}]) as stream:
        assert stream.get_final_message().content[0].input["to"] == "[EMAIL_1]"  # type: ignore[union-attr]


# -- completions and embeddings


def completion(*texts: str, **more: Any) -> dict[str, Any]:
    choices = [{"index": i, "text": t, "logprobs": None, "finish_reason": "stop", **more} for i, t in enumerate(texts)]
    return {"id": "c", "object": "text_completion", "created": 1, "model": "m", "choices": choices}


def test_completions(client: openai.OpenAI, upstream: Upstream) -> None:
    logprobs = {
        "tokens": ["joe@", "example.com", " now"], "token_logprobs": [-1.0, -2.0, -3.0], "top_logprobs": None, "text_offset": [0, 4, 15],
    }  # fmt: skip
    upstream.script = lambda body: whole(completion("joe@example.com now", "the bluebird", logprobs=logprobs))
    made = client.completions.create(model="m", prompt=["one", "mail a@b.example"], n=1)
    assert upstream.requests[-1]["prompt"] == ["one", "mail [EMAIL_1]"]
    first, second = made.choices
    assert (first.text, first.finish_reason) == ("[EMAIL_2] now", "stop")
    assert first.logprobs is not None and first.logprobs.tokens == [" now"] and first.logprobs.token_logprobs == [-3.0]
    assert (second.text, second.finish_reason) == ("the ", "content_filter")
    with pytest.raises(openai.BadRequestError):
        client.completions.create(model="m", prompt="x", suffix="bluebird")


def test_completions_streamed(client: openai.OpenAI, upstream: Upstream) -> None:
    def chunk(text: str, finish: str | None = None) -> bytes:
        body = completion(text)
        body["choices"][0]["finish_reason"] = finish
        return b"data: " + json.dumps(body).encode() + b"\n\n"

    upstream.script = lambda body: streamed(*(chunk(c) for c in "to joe@example.co"), chunk("m", "stop"), b"data: [DONE]\n\n")
    stream = client.completions.create(model="m", prompt="x", stream=True)
    assert "".join(c.choices[0].text for c in stream) == "to [EMAIL_1]"
    upstream.script = lambda body: streamed(chunk("the blue"), chunk("bird sings "), 3.0, chunk("", "stop"))
    chunks = list(client.completions.create(model="m", prompt="x", stream=True))
    assert "".join(c.choices[0].text for c in chunks) == "the "
    assert chunks[-1].choices[0].finish_reason == "content_filter"


def test_embeddings(client: openai.OpenAI, upstream: Upstream) -> None:
    data = [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}]
    upstream.script = lambda body: whole(
        {"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 1, "total_tokens": 1}}
    )
    made = client.embeddings.create(model="m", input=["mail joe@example.com", "x"], encoding_format="float")
    assert made.data[0].embedding == [0.5, 0.25]
    assert upstream.requests[-1]["input"] == ["mail [EMAIL_1]", "x"]
    with pytest.raises(openai.BadRequestError) as told:
        client.embeddings.create(model="refuse", input="the bluebird")
    assert told.value.code == "content_filter"
    raw = client.embeddings.with_raw_response.create(model="m", input=[[1, 2, 3]], encoding_format="float")
    assert raw.headers["x-weir-action"] == "flag"  # tokens cannot be read, and that is seen
