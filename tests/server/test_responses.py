"""The Responses API through a real Weir, by the OpenAI SDK."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from .conftest import Upstream, Weir, streamed, whole

HEAD = {
    "id": "resp_1", "object": "response", "created_at": 1, "model": "m", "parallel_tool_calls": True, "tool_choice": "auto",
    "tools": [], "error": None, "incomplete_details": None, "instructions": None, "metadata": {}, "temperature": 1, "top_p": 1,
}  # fmt: skip


@pytest.fixture
def client(weir: Weir) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{weir.url}/v1", api_key="caller-key", max_retries=0) as one:
        yield one


def message(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}


def call(arguments: str) -> dict[str, Any]:
    return {
        "id": "fc_1",
        "type": "function_call",
        "call_id": "c1",
        "name": "send",
        "arguments": arguments,
        "status": "completed",
    }


def thought(text: str) -> dict[str, Any]:
    return {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": text}]}


def response(*output: dict[str, Any]) -> dict[str, Any]:
    return {**HEAD, "status": "completed", "output": list(output)}


def said(position: int, item: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of one item, its text a character an event."""
    place = {"output_index": position, "item_id": item["id"]}
    added = {**item, "status": "in_progress"}
    if item["type"] == "message":
        text, empty = item["content"][0]["text"], {**item["content"][0], "text": ""}
        at = {**place, "content_index": 0}
        middle = [
            {"type": "response.content_part.added", **at, "part": empty},
            *({"type": "response.output_text.delta", **at, "delta": c, "logprobs": []} for c in text),
            {"type": "response.output_text.done", **at, "text": text, "logprobs": []},
            {"type": "response.content_part.done", **at, "part": item["content"][0]},
        ]
        added["content"] = []
    elif item["type"] == "function_call":
        middle = [{"type": "response.function_call_arguments.delta", **place, "delta": c} for c in item["arguments"]]
        middle.append({"type": "response.function_call_arguments.done", **place, "arguments": item["arguments"]})
        added["arguments"] = ""
    else:
        text, at = item["summary"][0]["text"], {**place, "summary_index": 0}
        middle = [
            {"type": "response.reasoning_summary_part.added", **at, "part": {"type": "summary_text", "text": ""}},
            *({"type": "response.reasoning_summary_text.delta", **at, "delta": c} for c in text),
            {"type": "response.reasoning_summary_text.done", **at, "text": text},
            {"type": "response.reasoning_summary_part.done", **at, "part": item["summary"][0]},
        ]
        added["summary"] = []
    begin = {"type": "response.output_item.added", "output_index": position, "item": added}
    return [begin, *middle, {"type": "response.output_item.done", "output_index": position, "item": item}]


def events(*items: dict[str, Any]) -> list[bytes | float | None]:
    bodies = [{"type": "response.created", "response": {**HEAD, "status": "in_progress", "output": []}}]
    for position, item in enumerate(items):
        bodies += said(position, item)
    bodies.append({"type": "response.completed", "response": response(*items)})
    numbered = [{**b, "sequence_number": i} for i, b in enumerate(bodies)]
    return streamed(*(f"event: {b['type']}\ndata: {json.dumps(b)}\n\n".encode() for b in numbered))


def test_an_ordinary_response_passes_as_it_is(client: openai.OpenAI, upstream: Upstream) -> None:
    made = response(message("Good morning."))
    upstream.script = lambda body: whole(made)
    raw = client.responses.with_raw_response.create(model="m", input="Hello", instructions="Be brief.", temperature=0)
    assert json.loads(raw.http_response.content) == made
    assert upstream.requests[-1] == {"model": "m", "input": "Hello", "instructions": "Be brief.", "temperature": 0}
    assert raw.headers["x-weir-action"] == "pass"


PLANTED: list[Any] = [
    {"input": "the bluebird"},
    {"instructions": "the bluebird"},
    {"input": [{"role": "user", "content": "the bluebird"}]},
    {"input": [{"role": "user", "content": [{"type": "input_text", "text": "the bluebird"}]}]},
    {
        "input": [
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "bluebird", "annotations": []}],
            }
        ]
    },
    {"input": [{"type": "function_call", "call_id": "c", "name": "n", "arguments": '{"a": "blueb\\u0069rd"}'}]},
    {"input": [{"type": "function_call_output", "call_id": "c", "output": "bluebird"}]},
    {"input": [{"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "bluebird"}]}]},
    {"input": [{"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "bluebird"}]}]},
    {"input": [{"type": "novelty", "deep": {"er": ["bluebird"]}}]},
    {"tools": [{"type": "function", "name": "n", "description": "asks the bluebird", "parameters": {}, "strict": False}]},
    {"text": {"format": {"type": "json_schema", "name": "bluebird", "schema": {}}}},
    {"extra_body": {"novelty": {"deep": "bluebird"}}},
]


@pytest.mark.parametrize("asked", PLANTED, ids=lambda a: json.dumps(a)[:60])
def test_a_block_wherever_text_stands(client: openai.OpenAI, upstream: Upstream, asked: Any) -> None:
    before = len(upstream.requests)
    with pytest.raises(openai.BadRequestError) as told:
        client.responses.create(**{"model": "m", "input": "Hello", **asked})
    assert told.value.code == "content_filter" and len(upstream.requests) == before


def test_what_the_provider_keeps_is_said_to_be_unseen(client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.script = lambda body: whole(response(message("Yes.")))
    raw = client.responses.with_raw_response.create(model="m", input="go on", previous_response_id="resp_0")
    assert raw.headers["x-weir-action"] == "flag"
    made = client.responses.create(model="refuse", input="go on", previous_response_id="resp_0")  # media: block
    assert made.output[0].content[0].refusal == "No, thank you."  # type: ignore[union-attr]


def test_redacted_and_cut_in_one_piece(client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.script = lambda body: whole(
        response(thought("mail a@b.example"), message("Write to joe@example.com."), call('{"to": "joe@example.com"}'))
    )
    made = client.responses.create(model="m", input="x")
    assert made.output_text == "Write to [EMAIL_1]."
    assert json.loads(made.output[2].arguments) == {"to": "[EMAIL_1]"}  # type: ignore[union-attr]
    assert "example" not in made.model_dump_json()
    upstream.script = lambda body: whole(response(message("It is the bluebird."), call("{}")))
    made = client.responses.create(model="m", input="x")
    assert (made.status, made.output_text, len(made.output)) == ("incomplete", "It is the ", 1)
    assert made.incomplete_details is not None and made.incomplete_details.reason == "content_filter"


def test_redacted_in_a_stream_wherever_it_is_repeated(client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.script = lambda body: events(
        thought("mail a@b.example"), message("Write to joe@example.com"), call('{"to": "joe@example.com"}')
    )
    with client.responses.stream(model="m", input="x") as stream:
        seen = [str(event) for event in stream]
        final = stream.get_final_response()
    assert not [event for event in seen if "example" in event]
    assert final.output_text == "Write to [EMAIL_1]"
    assert json.loads(final.output[2].arguments) == {"to": "[EMAIL_1]"}  # type: ignore[union-attr]


@pytest.mark.parametrize("place", ["text", "call", "thought", "repeat"])
def test_a_stream_is_cut_and_closed(client: openai.OpenAI, upstream: Upstream, place: str) -> None:
    items = {
        "text": [message("It is the bluebird, I say.")],
        "call": [message("One."), call('{"a": "the bluebird"}')],
        "thought": [thought("the bluebird"), message("Two.")],
        "repeat": [message("One.")],
    }[place]
    script = events(*items)
    if place == "repeat":  # the last event says something that the deltas did not
        bodies = events(message("One, and the bluebird."))
        script = [*script[:-3], *bodies[-3:]]
    upstream.script = lambda body: script
    with client.responses.stream(model="m", input="x") as stream:
        seen = [event.to_dict() for event in stream]
    assert "bird" not in json.dumps(seen)
    last: Any = seen[-1]
    assert last["type"] == "response.incomplete" and last["response"]["incomplete_details"] == {"reason": "content_filter"}
    if place == "text":
        assert last["response"]["output"][0]["content"][0]["text"] == "It is the "
    added = [e["output_index"] for e in seen if e["type"] == "response.output_item.added"]
    done = [e["output_index"] for e in seen if e["type"] == "response.output_item.done"]
    assert added == done


def test_a_stream_that_breaks_says_so(client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.script = lambda body: [*events(message("One two three"))[:11], 0.3, None]
    seen = list(client.responses.create(model="m", input="x", stream=True))
    assert seen[-1].type == "error" and seen[-1].code == "upstream_error"


def test_refuse_is_said_by_the_assistant(client: openai.OpenAI) -> None:
    made = client.responses.create(model="refuse", input="the bluebird")
    assert made.output[0].content[0].refusal == "No, thank you."  # type: ignore[union-attr]
    with client.responses.stream(model="refuse", input="the bluebird") as stream:
        seen = [event.to_dict() for event in stream]
    assert seen[-1]["response"]["output"][0]["content"][0]["refusal"] == "No, thank you."  # type: ignore[index]
