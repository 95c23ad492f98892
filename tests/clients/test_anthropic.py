"""The anthropic package: create, the stream helper, tools, tokens counted, awaited."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from tests.server.conftest import Upstream, Weir

TOOLS: Any = [{"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]


@pytest.fixture
def client(weir: Weir) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=weir.url, api_key="anything", max_retries=0) as one:
        yield one


def said(text: str) -> Any:
    return {"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": text}]}


@pytest.mark.parametrize("stream", [False, True])
def test_messages(client: anthropic.Anthropic, upstream: Upstream, stream: bool) -> None:
    def ask(text: str, **more: Any) -> Any:
        if not stream:
            return client.messages.create(**said(text), **more)
        with client.messages.stream(**said(text), **more) as events:
            return events.get_final_message()

    assert ask("hello, I am ann@example.com").content[0].text == "Good morning."
    assert upstream.requests[-1]["messages"][0]["content"] == "hello, I am [EMAIL_1]"
    assert ask("contact").content[0].text == "Write to [EMAIL_1]."
    cut = ask("codename")
    assert (cut.stop_reason, cut.content[0].text) == ("refusal", "It is the ")
    assert ask("weather", tools=TOOLS).content[0].input == {"city": "Paris", "mail": "[EMAIL_1]"}
    with pytest.raises(anthropic.BadRequestError, match="codenames"):
        ask("the bluebird")
    with pytest.raises(anthropic.NotFoundError):
        ask("fail")


def test_a_conversation_with_a_tool(client: anthropic.Anthropic, upstream: Upstream) -> None:
    first = client.messages.create(**said("weather"), tools=TOOLS)
    turns: Any = [
        *said("weather")["messages"],
        {"role": "assistant", "content": first.content},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "22 degrees, says ann@example.com"}],
        },
    ]
    made: Any = client.messages.create(model="m", max_tokens=99, messages=turns, tools=TOOLS)
    assert made.content[0].text == "Sunny."
    assert upstream.requests[-1]["messages"][2]["content"][0]["content"].startswith("22 degrees, says [EMAIL_")
    turns[-1]["content"][0]["content"] = "the bluebird says so"
    with pytest.raises(anthropic.BadRequestError):
        client.messages.create(model="m", max_tokens=99, messages=turns, tools=TOOLS)


def test_tokens(client: anthropic.Anthropic) -> None:
    asked = {"model": "m", "messages": said("hello")["messages"]}
    assert client.messages.count_tokens(**asked).input_tokens == 7
    with pytest.raises(anthropic.BadRequestError):
        client.messages.count_tokens(model="m", messages=said("the bluebird")["messages"])


async def test_awaited(weir: Weir) -> None:
    async with anthropic.AsyncAnthropic(base_url=weir.url, api_key="anything", max_retries=0) as client:
        async with client.messages.stream(**said("contact")) as events:
            text = "".join([piece async for piece in events.text_stream])
        assert text == "Write to [EMAIL_1]."
