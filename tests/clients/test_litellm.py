"""The litellm package as a client: Weir is one more OpenAI-compatible server to it, or Anthropic itself."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest

from tests.server.conftest import Upstream, Weir

from .conftest import client
from .test_openai import TOOLS

pytestmark = pytest.mark.filterwarnings("ignore")  # its own, about the libraries beneath it


@pytest.fixture(params=["openai", "anthropic"])
def ask(request: pytest.FixtureRequest, weir: Weir) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        litellm: Any = client("litellm")
    root = {"openai": f"{weir.url}/v1", "anthropic": weir.url}[request.param]

    def completion(text: str, **more: Any) -> Any:
        messages = [{"role": "user", "content": text}]
        asked = {
            "model": f"{request.param}/claude-m",
            "api_base": root,
            "api_key": "anything",
            "num_retries": 0,
            "max_tokens": 99,
        }
        return litellm.completion(messages=messages, **asked, **more)

    completion.litellm = litellm  # type: ignore[attr-defined]
    return completion


def test_whole(ask: Any, upstream: Upstream) -> None:
    assert ask("hello, I am ann@example.com").choices[0].message.content == "Good morning."
    assert "ann@" not in json.dumps(upstream.requests[-1]["messages"])
    assert ask("contact").choices[0].message.content == "Write to [EMAIL_1]."
    cut = ask("codename").choices[0]
    assert (cut.finish_reason, cut.message.content) == ("content_filter", "It is the ")
    call = ask("weather", tools=TOOLS).choices[0].message.tool_calls[0]
    assert json.loads(call.function.arguments) == {"city": "Paris", "mail": "[EMAIL_1]"}


def test_streamed(ask: Any) -> None:
    def text(chunks: list[Any]) -> str:
        return "".join(c.choices[0].delta.content or "" for c in chunks)

    assert text(list(ask("contact", stream=True))) == "Write to [EMAIL_1]."
    cut = list(ask("codename", stream=True))
    assert text(cut) == "It is the "
    assert [c.choices[0].finish_reason for c in cut if c.choices[0].finish_reason] == ["content_filter"]


def test_errors(ask: Any) -> None:
    with pytest.raises(ask.litellm.BadRequestError, match="codenames"):
        ask("the bluebird")
    with pytest.raises(ask.litellm.NotFoundError):
        ask("fail")
