"""Providers of other tongues through a real Weir, by the SDKs of those who ask: what litellm makes of Anthropic, Gemini and
Bedrock is answered, inspected and blocked like any other answer."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from tests.server.conftest import POLICY, Weir, free_port, running
from tests.upstream.client import Clients, heard
from tests.upstream.foreign import CITY, THOUGHT, Foreign, serving
from tests.upstream.speech import TEXT

if importlib.util.find_spec("litellm") is None and not os.environ.get("WEIR_CI"):
    pytest.skip("needs the litellm extra", allow_module_level=True)

CONFIG = """
version: 1
providers:
  claude: {{type: litellm, model: "anthropic/claude-sonnet-4-5", api_key: "sk-ant-upstream", base_url: "http://127.0.0.1:{port}",
            retries: {{attempts: 0}}, ejection: {{failures: 100000}}}}
  gemini: {{type: litellm, model: "gemini/*", api_key: "gemini-upstream", base_url: "http://127.0.0.1:{port}",
            retries: {{attempts: 0}}, ejection: {{failures: 100000}}}}
  bedrock: {{type: litellm, model: "bedrock/anthropic.claude-3-5-sonnet-20241022-v2:0", retries: {{attempts: 0}},
            ejection: {{failures: 100000}}, options: {{aws_access_key_id: AKUPSTREAM, aws_secret_access_key: secret-upstream,
            aws_region_name: eu-west-1, aws_bedrock_runtime_endpoint: "http://127.0.0.1:{port}"}}}}
  chatty: {{type: openai, base_url: "http://127.0.0.1:{port}/v1", api_key: "sk-upstream", translate: [messages, responses],
            retries: {{attempts: 0}}, ejection: {{failures: 100000}}}}
  native: {{type: anthropic, base_url: "http://127.0.0.1:{port}/v1", api_key: "sk-ant-upstream", translate: [chat/completions],
            retries: {{attempts: 0}}, ejection: {{failures: 100000}}}}
  azure: {{type: azure, base_url: "http://127.0.0.1:{port}", api_key: "azure-upstream", model: my deployment, retries: {{attempts: 0}},
            ejection: {{failures: 100000}}, api_version: 2024-10-21, translate: [messages, responses]}}
  azure-v1: {{type: azure, base_url: "http://127.0.0.1:{port}/openai/v1", api_key: "azure-upstream", retries: {{attempts: 0}},
            ejection: {{failures: 100000}}}}
  real: {{type: openai, base_url: "http://127.0.0.1:{real}/v1", api_key: "sk-real", translate: [messages, responses],
          retries: {{attempts: 0}}, ejection: {{failures: 100000}}}}
  through: {{type: litellm, model: "openai/*", base_url: "http://127.0.0.1:{real}/v1", api_key: "sk-real",
             retries: {{attempts: 0}}, ejection: {{failures: 100000}}}}
  callers: {{type: openai, base_url: "http://127.0.0.1:{port}/v1", translate: [messages], retries: {{attempts: 0}}}}
routes:
  - {{name: claude, match: {{model: claude}}, provider: claude, policy: test}}
  - {{name: gemini, match: {{model: gemini}}, provider: gemini, model: gemini-2.5-flash, policy: test}}
  - {{name: bedrock, match: {{model: bedrock}}, provider: bedrock, policy: test}}
  - {{name: chatty, match: {{model: chatty}}, provider: chatty, policy: test}}
  - {{name: native, match: {{model: native}}, provider: native, model: claude-sonnet-4-5, policy: test}}
  - {{name: strict, match: {{model: strict}}, provider: gemini, model: gemini-2.5-flash, policy: strict}}
  - {{name: azure, match: {{model: azure}}, provider: azure, policy: test}}
  - {{name: azure-v1, match: {{model: azure-v1}}, provider: azure-v1, policy: test}}
  - {{name: real, match: {{model: river}}, provider: real, policy: test}}
  - {{name: nowhere, match: {{model: nowhere}}, provider: real, policy: test}}
  - {{name: through, match: {{model: through}}, provider: through, model: river, policy: test}}
  - {{name: callers, match: {{model: callers}}, provider: callers, policy: test}}
"""
SYSTEMS = ("claude", "gemini", "bedrock", "chatty", "native", "azure")
SECRETS = ("azure-upstream", "sk-ant-upstream", "gemini-upstream", "secret-upstream", "AKUPSTREAM", "sk-upstream")


@pytest.fixture(scope="module")
def foreign() -> Foreign:
    return Foreign()


@pytest.fixture(scope="module")
def real() -> int:
    """The port of the server that is not ours."""
    return free_port()


@pytest.fixture(scope="module")
def weir(foreign: Foreign, real: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weir]:
    strict = POLICY.replace("name: test", "name: strict").replace("[bluebird,", "[meadows,")
    folder = tmp_path_factory.mktemp("foreign")
    with serving(foreign) as port, running(folder, CONFIG.format(port=port, real=real), test=POLICY, strict=strict) as one:
        yield one


@pytest.fixture(scope="module")
def river(real: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """litellm's own proxy, which WEIR_LITELLM_PROXY names, with a model `river` that says `TEXT`."""
    program = os.environ.get("WEIR_LITELLM_PROXY")
    if program is None:
        if os.environ.get("WEIR_CI"):
            pytest.fail("WEIR_LITELLM_PROXY must name the `litellm` of an environment with litellm[proxy]")
        pytest.skip("needs litellm[proxy]: set WEIR_LITELLM_PROXY")
    folder = tmp_path_factory.mktemp("river")
    known = {"model": "openai/mock", "api_key": "none", "mock_response": TEXT}
    settings = {"model_list": [{"model_name": "river", "litellm_params": known}], "general_settings": {"master_key": "sk-real"}}
    (folder / "config.yaml").write_text(json.dumps(settings))
    command = [program, "--config", "config.yaml", "--host", "127.0.0.1", "--port", str(real)]
    offline = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=offline)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{real}/health/liveliness", timeout=5):
            break
        time.sleep(0.2)
    else:
        process.kill()
        process.wait()
        pytest.fail((folder / "log").read_text()[-2000:])
    yield
    process.kill()
    process.wait(30)


@pytest.fixture
def client(weir: Weir) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{weir.url}/v1", api_key="caller-key", max_retries=0) as one:
        yield one


@pytest.fixture
def claude(weir: Weir) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=weir.url, api_key="caller-key", max_retries=0) as one:
        yield one


def apis_of(system: str) -> tuple[str, ...]:
    both = ("chat", "messages")
    return (
        both
        if system == "native"
        else (*both, "responses")
        if system in ("chatty", "azure")
        else (*both, "responses", "completions")
    )


def said(words: str) -> Any:
    return [{"role": "user", "content": words}]


TOOL: Any = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
CLAUDES_TOOL: Any = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_text_in_every_api(weir: Weir, system: str, stream: bool) -> None:
    async with Clients(weir.url, system) as clients:
        for api in apis_of(system):
            outcome = await clients.ask(api, stream)
            assert (outcome.status, outcome.broken) == (200, False), (api, outcome)
            assert outcome.text.strip() == TEXT.strip(), api


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_tool_is_called(client: openai.OpenAI, foreign: Foreign, system: str) -> None:
    made = client.chat.completions.create(model=system, messages=said("tool please"), tools=[TOOL])
    (call,) = made.choices[0].message.tool_calls or []
    assert call.type == "function" and (call.function.name, json.loads(call.function.arguments)) == ("weather", CITY)
    assert made.choices[0].finish_reason == "tool_calls"
    assert "weather" in json.dumps(foreign.requests[-1][2]["tools" if system != "bedrock" else "toolConfig"])
    name, arguments, finish = "", "", ""
    for chunk in client.chat.completions.create(model=system, messages=said("tool please"), tools=[TOOL], stream=True):
        for choice in chunk.choices:
            finish = choice.finish_reason or finish
            for piece in choice.delta.tool_calls or []:
                assert piece.function is not None
                name, arguments = name or piece.function.name or "", arguments + (piece.function.arguments or "")
    assert (name, json.loads(arguments), finish) == ("weather", CITY, "tool_calls")


@pytest.mark.parametrize("system", SYSTEMS)
def test_anthropics_clients_see_the_tool_too(claude: anthropic.Anthropic, system: str) -> None:
    asked: Any = {"model": system, "max_tokens": 99, "messages": said("tool please"), "tools": [CLAUDES_TOOL]}
    made = claude.messages.create(**asked)
    with claude.messages.stream(**asked) as stream:
        for one in (made, stream.get_final_message()):
            assert one.stop_reason == "tool_use"
            (used,) = [block for block in one.content if block.type == "tool_use"]
            assert (used.name, used.input) == ("weather", CITY)
            assert one.usage.output_tokens == 7


@pytest.mark.parametrize("system", SYSTEMS)
def test_reasoning_and_usage(client: openai.OpenAI, system: str) -> None:
    asked: Any = {"model": system, "messages": said("think, please")}
    message: Any = (made := client.chat.completions.create(**asked)).choices[0].message
    assert (message.content or "").strip() == TEXT.strip() and message.reasoning_content == THOUGHT
    assert made.usage is not None and (made.usage.prompt_tokens, made.usage.completion_tokens) == (5, 7)
    reasoning, usage = "", None
    for chunk in client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            reasoning += getattr(choice.delta, "reasoning_content", None) or ""
    assert reasoning == THOUGHT
    assert usage is not None and (usage.prompt_tokens, usage.completion_tokens) == (5, 7)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
async def test_an_error_keeps_its_status(weir: Weir, system: str, status: int) -> None:
    async with Clients(weir.url, system, f"fail {status}") as clients:
        for api in apis_of(system):
            for stream in (False, True):
                outcome = await clients.ask(api, stream)
                told = json.dumps(outcome.error)
                assert outcome.status == status, (api, stream, outcome)
                assert "No, not with" in told and not any(secret in told for secret in SECRETS), told
                if status == 429:
                    assert outcome.headers["retry-after"] == "7"


@pytest.mark.parametrize("system", SYSTEMS)
async def test_a_stream_that_breaks_says_so(weir: Weir, system: str) -> None:
    async with Clients(weir.url, system, "break, please") as clients:
        for api in ("chat", "messages"):
            heard.clear()
            outcome = await clients.ask(api, True)
            assert outcome.broken and outcome.status == 200 and TEXT.startswith(outcome.text) and outcome.text, (api, outcome)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_prompt_is_redacted_before_it_is_translated(client: openai.OpenAI, foreign: Foreign, system: str) -> None:
    client.chat.completions.create(model=system, messages=said("write to joe@example.com"))
    sent = json.dumps(foreign.requests[-1][2])
    assert "[EMAIL_1]" in sent and "joe@example.com" not in sent


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_callers_trace_goes_on(client: openai.OpenAI, claude: anthropic.Anthropic, foreign: Foreign, system: str) -> None:
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    before = len(foreign.requests)
    client.chat.completions.create(model=system, messages=said("Hello"), extra_headers=trace)
    claude.messages.create(model=system, max_tokens=9, messages=said("Hello"), extra_headers=trace)
    if system != "native":  # it is asked for no responses here
        client.responses.create(model=system, input="Hello", extra_headers=trace)
    asked = foreign.requests[before:]
    assert len(asked) >= 2 and {headers["traceparent"] for _, headers, _ in asked} == {trace["traceparent"]}


async def test_an_answer_is_judged_after_it_was_translated(weir: Weir, client: openai.OpenAI) -> None:
    text, finish = "", None
    for chunk in client.chat.completions.create(model="strict", messages=said("The river?"), stream=True):
        for choice in chunk.choices:
            text, finish = text + (choice.delta.content or ""), choice.finish_reason or finish
    whole = client.chat.completions.create(model="strict", messages=said("The river?")).choices[0]
    assert finish == whole.finish_reason == "content_filter"
    assert text == whole.message.content == TEXT[: TEXT.index("meadows")]


def test_embeddings(client: openai.OpenAI) -> None:
    made = client.embeddings.create(model="gemini", input=["one"], encoding_format="float")
    assert made.data[0].embedding == [0.25, 0.5]


def test_where_a_request_goes_is_not_the_callers_to_say(client: openai.OpenAI, foreign: Foreign) -> None:
    before = len(foreign.requests)
    for field in ("api_base", "base_url", "api_key", "mock_response", "custom_llm_provider", "extra_headers"):
        with pytest.raises(openai.BadRequestError) as told:
            client.chat.completions.create(model="gemini", messages=said("Hello"), extra_body={field: "http://127.0.0.1:1"})
        assert (told.value.code, told.value.param) == ("unsupported_parameter", field)
    with pytest.raises(openai.BadRequestError) as told:
        client.responses.create(model="claude", input="Go on", previous_response_id="resp_1")
    assert told.value.param == "previous_response_id"
    assert len(foreign.requests) == before


def test_the_callers_key_goes_on_where_the_provider_has_none(weir: Weir, claude: anthropic.Anthropic, foreign: Foreign) -> None:
    claude.messages.create(model="callers", max_tokens=9, messages=said("Hello"))
    assert foreign.requests[-1][1]["authorization"] == "Bearer caller-key"


def test_tokens_are_counted(claude: anthropic.Anthropic) -> None:
    def count(system: str) -> int:
        return claude.messages.count_tokens(model=system, messages=said("How many are these?")).input_tokens

    assert (count("claude"), count("native")) == (11, 11)  # by Anthropic itself
    assert 3 < count("chatty") < 20  # there is nobody to ask


@pytest.mark.parametrize("system", ["claude", "gemini", "bedrock"])
def test_a_client_that_hangs_up_ends_the_providers_work(client: openai.OpenAI, foreign: Foreign, system: str) -> None:
    before = foreign.cancelled
    with client.chat.completions.create(model=system, messages=said("slow, please"), stream=True) as stream:
        next(iter(stream))
    deadline = time.monotonic() + 20
    while foreign.cancelled == before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert foreign.cancelled == before + 1


def test_nothing_is_left_running(weir: Weir, client: openai.OpenAI) -> None:
    """After all of the above litellm has a worker of its own and no more."""
    client.chat.completions.create(model="gemini", messages=said("Hello"))
    deadline = time.monotonic() + 20
    while (tasks := float(re.findall(r"^weir_tasks (\S+)$", weir.get("/metrics"), re.MULTILINE)[0])) > 6:
        assert time.monotonic() < deadline, f"{tasks} tasks"
        time.sleep(0.1)


def test_azures_places_and_keys(client: openai.OpenAI, foreign: Foreign) -> None:
    for model, place in (
        ("azure", "/openai/deployments/my%20deployment/chat/completions?api-version=2024-10-21"),
        ("azure-v1", "/openai/v1/chat/completions"),
    ):
        made = client.chat.completions.create(model=model, messages=said("Hello"))
        assert (made.choices[0].message.content or "").strip() == TEXT.strip()
        path, headers, _ = foreign.requests[-1]
        assert (path, headers["api-key"], "authorization" in headers) == (place, "azure-upstream", False)


# -- a server that is not ours


@pytest.mark.parametrize("model", ["river", "through"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_server_that_is_not_ours(weir: Weir, river: None, model: str, stream: bool) -> None:
    async with Clients(weir.url, model) as clients:
        for api in ("chat", "messages", "responses", "completions") if model == "river" else ("chat", "completions"):
            outcome = await clients.ask(api, stream)
            assert (outcome.status, outcome.broken, outcome.text.strip()) == (200, False, TEXT.strip()), (api, outcome)


async def test_what_it_refuses_is_refused_as_it_says(weir: Weir, river: None) -> None:
    async with Clients(weir.url, "nowhere") as clients:
        for api in ("chat", "messages"):
            outcome = await clients.ask(api, False)
            assert outcome.status == 400 and "Invalid model name" in json.dumps(outcome.error), (api, outcome)


def test_its_models_are_listed(client: openai.OpenAI, river: None) -> None:
    assert {"river", "gemini", "claude"} <= {one.id for one in client.models.list()}
