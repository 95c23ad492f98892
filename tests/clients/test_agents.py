"""OpenAI's agents framework: a run with a tool, over chat completions and over responses, streamed and not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from tests.server.conftest import Upstream, Weir

from .conftest import client


@pytest.fixture(params=["OpenAIChatCompletionsModel", "OpenAIResponsesModel"])
async def run(request: pytest.FixtureRequest, weir: Weir) -> AsyncIterator[Any]:
    agents: Any = client("agents")
    agents.set_tracing_disabled(True)
    seen: list[str] = []

    @agents.function_tool  # type: ignore[untyped-decorator]
    def get_weather(city: str, mail: str) -> str:
        """The weather in a city."""
        seen.append(f"{city} for {mail}")
        return go.result  # type: ignore[attr-defined, no-any-return]

    async with openai.AsyncOpenAI(base_url=f"{weir.url}/v1", api_key="anything", max_retries=0) as one:
        model = getattr(agents, request.param)(model="m", openai_client=one)
        agent = agents.Agent(name="Guide", instructions="Be brief.", model=model, tools=[get_weather])

        async def go(text: str, stream: bool = False) -> Any:
            if not stream:
                return (await agents.Runner.run(agent, text)).final_output
            result = agents.Runner.run_streamed(agent, text)
            async for _ in result.stream_events():
                pass
            return result.final_output

        go.seen, go.result = seen, "22 degrees, says ann@example.com"  # type: ignore[attr-defined]
        go.model, go.agents = request.param, agents  # type: ignore[attr-defined]
        yield go


@pytest.mark.parametrize("stream", [False, True])
async def test_a_run_with_a_tool(run: Any, upstream: Upstream, stream: bool) -> None:
    assert await run("weather", stream) == "Sunny."
    assert run.seen == ["Paris for [EMAIL_1]"]
    sent = json.dumps(upstream.requests[-1])
    assert "ann@example.com" not in sent and "22 degrees, says [EMAIL_" in sent
    assert await run("contact", stream) == "Write to [EMAIL_1]."
    with pytest.raises(openai.BadRequestError):
        await run("the bluebird", stream)
    with pytest.raises(openai.NotFoundError):
        await run("fail", stream)


async def test_what_a_tool_brings_is_blocked_before_the_model_reads_it(run: Any, upstream: Upstream) -> None:
    run.result = "the bluebird says it rains"
    with pytest.raises(openai.BadRequestError) as told:
        await run("weather")
    assert told.value.code == "content_filter" and run.seen
    assert run.result not in json.dumps(upstream.requests)


async def test_an_answer_is_cut(run: Any) -> None:
    """Of a chat completion the framework hands over what there is; a response that is incomplete is an error to it."""
    if run.model == "OpenAIChatCompletionsModel":
        assert await run("codename") == await run("codename", stream=True) == "It is the "
        return
    for stream in (False, True):
        with pytest.raises(run.agents.exceptions.ModelBehaviorError, match="content_filter"):
            await run("codename", stream)
