"""Real values come back: in every turn, in JSON mode, in what tools are called with, and where the provider keeps the talk."""

from __future__ import annotations

import json
import re
import socket
import urllib.request
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from .conftest import Upstream, Weir, answer, chunk, running, streamed, whole
from .test_counters import Redis, start_redis
from .test_responses import events, message, response

POLICY = """
version: 1
name: restore
rules:
  - {id: mail, detect: {entities: [email]}, action: redact, restore: true}
  - {id: title, detect: {keywords: ['the "Old" Man']}, action: redact, restore: true}
"""
CONFIG = """
version: 1
providers: {{fake: {{type: openai, base_url: "http://127.0.0.1:{port}/v1"}}}}
routes: [{{name: all, provider: fake, policy: restore}}]
{more}
"""
OK = {"role": "assistant", "content": "Go on."}


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    server = start_redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def weir(upstream: Upstream, redis: Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weir]:
    more = f'restore: {{url: "{redis.url}", key: "a secret of at least sixteen", lifetime: 1h}}'
    with running(tmp_path_factory.mktemp("kept"), CONFIG.format(port=upstream.port, more=more), restore=POLICY) as one:
        yield one


@pytest.fixture(scope="module")
def forgetful(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weir]:
    with running(tmp_path_factory.mktemp("forgetful"), CONFIG.format(port=upstream.port, more=""), restore=POLICY) as one:
        yield one


def client(weir: Weir, key: str = "caller-a") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{weir.url}/v1", api_key=key, max_retries=0)


def user(text: str) -> Any:
    return {"role": "user", "content": text}


def test_a_value_has_one_name_in_all_turns_and_parts(weir: Weir, upstream: Upstream) -> None:
    upstream.script = lambda body: whole(answer("Ask [EMAIL_1] or [EMAIL_2], not [EMAIL_9]."))
    turns: Any = [
        user("I am ann@example.com"),
        {"role": "assistant", "content": "Hello ann@example.com, and joe@example.com"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "joe@example.com it is"}, {"type": "text", "text": "or ann@example.com"}],
        },
    ]
    with client(weir) as one:
        made = one.chat.completions.create(model="m", messages=turns)
    sent = [m["content"] for m in upstream.requests[-1]["messages"]]
    assert sent[:2] == ["I am [EMAIL_1]", "Hello [EMAIL_1], and [EMAIL_2]"]
    assert [part["text"] for part in sent[2]] == ["[EMAIL_2] it is", "or [EMAIL_1]"]
    assert made.choices[0].message.content == "Ask ann@example.com or joe@example.com, not [EMAIL_9]."


@pytest.mark.parametrize("stream", [False, True])
def test_json_mode_stays_json(weir: Weir, upstream: Upstream, stream: bool) -> None:
    said = json.dumps({"by": "[TITLE_1]", "to": "[EMAIL_1]"})
    script = (
        streamed(*(chunk({"content": c}) for c in said), chunk({}, "stop"), b"data: [DONE]\n\n")
        if stream
        else whole(answer(said))
    )
    upstream.script = lambda body: script
    asked: Any = [user('Who wrote to ann@example.com, the "Old" Man?')]
    wanted: Any = {"type": "json_object"}
    with client(weir) as one:
        if stream:
            chunks = list(one.chat.completions.create(model="m", messages=asked, response_format=wanted, stream=True))
            text = "".join(c.choices[0].delta.content or "" for c in chunks)
        else:
            text = str(
                one.chat.completions.create(model="m", messages=asked, response_format=wanted).choices[0].message.content
            )
    assert "Old" not in json.dumps(upstream.requests[-1])
    assert json.loads(text) == {"by": 'the "Old" Man', "to": "ann@example.com"}


@pytest.mark.parametrize("stream", [False, True])
def test_what_a_tool_is_called_with(weir: Weir, upstream: Upstream, stream: bool) -> None:
    arguments = json.dumps({"by": ["[TITLE_1]"], "to": "[EMAIL_1]", "cc": "[EMAIL_2]"})
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "send", "arguments": ""}}
    deltas = [
        {"tool_calls": [{"index": 0, "function": {"arguments": arguments[i : i + 3]}}]} for i in range(0, len(arguments), 3)
    ]
    plain = {**call, "function": {"name": "send", "arguments": arguments}}
    pieces = [chunk({"tool_calls": [call]}), *map(chunk, deltas), chunk({}, "tool_calls"), b"data: [DONE]\n\n"]
    script = streamed(*pieces) if stream else whole(answer(None, "tool_calls", tool_calls=[plain]))
    upstream.script = lambda body: script
    asked: Any = {"model": "m", "messages": [user('Tell ann@example.com of the "Old" Man')]}
    with client(weir) as one:
        if stream:
            with one.chat.completions.stream(**asked) as run:
                made = run.get_final_completion()
        else:
            made = one.chat.completions.create(**asked)
    found: Any = made.choices[0].message.tool_calls
    assert json.loads(found[0].function.arguments) == {"by": ['the "Old" Man'], "to": "ann@example.com", "cc": "[EMAIL_2]"}


def redis_holds(redis: Redis) -> dict[bytes, tuple[bytes, int]]:
    """Everything, by the protocol itself, with the seconds that it has left."""
    with socket.create_connection(("127.0.0.1", redis.port), 5) as link, link.makefile("rb") as stream:

        def ask(*words: bytes) -> Any:
            link.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in words))
            return reply()

        def reply() -> Any:
            line = stream.readline().strip()
            if line[:1] == b"*":
                return [reply() for _ in range(int(line[1:]))]
            if line[:1] == b"$":
                return stream.read(int(line[1:]) + 2)[:-2]
            return int(line[1:]) if line[:1] == b":" else line

        return {key: (ask(b"GET", key), ask(b"TTL", key)) for key in ask(b"KEYS", b"*")}


@pytest.mark.parametrize("stream", [False, True])
def test_a_conversation_that_the_provider_keeps(weir: Weir, upstream: Upstream, redis: Redis, stream: bool) -> None:
    def ask(weir: Weir, text: str, says: str, name: str, key: str = "caller-a", **more: Any) -> str:
        made = {**response(message(says)), "id": name}
        script = whole(made)
        if stream:
            script = [p.replace(b"resp_1", name.encode()) if isinstance(p, bytes) else p for p in events(message(says))]
            script = streamed(*(re.sub(rb"^[0-9a-f]+\r\n|\r\n$", b"", p) for p in script[1:-1] if isinstance(p, bytes)))
        upstream.script = lambda body: script
        with client(weir, key) as one:
            if not stream:
                return one.responses.create(model="m", input=text, **more).output_text
            with one.responses.stream(model="m", input=text, **more) as run:
                return run.get_final_response().output_text

    first, second, third = (f"resp_{n}{stream}" for n in "123")
    assert ask(weir, "I am ann@example.com", "Hello [EMAIL_1].", first) == "Hello ann@example.com."
    said = ask(weir, "Write to joe@example.com", "I told [EMAIL_1] of [EMAIL_2].", second, previous_response_id=first)
    assert said == "I told ann@example.com of joe@example.com."
    assert upstream.requests[-1]["input"] == "Write to [EMAIL_2]"
    assert (
        ask(weir, "Whom?", "[EMAIL_1] and [EMAIL_2]", third, previous_response_id=second)
        == "ann@example.com and joe@example.com"
    )
    # Nobody else finds them, and nobody can read them where they lie.
    assert (
        ask(weir, "Whom?", "[EMAIL_1] and [EMAIL_2]", "resp_x", "caller-b", previous_response_id=second)
        == "[EMAIL_1] and [EMAIL_2]"
    )
    held = redis_holds(redis)
    assert len(held) >= 3 and all(0 < left <= 3600 for _, left in held.values())
    assert not any(b"example" in key + value or b"resp_" in key + value for key, (value, _) in held.items())


def test_names_of_a_request_are_no_others_where_nothing_is_kept(forgetful: Weir, upstream: Upstream) -> None:
    """What the provider still calls [EMAIL_1] is somebody of an earlier request."""

    def script(body: Any) -> Any:
        own = re.search(r"\[EMAIL_\w+\]", json.dumps(body))
        return whole(response(message(f"[EMAIL_1] and {own[0] if own else ''}")))

    upstream.script = script
    with client(forgetful) as one:
        made = one.responses.create(model="m", input="Write to joe@example.com", previous_response_id="resp_0")
        assert made.output_text == "[EMAIL_1] and joe@example.com"
        assert re.fullmatch(r"Write to \[EMAIL_[0-9A-F]{6}_1\]", upstream.requests[-1]["input"])
        made = one.responses.create(model="m", input="Write to joe@example.com", extra_body={"conversation": {"id": "conv_1"}})
        assert made.output_text == "[EMAIL_1] and joe@example.com"


def test_a_store_that_does_not_answer_stops_nothing(upstream: Upstream, tmp_path: Any) -> None:
    more = 'restore: {url: "redis://127.0.0.1:1/0", key: "a secret of at least sixteen"}'
    upstream.script = lambda body: whole(response(message("Hello [EMAIL_1].")))
    with running(tmp_path, CONFIG.format(port=upstream.port, more=more), restore=POLICY) as weir, client(weir) as one:
        assert one.responses.create(model="m", input="I am ann@example.com").output_text == "Hello ann@example.com."
        assert one.responses.create(model="m", input="Who?", previous_response_id="resp_1").output_text == "Hello [EMAIL_1]."
        assert "names' Redis" in weir.log.read_text() and "ann@" not in weir.log.read_text()
        assert urllib.request.urlopen(f"{weir.url}/readyz", timeout=5).status == 200
