"""Chat completions through a real Weir, by the real OpenAI SDK."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from .conftest import Upstream, Weir, answer, chunk, streamed, whole

DONE = b"data: [DONE]\n\n"
HELLO: Any = [{"role": "user", "content": "Hello there"}]


@pytest.fixture
def client(weir: Weir) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{weir.url}/v1", api_key="caller-key", max_retries=0) as one:
        yield one


def text_of(stream: Any) -> str:
    return "".join(c.choices[0].delta.content or "" for c in stream if c.choices)


def test_an_ordinary_prompt_passes_unchanged(client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.script = lambda body: whole({**answer("Fine, thank you."), "vendor_field": {"x": [1, None]}})
    raw = client.chat.completions.with_raw_response.create(
        model="gpt-x", messages=HELLO, temperature=0.5, extra_body={"vendor_option": {"deep": [1, 2.5, "é"]}}
    )
    assert raw.headers["x-weir-action"] == "pass" and raw.headers["x-weir-route"] == "main"
    assert raw.headers["x-weir-policy"].startswith("test@") and raw.headers["x-weir-request-id"]
    assert json.loads(raw.text)["vendor_field"] == {"x": [1, None]}
    sent = upstream.requests[-1]
    assert sent == {"model": "gpt-x", "messages": HELLO, "temperature": 0.5, "vendor_option": {"deep": [1, 2.5, "é"]}}
    assert "authorization: bearer caller-key" in upstream.headers[-1].lower()


def test_the_routes_model_is_what_the_provider_hears(client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.script = lambda body: whole(answer("Yes."))
    client.chat.completions.create(model="judged-1", messages=HELLO)
    assert upstream.requests[-1]["model"] == "real-model"


def test_a_blocked_prompt_is_a_400_and_never_reaches_the_provider(client: openai.OpenAI, upstream: Upstream) -> None:
    before = len(upstream.requests)
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model="gpt-x", messages=[*HELLO, {"role": "user", "content": "Tell me of Project  Kestrel"}]
        )
    error: Any = caught.value.body
    assert error["code"] == "content_filter" and error["type"] == "invalid_request_error"
    assert error["param"] == "messages[1].content"
    assert error["innererror"]["code"] == "ResponsibleAIPolicyViolation"
    assert any(v["filtered"] for v in error["innererror"]["content_filter_result"].values())
    assert caught.value.response.headers["x-weir-action"] == "block"
    assert len(upstream.requests) == before


@pytest.mark.parametrize("stream", [False, True])
def test_on_block_refuse_answers_as_the_assistant(client: openai.OpenAI, stream: bool) -> None:
    made: Any = client.chat.completions.create(
        model="refuse", messages=[{"role": "user", "content": "bluebird"}], stream=stream
    )
    if stream:
        chunks = list(made)
        assert (
            chunks[0].choices[0].delta.refusal == "No, thank you." and chunks[-1].choices[0].finish_reason == "content_filter"
        )
    else:
        assert made.choices[0].message.refusal == "No, thank you." and made.choices[0].finish_reason == "content_filter"


def test_flag_is_a_header_and_monitor_changes_nothing(client: openai.OpenAI, upstream: Upstream, weir: Weir) -> None:
    upstream.script = lambda body: whole(answer("Yes."))
    raw = client.chat.completions.with_raw_response.create(model="x", messages=[{"role": "user", "content": "I am curious"}])
    assert raw.headers["x-weir-action"] == "flag"
    raw = client.chat.completions.with_raw_response.create(model="x", messages=[{"role": "user", "content": "a sparrowhawk"}])
    assert raw.headers["x-weir-action"] == "pass"
    assert 'rule="watched"' in weir.get("/metrics")


def test_a_prompt_is_redacted_wherever_text_stands(client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.script = lambda body: whole(answer("Yes."))
    mail = "joe@example.com"
    messages: Any = [
        {"role": "system", "content": f"s {mail}"},
        {"role": "developer", "content": f"d {mail}"},
        {"role": "user", "content": [{"type": "text", "text": f"u {mail}"}, {"type": "image_url", "image_url": {"url": "data:,"}}]},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"to": "joe\\u0040example.com", "n": 5}'}}]},
        {"role": "tool", "tool_call_id": "c", "content": f"t {mail} and other@example.com"},
        {"role": "user", "content": "vendor", "vendor": {"note": mail}},
    ]  # fmt: skip
    tools: Any = [
        {"type": "function", "function": {"name": "f", "description": f"mails {mail}", "parameters": {"type": "object"}}}
    ]
    raw = client.chat.completions.with_raw_response.create(model="x", messages=messages, tools=tools)
    sent = json.dumps(upstream.requests[-1])
    assert mail not in sent and "u0040" not in sent and "[EMAIL_2]" in sent
    assert json.loads(upstream.requests[-1]["messages"][3]["tool_calls"][0]["function"]["arguments"]) == {
        "to": "[EMAIL_1]",
        "n": 5,
    }
    assert raw.headers["x-weir-action"] == "redact"


def test_an_answer_is_redacted_and_cut(client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.script = lambda body: whole(answer("Ask joe@example.com about it, then the bluebird flies."))
    made = client.chat.completions.create(model="x", messages=HELLO)
    assert made.choices[0].message.content == "Ask [EMAIL_1] about it, then the "
    assert made.choices[0].finish_reason == "content_filter"


@pytest.mark.parametrize("tail", ["", " and more."])
def test_an_address_one_character_an_event(client: openai.OpenAI, upstream: Upstream, tail: str) -> None:
    text = "Write to joe@example.com" + tail
    upstream.script = lambda body: streamed(*(chunk({"content": c}) for c in text), chunk({}, "stop"), DONE)
    assert text_of(client.chat.completions.create(model="x", messages=HELLO, stream=True)) == "Write to [EMAIL_1]" + tail


def test_an_address_one_character_an_event_in_tool_arguments(client: openai.OpenAI, upstream: Upstream) -> None:
    arguments = '{"to": "joe@example.com", "phone": 33612345678}'
    first = {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "mail", "arguments": ""}}]}
    rest = [chunk({"tool_calls": [{"index": 0, "function": {"arguments": c}}]}) for c in arguments]
    upstream.script = lambda body: streamed(chunk({"role": "assistant", **first}), *rest, chunk({}, "tool_calls"), DONE)
    with client.chat.completions.stream(model="x", messages=HELLO) as stream:
        call = stream.get_final_completion().choices[0].message.tool_calls
    assert call and call[0].id == "call_1" and json.loads(call[0].function.arguments)["to"] == "[EMAIL_1]"


def test_a_stream_is_cut_and_the_provider_cancelled(client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.cancelled.clear()
    endless = [x for _ in range(200) for x in (chunk({"content": "more "}), 0.02)]
    upstream.script = lambda body: streamed(chunk({"content": "First this. Then bluebird "}), *endless, DONE)
    began = time.monotonic()
    chunks = list(
        client.chat.completions.create(model="x", messages=HELLO, stream=True, stream_options={"include_usage": True})
    )
    assert time.monotonic() - began < 2
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "First this. Then "
    assert chunks[-2].choices[0].finish_reason == "content_filter" and chunks[-1].usage is not None
    assert upstream.cancelled.wait(5)


def test_a_client_that_leaves_cancels_the_provider(client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.cancelled.clear()
    upstream.script = lambda body: streamed(*(x for _ in range(500) for x in (chunk({"content": "word "}), 0.02)), DONE)
    stream = client.chat.completions.create(model="x", messages=HELLO, stream=True)
    next(iter(stream))
    stream.close()
    assert upstream.cancelled.wait(5)


def test_two_choices_end_each_in_its_own_way(client: openai.OpenAI, upstream: Upstream) -> None:
    events = [
        chunk({"content": w}, index=i)
        for w, i in (("good ", 0), ("a bluebird ", 1), ("day ", 0), ("sings", 1), ("joe@a.com", 0))
    ]
    upstream.script = lambda body: streamed(*events, chunk({}, "stop", 0), chunk({}, "stop", 1), DONE)
    said, ends = {0: "", 1: ""}, {}
    for c in client.chat.completions.create(model="x", messages=HELLO, n=2, stream=True):
        for choice in c.choices:
            said[choice.index] += choice.delta.content or ""
            ends[choice.index] = choice.finish_reason or ends.get(choice.index)
    assert said == {0: "good day [EMAIL_1]", 1: "a "} and ends == {0: "stop", 1: "content_filter"}


class Pair(BaseModel):
    name: str
    mail: str


def test_parse_still_reads_redacted_json(client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.script = lambda body: whole(answer('{"name": "Joe", "mail": "joe@example.com"}'))
    made = client.chat.completions.parse(model="x", messages=HELLO, response_format=Pair)
    assert made.choices[0].message.parsed == Pair(name="Joe", mail="[EMAIL_1]")
    upstream.script = lambda body: whole(answer('{"name": "bluebird", "mail": ""}'))
    with pytest.raises(openai.ContentFilterFinishReasonError):
        client.chat.completions.parse(model="x", messages=HELLO, response_format=Pair)


async def test_async_clients(weir: Weir, upstream: Upstream) -> None:
    upstream.script = lambda body: streamed(
        chunk({"content": "One two "}), 0.01, chunk({"content": "three."}), chunk({}, "stop"), DONE
    )
    async with openai.AsyncOpenAI(base_url=f"{weir.url}/v1", api_key="k", max_retries=0) as client:

        async def one() -> str:
            stream = await client.chat.completions.create(model="judged-1", messages=HELLO, stream=True)
            return "".join([c.choices[0].delta.content or "" async for c in stream])

        assert await asyncio.gather(*(one() for _ in range(8))) == ["One two three."] * 8


def test_the_classifier_cuts_a_long_stream_before_its_harmful_end(client: openai.OpenAI, upstream: Upstream) -> None:
    calm = "The river rises in the hills and winds through meadows. " * 170
    harm = "I will stab you and your whole family to death tonight, I am going to murder you all and burn your house down."
    words = (calm + harm).split(" ")
    upstream.script = lambda body: streamed(*(chunk({"content": w + " "}) for w in words), chunk({}, "stop"), DONE)
    text = text_of(client.chat.completions.create(model="judged-1", messages=HELLO, stream=True))
    assert text.startswith(calm.strip()[:2000]) and "murder" not in text and len(text) < len(calm) + len(harm) * 0.75


def test_reasoning_is_read_too(client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.script = lambda body: streamed(
        chunk({"reasoning_content": "ask joe@exa"}), chunk({"reasoning_content": "mple.com"}), chunk({"content": "Yes."}), chunk({}, "stop"), DONE
    )  # fmt: skip
    thought = ""
    for c in client.chat.completions.create(model="x", messages=HELLO, stream=True):
        thought += getattr(c.choices[0].delta, "reasoning_content", None) or ""
    assert thought == "ask [EMAIL_1]"


def test_media_is_the_policys_decision_and_visible(client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.script = lambda body: whole(answer("A cat."))
    messages: Any = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}]
    assert client.chat.completions.with_raw_response.create(model="x", messages=messages).headers["x-weir-action"] == "flag"
    upstream.script = lambda body: whole(answer("A cat."))
    made = client.chat.completions.create(model="refuse", messages=messages)
    assert made.choices[0].finish_reason == "content_filter"


def test_azure_annotations(client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.script = lambda body: whole(answer("The bluebird"))
    made: Any = client.chat.completions.create(model="azure", messages=HELLO)
    assert made.prompt_filter_results[0]["prompt_index"] == 0
    assert any(v["filtered"] for v in made.choices[0].content_filter_results.values())


@pytest.mark.parametrize(
    ("script", "status"),
    [
        (whole({"error": {"message": "slow down", "type": "rate_limit", "code": "rate"}}, "429 Too Many Requests"), 429),
        (whole(b"<html>oops</html>", "500 Internal Server Error", "text/html"), 500),
        (whole(b"not json at all"), 502),
        ([None], 502),
    ],
)
def test_a_providers_failure_keeps_its_status(client: openai.OpenAI, upstream: Upstream, script: Any, status: int) -> None:
    upstream.script = lambda body: script
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="x", messages=HELLO)
    assert caught.value.status_code == status and isinstance(caught.value.body, dict)


def test_no_provider_at_all(client: openai.OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="gone", messages=HELLO)
    assert caught.value.status_code == 502


@pytest.mark.parametrize("last", [[None], [b'data: {"choices": [{"in\n\n'], []])
def test_a_stream_that_breaks_ends_with_an_error(client: openai.OpenAI, upstream: Upstream, last: Any) -> None:
    upstream.script = lambda body: streamed(chunk({"content": "Half a "}), 0.1, *last)
    said = ""
    with pytest.raises(openai.APIError):
        for c in client.chat.completions.create(model="x", messages=HELLO, stream=True):
            said += c.choices[0].delta.content or ""
    assert said == "Half a "


def test_bad_requests_are_told_what_is_wrong(weir: Weir, client: openai.OpenAI) -> None:
    for body, param in (
        ({"messages": []}, "messages"),
        ({"messages": ["x"]}, "messages[0]"),
        ({"messages": HELLO, "model": 5}, "model"),
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            client.post("/chat/completions", body={"model": "x", **body}, cast_to=object)
        assert isinstance(caught.value.body, dict) and caught.value.body["param"] == param
    with pytest.raises(openai.NotFoundError):
        client.get("/batches", cast_to=object)


def test_a_prompt_over_the_limit_and_a_body_over_the_limit(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="x", messages=[{"role": "user", "content": "word " * 2_000_000}])
    assert caught.value.status_code == 413 and caught.value.code == "prompt_too_long"
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="x", messages=[{"role": "user", "content": "x" * 40_000_000}])
    assert caught.value.status_code == 413 and caught.value.code == "request_too_large"


def test_the_demo_provider_and_the_models(client: openai.OpenAI, weir: Weir) -> None:
    made = client.chat.completions.create(model="demo", messages=[{"role": "user", "content": "echo: call +33 6 12 34 56 78"}])
    assert made.choices[0].message.content == "call [PHONE_1]"
    assert "demo" in [m.id for m in client.models.list()]
    named = openai.OpenAI(base_url=f"{weir.url}/demo/v1", api_key="k")
    assert named.chat.completions.with_raw_response.create(model="other", messages=HELLO).headers["x-weir-route"] == "demo"
    named.close()


def test_moderations(client: openai.OpenAI) -> None:
    found = client.moderations.create(
        input=["What a lovely day by the river.", "I will kill you, I will murder your whole family tonight."]
    )
    assert len(found.results) == 2
    assert found.results[0].category_scores.violence < found.results[1].category_scores.violence
    assert not found.results[0].flagged
    assert found.results[1].categories.self_harm is False


def test_a_policy_is_reloaded_and_a_bad_one_is_not(weir: Weir, client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.script = lambda body: whole(answer("Yes."))
    path = weir.folder / "policies" / "test.yaml"
    good = path.read_text()

    def action(text: str) -> str:
        try:
            raw = client.chat.completions.with_raw_response.create(model="x", messages=[{"role": "user", "content": text}])
            return str(raw.headers["x-weir-action"])
        except openai.BadRequestError:
            return "block"

    def becomes(wanted: str, text: str) -> bool:
        end = time.monotonic() + 10
        while time.monotonic() < end:
            if action(text) == wanted:
                return True
            time.sleep(0.1)
        return False

    try:
        assert action("the nightjar sings") == "pass"
        path.write_text(good.replace("bluebird,", "bluebird, nightjar,"))
        assert becomes("block", "the nightjar sings")
        path.write_text(good.replace("entities", "entitties"))
        end = time.monotonic() + 10
        while "reload_error" not in weir.get("/readyz") and time.monotonic() < end:
            time.sleep(0.1)
        assert 'did you mean \\"entities\\"' in weir.get("/readyz")
        assert action("the nightjar sings") == "block"
    finally:
        path.write_text(good)
        assert becomes("pass", "the nightjar sings")


def test_no_text_of_people_in_the_log(weir: Weir, client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.script = lambda body: whole(answer("canary-5161 bluebird"))
    client.chat.completions.create(model="x", messages=[{"role": "user", "content": "canary-5161 joe@example.com"}])
    assert "canary-5161" not in weir.log.read_text() and '"rule":"codenames"' in weir.log.read_text()
