"""The openai package as people use it: chat and responses, awaited and not, helpers for streams, parsing and tools."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.server.conftest import Upstream, Weir

TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "strict": True,
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }
]
OWN: Any = [{"type": "function", **TOOLS[0]["function"]}]


class Person(BaseModel):
    name: str
    email: str


@pytest.fixture
def client(weir: Weir) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{weir.url}/v1", api_key="anything", max_retries=0) as one:
        yield one


def said(text: str) -> Any:
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize("stream", [False, True])
def test_chat(client: openai.OpenAI, upstream: Upstream, stream: bool) -> None:
    def ask(text: str) -> tuple[str, str | None]:
        if not stream:
            choice = client.chat.completions.create(model="m", messages=said(text)).choices[0]
            return choice.message.content or "", choice.finish_reason
        with client.chat.completions.stream(model="m", messages=said(text)) as events:
            choice = events.get_final_completion().choices[0]
        return choice.message.content or "", choice.finish_reason

    assert ask("hello, I am ann@example.com") == ("Good morning.", "stop")
    assert upstream.requests[-1]["messages"][0]["content"] == "hello, I am [EMAIL_1]"
    assert ask("contact") == ("Write to [EMAIL_1].", "stop")
    if stream:  # the helper raises, as it does for the provider's own filter
        with pytest.raises(openai.ContentFilterFinishReasonError):
            ask("codename")
    else:
        assert ask("codename") == ("It is the ", "content_filter")
    with pytest.raises(openai.BadRequestError) as told:
        ask("the bluebird")
    assert told.value.code == "content_filter" and told.value.param == "messages[0].content"
    with pytest.raises(openai.NotFoundError) as missing:
        ask("fail")
    assert missing.value.code == "model_not_found"


def test_chat_iterated(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="m", messages=said("codename"), stream=True, stream_options={"include_usage": True}
        )
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "It is the "
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "content_filter"
    assert chunks[-1].usage is not None and not chunks[-1].choices


@pytest.mark.parametrize("stream", [False, True])
def test_tools_and_parse(client: openai.OpenAI, stream: bool) -> None:
    if stream:
        with client.chat.completions.stream(model="m", messages=said("weather"), tools=TOOLS) as events:
            message = events.get_final_completion().choices[0].message
        with client.chat.completions.stream(model="m", messages=said("person"), response_format=Person) as events:
            parsed = events.get_final_completion().choices[0].message.parsed
    else:
        message = client.chat.completions.parse(model="m", messages=said("weather"), tools=TOOLS).choices[0].message
        parsed = (
            client.chat.completions.parse(model="m", messages=said("person"), response_format=Person).choices[0].message.parsed
        )
    assert message.tool_calls is not None
    assert json.loads(message.tool_calls[0].function.arguments) == {"city": "Paris", "mail": "[EMAIL_1]"}  # type: ignore[union-attr]
    assert parsed == Person(name="Joe", email="[EMAIL_1]")


@pytest.mark.parametrize("stream", [False, True])
def test_responses(client: openai.OpenAI, upstream: Upstream, stream: bool) -> None:
    def ask(text: str, **more: Any) -> Any:
        if not stream:
            return client.responses.create(model="m", input=text, **more)
        with client.responses.stream(model="m", input=text, **more) as events:
            for _ in events:
                pass
            return events.get_final_response()

    assert ask("hello, I am ann@example.com").output_text == "Good morning."
    assert upstream.requests[-1]["input"] == "hello, I am [EMAIL_1]"
    assert ask("contact").output_text == "Write to [EMAIL_1]."
    with pytest.raises(openai.BadRequestError) as told:
        ask("the bluebird")
    assert told.value.code == "content_filter"
    with pytest.raises(openai.NotFoundError):
        ask("fail")
    assert json.loads(ask("weather", tools=OWN).output[0].arguments) == {"city": "Paris", "mail": "[EMAIL_1]"}
    if stream:
        last = list(client.responses.create(model="m", input="codename", stream=True))[-1]
        assert last.type == "response.incomplete"
        cut = last.response
    else:
        cut = ask("codename")
    assert (cut.status, cut.incomplete_details.reason, cut.output_text) == ("incomplete", "content_filter", "It is the ")


def test_responses_parsed(client: openai.OpenAI) -> None:
    made = client.responses.parse(model="m", input="person", text_format=Person)
    assert made.output_parsed == Person(name="Joe", email="[EMAIL_1]")


async def test_awaited(weir: Weir) -> None:
    async with openai.AsyncOpenAI(base_url=f"{weir.url}/v1", api_key="anything", max_retries=0) as client:
        made = await client.chat.completions.create(model="m", messages=said("contact"))
        assert made.choices[0].message.content == "Write to [EMAIL_1]."
        stream = await client.chat.completions.create(model="m", messages=said("codename"), stream=True)
        chunks = [chunk async for chunk in stream]
        assert "".join(c.choices[0].delta.content or "" for c in chunks) == "It is the "
        assert chunks[-1].choices[0].finish_reason == "content_filter"
        with pytest.raises(openai.BadRequestError):
            await client.chat.completions.create(model="m", messages=said("the bluebird"), stream=True)
        answered = await client.responses.create(model="m", input="hello")
        assert answered.output_text == "Good morning."


def test_embeddings_and_moderations(client: openai.OpenAI) -> None:
    assert client.embeddings.create(model="m", input="hello", encoding_format="float").data[0].embedding == [0.5, 0.25]
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(model="m", input="the bluebird")
    assert len(client.moderations.create(input=["hello", "I will kill you"]).results) == 2


def test_real_values_come_back(client: openai.OpenAI, upstream: Upstream) -> None:
    """`restore: true`: the provider has names alone, and its answer has what they stand for."""
    given = said("hello, I am ann@example.com")
    assert client.chat.completions.create(model="restore", messages=given).choices[0].message.content == "Good morning."
    assert "ann@" not in json.dumps(upstream.requests[-1])
