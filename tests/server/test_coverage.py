"""A marked violation in every field that an API's readers declare, in a real request to a real Weir, streamed and not: it is
caught, or passes where the declaration says so. The file that tells people so is written from the same declarations."""

from __future__ import annotations

import copy
import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.wire.api import Api
from proxy.wire.apis import APIS
from proxy.wire.coverage import main, written
from proxy.wire.form import Form, How

from .conftest import POLICY, Upstream, Weir, running, streamed, whole
from .test_responses import events as response_events
from .test_responses import message as response_message
from .test_responses import response

BLOCKED, PRIVATE = "the bluebird sings at night", "please write to joe@example.com today"
PROMPTS: dict[str, dict[str, Any]] = {
    "chat/completions": {"messages": [{"role": "user", "content": "Hello"}]},
    "completions": {"prompt": "Hello"},
    "embeddings": {"input": "Hello"},
    "responses": {"input": "Hello"},
    "messages": {"max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]},
    "messages/count_tokens": {"messages": [{"role": "user", "content": "Hello"}]},
}
ANSWERS: dict[str, dict[str, Any]] = {
    "chat/completions": {"choices": [{"index": 0, "message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"}]},
    "completions": {"choices": [{"index": 0, "text": "fine", "finish_reason": "stop"}]},
    "embeddings": {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}], "model": "m"},
    "responses": response(response_message("fine")),
    "messages": {
        "id": "m1", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "fine"}],
        "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
    },
    "messages/count_tokens": {"input_tokens": 7},
}  # fmt: skip
MESSAGE_EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": {**ANSWERS["messages"], "content": [], "stop_reason": None}},
    {"type": "ping"},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "fine"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 1}},
    {"type": "message_stop"},
]
RESPONSE_EVENTS: list[dict[str, Any]] = [
    json.loads(match[1])
    for piece in response_events(response_message("fine"))
    if isinstance(piece, bytes) and (match := re.search(rb"\ndata: (.*)\n\n", piece))
]
ENDED = {
    "chat/completions": "content_filter",
    "completions": "content_filter",
    "responses": "content_filter",
    "messages": "refusal",
}


@pytest.fixture(scope="module")
def strict(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weir]:
    """One route that flags media and looks into the unknown, one that refuses both."""
    config = f"""
version: 1
providers: {{fake: {{type: openai, base_url: "http://127.0.0.1:{upstream.port}/v1"}}}}
routes:
  - {{name: strict, match: {{model: "strict*"}}, provider: fake, policy: strict}}
  - {{name: main, provider: fake, policy: test}}
"""
    harder = POLICY.replace("name: test", "name: strict\nunknown_fields: block").replace("media: flag", "media: block")
    with running(tmp_path_factory.mktemp("coverage"), config, test=POLICY, strict=harder) as one:
        yield one


class Door:
    """One connection to a Weir with a scripted provider behind it."""

    def __init__(self, weir: Weir, upstream: Upstream) -> None:
        self._host, self.upstream = weir.url.removeprefix("http://"), upstream
        self._connection = http.client.HTTPConnection(self._host, timeout=20)

    def ask(self, path: str, body: dict[str, Any], root: str = "/v1") -> tuple[int, str, str]:
        """(status, what it has decided of the prompt, body)"""
        try:
            self._connection.request("POST", f"{root}/{path}", json.dumps(body), {"content-type": "application/json"})
            answer = self._connection.getresponse()
            return answer.status, answer.headers["x-weir-action"] or "", answer.read().decode()
        except (OSError, http.client.HTTPException) as problem:
            self._connection.close()
            return 0, "", repr(problem)

    def close(self) -> None:
        self._connection.close()

    def sent(self) -> str:
        return json.dumps(self.upstream.requests[-1])


@pytest.fixture(scope="module")
def door(strict: Weir, upstream: Upstream) -> Iterator[Door]:
    one = Door(strict, upstream)
    yield one
    one.close()


def holder(body: dict[str, Any], place: str) -> dict[str, Any]:
    """The object at a declared place, made where it is not there yet."""
    for step in re.findall(r"([a-z_]+)(\[\w*\]|\{\w+\})?", place):
        name, kind = step
        inner: Any = {"type": kind[1:-1]} if kind[1:-1] else {}
        found = body.get(name)
        if kind.startswith("["):
            if kind == "[]" and isinstance(found, list) and found and isinstance(found[0], dict):
                inner = found[0]
            else:
                body[name] = [inner]
        elif not kind and isinstance(found, dict):
            inner = found
        else:
            body[name] = inner
        body = inner
    return body


def value_of(name: str, how: How, text: str) -> Any:
    if how is How.JSON:
        return {"a": [text]} if name == "input" else json.dumps({"a": [text]})
    return text


def plant(body: dict[str, Any], one: Form, name: str, text: str, path: str) -> dict[str, Any]:
    """A copy of the body with the text in one field."""
    body = copy.deepcopy(body)
    at = holder(body, one.place)
    how = one.how[name]
    if how is How.REPEAT:
        at[name] = {
            "chat/completions": {"content": [{"token": text, "logprob": -1.0, "top_logprobs": []}]},
            "completions": {"tokens": [text], "token_logprobs": [-1.0]},
        }.get(path, [{"token": text, "logprob": -1.0, "top_logprobs": []}])
    else:
        at[name] = value_of(name, how, text)
    return body


def fields(api: Api, body: str) -> Iterator[tuple[Form, str, How]]:
    for one in api.forms:
        if body in one.bodies:
            yield from ((one, name, how) for name, how in one.how.items())


STREAMED = [api for api in APIS if any("stream" in one.bodies for one in api.forms)]
every = pytest.mark.parametrize("api", APIS, ids=lambda api: api.path)


@pytest.mark.parametrize("api, stream", [*((api, False) for api in APIS), *((api, True) for api in STREAMED)])
def test_every_field_of_a_prompt(door: Door, upstream: Upstream, api: Api, stream: bool) -> None:
    first = next(one for one in api.forms if stream == ("stream" in one.bodies))
    plain = events_of(api.path, first, event_with(api.path, first)) if stream else whole(ANSWERS[api.path])
    upstream.script = lambda body: plain if body.get("stream") is True or not stream else whole(ANSWERS[api.path])
    wrong = []
    for one, name, how in fields(api, "prompt"):
        base = {"model": "m", **PROMPTS[api.path], **({"stream": True} if stream else {})}
        place = f"{one.place}.{name}: {how.name}"
        before = len(upstream.requests)
        status, _, told = door.ask(api.path, plant(base, one, name, BLOCKED, api.path))
        reached = len(upstream.requests) > before
        if how.seen and (status != 400 or "content_filter" not in told or reached):
            wrong.append(f"{place} blocked: {status}")
        if not how.seen and (status != 200 or BLOCKED not in door.sent()):
            wrong.append(f"{place} passed: {status}")
        status, action, _ = door.ask(api.path, plant(base, one, name, PRIVATE, api.path))
        hidden = "joe@example.com" not in door.sent() and "[EMAIL_1]" in door.sent()
        if status != 200 or hidden != how.seen:
            wrong.append(f"{place} redacted: {status} {hidden}")
        if how is How.MEDIA:
            refused, _, _ = door.ask(api.path, {**plant(base, one, name, "x", api.path), "model": "strict"})
            if action != "flag" or refused != 400:
                wrong.append(f"{place} media: {action} {refused}")
    assert not wrong, "\n".join(wrong)


@every
def test_a_field_that_is_not_declared_is_read_or_refused(door: Door, upstream: Upstream, api: Api) -> None:
    upstream.script = lambda body: whole(ANSWERS[api.path])
    wrong = []
    for place in dict.fromkeys(one.place for one in api.forms if "prompt" in one.bodies):
        for novelty in (BLOCKED, {"deep": [{"id": BLOCKED, "type": BLOCKED}]}, {BLOCKED: 1}):
            body = {"model": "m", **copy.deepcopy(PROMPTS[api.path])}
            holder(body, place)["novelty"] = novelty
            status, _, _ = door.ask(api.path, body)
            if status != 400:
                wrong.append(f"{place or 'body'} {novelty}: {status}")
        body = {"model": "m", **copy.deepcopy(PROMPTS[api.path])}
        holder(body, place)["novelty"] = {"to": PRIVATE, "joe@example.com": 1}
        door.ask(api.path, body)
        if "joe@example.com" in door.sent() or door.sent().count("[EMAIL_1]") != 2:
            wrong.append(f"{place} not redacted")
        if any(one.free for one in api.forms if one.place == place):
            continue
        body = {"model": "strict", **copy.deepcopy(PROMPTS[api.path])}
        holder(body, place)["novelty"] = "x"
        status, _, told = door.ask(api.path, body)
        if status != 400 or "unknown_fields" not in told:
            wrong.append(f"{place} not refused: {status}")
    assert not wrong, "\n".join(wrong)


def judged(path: str, how: How, place: str, told: dict[str, str]) -> Iterator[str]:
    """What is wrong with the answers in which a field had something to say."""
    blocked, private = told["blocked"], told["private"]
    if how.seen:
        if "bluebird" in blocked or ENDED.get(path, "") not in blocked:
            yield f"{place} blocked: {blocked[:300]!r}"
        if "joe@example.com" in private or re.search(r'"error": ?\{', private):
            yield f"{place} redacted: {private[-300:]!r}"
    elif BLOCKED not in blocked or PRIVATE not in private:
        yield f"{place} passed: {private[-300:]!r}"


@every
def test_every_field_of_an_answer(door: Door, upstream: Upstream, api: Api) -> None:
    wrong: list[str] = []
    for one, name, how in fields(api, "answer"):
        told = {}
        for kind, text in (("blocked", BLOCKED), ("private", PRIVATE)):
            answer = plant(ANSWERS[api.path], one, name, text, api.path)
            upstream.script = lambda body, answer=answer: whole(answer)  # type: ignore[misc]
            status, _, told[kind] = door.ask(api.path, {"model": "m", **PROMPTS[api.path]})
            if status != 200:
                wrong.append(f"{one.place}.{name}: {status}")
        wrong += judged(api.path, how, f"{one.place}.{name}: {how.name}", told)
    assert not wrong, "\n".join(wrong)


@every
def test_what_nobody_knows_in_an_answer(door: Door, upstream: Upstream, api: Api) -> None:
    wrong: list[str] = []
    for place in dict.fromkeys(one.place for one in api.forms if "answer" in one.bodies):
        told = {}
        for kind, text in (("blocked", BLOCKED), ("private", PRIVATE)):
            answer = copy.deepcopy(ANSWERS[api.path])
            holder(answer, place)["novelty"] = {"deep": [{"id": text, text: 1}]}
            upstream.script = lambda body, answer=answer: whole(answer)  # type: ignore[misc]
            _, _, told[kind] = door.ask(api.path, {"model": "m", **PROMPTS[api.path]})
        wrong += judged(api.path, How.TEXT, place, told)
    assert not wrong, "\n".join(wrong)


def events_of(path: str, one: Form, planted: dict[str, Any]) -> list[bytes | float | None]:
    """A stream in which the planted event stands where such an event would."""
    if path in ("chat/completions", "completions"):
        end: dict[str, Any] = {"choices": [{"index": 0, "delta": {}, "text": "", "finish_reason": "stop"}]}
        end["choices"][0].pop("text" if path == "chat/completions" else "delta")
        return streamed(*(b"data: " + json.dumps(b).encode() + b"\n\n" for b in (planted, end)), b"data: [DONE]\n\n")
    bodies = copy.deepcopy(MESSAGE_EVENTS if path == "messages" else RESPONSE_EVENTS)
    kinds = [body["type"] for body in bodies]
    if one.event in kinds and not one.event.endswith("delta"):
        bodies[kinds.index(one.event)] = planted
    else:
        bodies.insert(kinds.index("content_block_delta" if path == "messages" else "response.output_text.delta") + 1, planted)
        if path == "messages" and one.event == "message_delta":
            bodies = [b for b in bodies if b is planted or b["type"] != "message_delta"]
            bodies = [*(b for b in bodies if b is not planted), planted]
            bodies[-1], bodies[-2] = bodies[-2], bodies[-1]
    return streamed(*(f"event: {b['type']}\ndata: {json.dumps(b)}\n\n".encode() for b in bodies))


def event_with(path: str, one: Form) -> dict[str, Any]:
    """The event, without what is planted."""
    if path == "chat/completions":
        return {"choices": [{"index": 0, "delta": {}, "finish_reason": None}]}
    if path == "completions":
        return {"choices": [{"index": 0, "text": "fine", "finish_reason": None}]}
    known = [b for b in (MESSAGE_EVENTS if path == "messages" else RESPONSE_EVENTS) if b["type"] == one.event]
    if known:
        return copy.deepcopy(known[0])
    return {"type": one.event.replace("*", "novelty"), "output_index": 0, "content_index": 0, "item_id": "msg_1"}


@pytest.mark.parametrize("api", STREAMED, ids=lambda api: api.path)
def test_every_field_of_a_streamed_answer(door: Door, upstream: Upstream, api: Api) -> None:
    wrong: list[str] = []
    for one, name, how in fields(api, "stream"):
        told = {}
        for kind, text in (("blocked", BLOCKED), ("private", PRIVATE)):
            script = events_of(api.path, one, plant(event_with(api.path, one), one, name, text, api.path))
            upstream.script = lambda body, script=script: script  # type: ignore[misc]
            _, _, told[kind] = door.ask(api.path, {"model": "m", **PROMPTS[api.path], "stream": True})
        wrong += judged(api.path, how, f"{one.event} {one.place}.{name}: {how.name}", told)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("api", STREAMED, ids=lambda api: api.path)
def test_what_nobody_knows_in_a_stream(door: Door, upstream: Upstream, api: Api) -> None:
    wrong: list[str] = []
    for one in {(one.place, one.event): one for one in api.forms if "stream" in one.bodies}.values():
        told = {}
        for kind, text in (("blocked", BLOCKED), ("private", PRIVATE)):
            event = event_with(api.path, one)
            holder(event, one.place)["novelty"] = {"deep": [{"id": text, text: 1}]}
            script = events_of(api.path, one, event)
            upstream.script = lambda body, script=script: script  # type: ignore[misc]
            _, _, told[kind] = door.ask(api.path, {"model": "m", **PROMPTS[api.path], "stream": True})
        wrong += judged(api.path, How.TEXT, f"{one.event} {one.place}", told)
    assert not wrong, "\n".join(wrong)


@every
def test_the_route_may_stand_in_the_path(door: Door, upstream: Upstream, api: Api) -> None:
    """It decides then, whatever the model is called."""
    upstream.script = lambda body: whole(ANSWERS[api.path])
    body = {"model": "m", **PROMPTS[api.path]}
    assert door.ask(api.path, body, "/main/v1")[0] == 200
    novel = {**body, "novelty": "x"}
    assert door.ask(api.path, novel, "/strict/v1")[0] == 400
    assert door.ask(api.path, novel, "/main/v1")[0] == 200
    assert door.ask(api.path, body, "/nobody/v1")[0] == 404


def test_what_weir_answers_itself_is_read_whole(door: Door) -> None:
    """/v1/moderations takes a text, texts, or parts of one; /v1/classify a text or a conversation, with what is cut in two."""
    parts = [{"type": "text", "text": "What a lovely"}, {"type": "text", "text": "day by the river."}]
    for given, count in (("What a lovely day.", 1), (["What a lovely day.", "And a second one."], 2), (parts, 1)):
        status, _, told = door.ask("moderations", {"input": given})
        assert status == 200 and len(json.loads(told)["results"]) == count
    status, _, told = door.ask("moderations", {"input": [*parts, {"type": "image_url", "image_url": {"url": "x"}}]})
    assert status == 400 and "images" in told  # nothing that was not looked at is called fine
    said = [{"role": "user", "content": "the blue"}, {"role": "user", "content": [{"type": "text", "text": "bird sings"}]}]
    for given in (BLOCKED, said):
        status, action, told = door.ask("classify", {"input": given, "policy": "test"})
        assert (status, action) == (200, "block") and "codenames" in told


@every
def test_the_classifier_reads_what_is_declared_as_text(api: Api) -> None:
    """Patterns look at everything; what a declaration calls inspected is read by the classifier too."""
    wrong = []
    for one, name, how in fields(api, "prompt"):
        if how in (How.TEXT, How.JSON, How.NAME):
            body = plant({"model": "m", **PROMPTS[api.path]}, one, name, BLOCKED, api.path)
            prose = [field.prose for field in api.request(body).fields if BLOCKED in field.text]
            if prose != [how is not How.NAME]:
                wrong.append(f"{one.place}.{name} {how.name}: {prose}")
    assert not wrong, "\n".join(wrong)


def test_the_files_say_what_the_readers_declare() -> None:
    assert main(["--check"]) == 0, "run python -m proxy.wire.coverage"
    root = Path(__file__).parent.parent.parent
    assert set(written(root)) == {root / "docs" / "coverage.md", root / "README.md"}
