"""LangChain's ChatOpenAI: invoked, streamed, with tools bound, with structured output."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from tests.server.conftest import Upstream, Weir

from .conftest import client
from .test_openai import TOOLS, Person


@pytest.fixture
def model(weir: Weir) -> Any:
    chat: Any = client("langchain_openai")
    return chat.ChatOpenAI(base_url=f"{weir.url}/v1", api_key="anything", model="m", max_retries=0)


def test_invoked(model: Any, upstream: Upstream) -> None:
    assert model.invoke("hello, I am ann@example.com").content == "Good morning."
    assert "ann@" not in json.dumps(upstream.requests[-1])
    assert model.invoke("contact").content == "Write to [EMAIL_1]."
    cut = model.invoke("codename")
    assert (cut.content, cut.response_metadata["finish_reason"]) == ("It is the ", "content_filter")
    with pytest.raises(openai.BadRequestError):
        model.invoke("the bluebird")
    with pytest.raises(openai.NotFoundError):
        model.invoke("fail")


def test_streamed(model: Any) -> None:
    assert "".join(piece.content for piece in model.stream("contact")) == "Write to [EMAIL_1]."
    pieces = list(model.stream("codename"))
    assert "".join(piece.content for piece in pieces) == "It is the "
    assert "content_filter" in [piece.response_metadata.get("finish_reason") for piece in pieces]
    with pytest.raises(openai.BadRequestError):
        list(model.stream("the bluebird"))


def test_tools_and_structured_output(model: Any) -> None:
    asked = model.bind_tools(TOOLS).invoke("weather")
    assert asked.tool_calls[0]["args"] == {"city": "Paris", "mail": "[EMAIL_1]"}
    assert model.with_structured_output(Person).invoke("person") == Person(name="Joe", email="[EMAIL_1]")
