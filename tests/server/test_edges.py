"""Keys, other paths, health, limits: what stands around the conversation."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from .conftest import POLICY, Upstream, Weir, answer, chunk, free_port, start, streamed, whole

HELLO: Any = [{"role": "user", "content": "Hello there"}]
CONFIG = """
version: 1
providers:
  fake: {{type: openai, base_url: "http://127.0.0.1:{upstream}/v1", api_key: "upstream-secret"}}
  gone: {{type: openai, base_url: "http://127.0.0.1:1/v1"}}
routes:
  - {{name: back, match: {{model: "back"}}, provider: gone, fallbacks: [gone, fake], policy: test}}
  - {{name: one, match: {{model: "one-*"}}, provider: fake, policy: test, unguarded: [/v1/files]}}
  - {{name: two, match: {{model: "*"}}, provider: fake, policy: test}}
keys:
  - {{name: team-a, sha256: "{a}", routes: [one]}}
  - {{name: team-b, sha256: "{b}"}}
  - {{name: team-c, sha256: "{c}", requests_per_minute: 2}}
limits: {{body: 12MB}}
"""


def alone(folder: Path, upstream: Upstream, policy: str = POLICY) -> Path:
    """A config of one route under one policy."""
    for name in ("config", "policies"):
        (folder / name).mkdir()
    (folder / "policies" / "test.yaml").write_text(policy)
    config = folder / "config" / "weir.yaml"
    config.write_text(
        f'version: 1\nproviders: {{fake: {{type: openai, base_url: "http://127.0.0.1:{upstream.port}/v1"}}}}\n'
        "routes: [{name: all, provider: fake, policy: test}]\n"
    )
    return config


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@pytest.fixture(scope="module")
def keyed(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weir]:
    folder = tmp_path_factory.mktemp("keyed")
    for name in ("config", "policies"):
        (folder / name).mkdir()
    (folder / "policies" / "test.yaml").write_text(POLICY)
    config = folder / "config" / "weir.yaml"
    config.write_text(CONFIG.format(upstream=upstream.port, a=digest("key-a"), b=digest("key-b"), c=digest("key-c")))
    running = start(config, folder / "log")
    yield running
    running.stop()


def client(weir: Weir, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{weir.url}/v1", api_key=key, max_retries=0)


def post(url: str, body: bytes, key: str = "key-b", path: str = "/v1/chat/completions") -> tuple[int, Any]:
    request = urllib.request.Request(url + path, body, {"authorization": f"Bearer {key}", "content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_a_key_opens_its_routes_and_no_others(keyed: Weir, upstream: Upstream) -> None:
    upstream.script = lambda body: whole(answer("Yes."))
    with client(keyed, "key-a") as one:
        assert one.chat.completions.create(model="one-1", messages=HELLO).choices[0].message.content == "Yes."
        assert "authorization: bearer upstream-secret" in upstream.headers[-1].lower()
        assert "key-a" not in upstream.headers[-1]
        with pytest.raises(openai.PermissionDeniedError):
            one.chat.completions.create(model="two-1", messages=HELLO)
    with client(keyed, "wrong") as nobody, pytest.raises(openai.AuthenticationError) as told:
        nobody.chat.completions.create(model="one-1", messages=HELLO)
    assert told.value.code == "invalid_api_key"
    assert "upstream-secret" not in keyed.log.read_text()


def test_the_route_in_the_url_is_held_to_the_key_too(keyed: Weir, upstream: Upstream) -> None:
    upstream.script = lambda body: whole(answer("Yes."))
    body = json.dumps({"model": "one-1", "messages": HELLO}).encode()
    assert post(keyed.url, body, "key-a", "/two/v1/chat/completions")[0] == 403
    assert post(keyed.url, body, "key-b", "/two/v1/chat/completions")[0] == 200
    assert post(keyed.url, body, "key-b", "/none/v1/chat/completions")[0] == 404


def test_a_key_that_asks_too_often_is_told_when_to_come_back(keyed: Weir, upstream: Upstream) -> None:
    upstream.script = lambda body: whole(answer("Yes."))
    with client(keyed, "key-c") as one:
        raw = one.chat.completions.with_raw_response
        left = [raw.create(model="m", messages=HELLO).headers["x-ratelimit-remaining-requests"] for _ in range(2)]
        assert left == ["1", "0"]
        with pytest.raises(openai.RateLimitError) as told:
            one.chat.completions.create(model="m", messages=HELLO)
    assert 0 < int(told.value.response.headers["retry-after"]) <= 60
    assert told.value.code == "rate_limit_exceeded"


def test_a_provider_that_is_down_is_stood_in_for(keyed: Weir, upstream: Upstream) -> None:
    upstream.script = lambda body: whole(answer("Here."))
    with client(keyed, "key-b") as one:
        assert one.chat.completions.create(model="back", messages=HELLO).choices[0].message.content == "Here."
        upstream.script = lambda body: whole({"error": {"message": "busy"}}, "503 Service Unavailable")
        with pytest.raises(openai.InternalServerError) as told:
            one.chat.completions.create(model="back", messages=HELLO)
    assert told.value.status_code == 503


def test_a_field_that_nobody_knows_is_refused_where_the_policy_says_so(upstream: Upstream, tmp_path: Path) -> None:
    upstream.script = lambda body: whole(answer("Yes."))
    config = alone(tmp_path, upstream, POLICY.replace("media: flag", "unknown_fields: block"))
    running = start(config, tmp_path / "log")
    try:
        with client(running, "k") as one:
            assert one.chat.completions.create(model="m", messages=HELLO, temperature=0).choices
            with pytest.raises(openai.BadRequestError) as told:
                one.chat.completions.create(model="m", messages=HELLO, extra_body={"novel": {"deep": 1}})
        assert (told.value.code, told.value.param) == ("content_filter", "novel")
    finally:
        running.stop()


def test_real_values_come_back(upstream: Upstream, tmp_path: Path) -> None:
    policy = POLICY.replace("us_ssn, fr_nir]}, action: redact}", "us_ssn, fr_nir]}, action: redact, restore: true}")
    running = start(alone(tmp_path, upstream, policy), tmp_path / "log")
    asked: Any = [
        {"role": "user", "content": "I wrote [EMAIL_1] in a form; my mail is joe@example.com"},
        {"role": "tool", "tool_call_id": "t", "content": '{"mail": "ann@example.com"}'},
    ]
    said = "Joe is [EMAIL_2], Ann is [EMAIL_3], who is [EMAIL_1] or [EMAIL_9]? Ask eve@example.net."
    back = "Joe is joe@example.com, Ann is ann@example.com, who is [EMAIL_1] or [EMAIL_9]? Ask [EMAIL_4]."
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    try:
        with client(running, "k") as one:
            upstream.script = lambda body: whole(answer(said))
            assert one.chat.completions.create(model="m", messages=asked).choices[0].message.content == back
            sent = upstream.requests[-1]["messages"]
            assert sent[0]["content"] == "I wrote [EMAIL_1] in a form; my mail is [EMAIL_2]"
            assert sent[1]["content"] == '{"mail": "[EMAIL_3]"}'
            pieces = [chunk({"tool_calls": [{"index": 0, "function": {"arguments": c}}]}) for c in '{"to": "[EMAIL_2]"}']
            upstream.script = lambda body: streamed(
                *(chunk({"content": c}) for c in said),
                chunk({"tool_calls": [call]}),
                *pieces,
                chunk({}, "stop"),
                b"data: [DONE]\n\n",
            )
            chunks = [c.choices[0].delta for c in one.chat.completions.create(model="m", messages=asked, stream=True)]
        assert "".join(d.content or "" for d in chunks) == back
        calls = [d.tool_calls[0].function for d in chunks if d.tool_calls]
        assert json.loads("".join(f.arguments or "" for f in calls if f)) == {"to": "joe@example.com"}
        assert "joe@" not in running.log.read_text()
    finally:
        running.stop()


def test_two_workers_share_the_port(upstream: Upstream, tmp_path: Path) -> None:
    upstream.script = lambda body: whole(answer("Write to a@example.com"))
    config = alone(tmp_path, upstream)
    running = start(config, tmp_path / "log", "--workers", "2")
    try:
        for _ in range(10):
            with client(running, "k") as one:
                made = one.chat.completions.create(model="m", messages=HELLO)
            assert made.choices[0].message.content == "Write to [EMAIL_1]"
    finally:
        assert running.stop() in (0, -signal.SIGTERM)


def test_a_path_that_nobody_reads_is_refused_unless_listed(keyed: Weir, upstream: Upstream) -> None:
    upstream.script = lambda body: whole({"id": "file-1"})
    status, told = post(keyed.url, b"{}", path="/v1/batches")
    assert status == 404 and "unguarded" in told["error"]["message"]
    assert post(keyed.url, b"{}", path="/v1/files") == (200, {"id": "file-1"})


def test_moderations_of_one_text_and_of_many(keyed: Weir) -> None:
    with client(keyed, "key-b") as one:
        (found,) = one.moderations.create(input="What a lovely day.").results
        assert not found.flagged
        raw = found.model_dump(by_alias=True)
        assert {"hate", "self-harm", "sexual/minors", "jailbreak", "injection"} <= set(raw["categories"])
        with pytest.raises(openai.BadRequestError):
            one.moderations.create(input=[{"type": "image_url", "image_url": {"url": "x"}}])


def test_classify_says_what_a_policy_makes_of_a_text(keyed: Weir) -> None:
    def classify(**body: Any) -> tuple[int, Any]:
        return post(keyed.url, json.dumps(body).encode(), path="/v1/classify")

    status, found = classify(input="Mail joe@example.com", policy="test")
    assert (status, found["action"], found["flagged"]) == (200, "redact", True)
    assert found["results"][0]["redactions"] == [{"span": [5, 20], "label": "EMAIL"}]
    own = (
        "version: 1\nname: mine\nrules:\n  - {id: w, detect: {keywords: [heron]}, on: [prompt], roles: [tool], action: block}\n"
    )
    talk = [{"role": "user", "content": "a heron"}, {"role": "tool", "content": "a heron", "tool_call_id": "t"}]
    status, found = classify(input=talk, policy=own)
    assert (status, found["action"], [r["action"] for r in found["results"] if r["findings"]]) == (200, "block", ["block"])
    assert found["policy"].startswith("mine@")
    for wrong, code in (
        (own.replace("block", "blok"), "invalid_policy"),
        ("nobody", "invalid_policy"),
        ("# Be kind\n", "judge_not_configured"),
    ):
        status, told = classify(input="x", policy=wrong)
        assert (status, told["error"]["code"]) == (400, code)
    assert "policy:4" in classify(input="x", policy=own.replace("block", "blok"))[1]["error"]["message"]
    assert classify(input=[])[0] == 400
    assert post(keyed.url, b"{}", "wrong", "/v1/classify")[0] == 401


def test_ten_megabytes_have_a_clear_outcome(keyed: Weir, upstream: Upstream) -> None:
    upstream.script = lambda body: whole(answer("Yes."))
    said = "All is well by the river today. " * 320_000
    status, told = post(keyed.url, json.dumps({"model": "m", "messages": [{"role": "user", "content": said}]}).encode())
    assert (status, told["error"]["code"]) == (413, "prompt_too_long")
    status, told = post(keyed.url, b" " * 12_500_000)
    assert (status, told["error"]["code"]) == (413, "request_too_large")
    assert post(keyed.url, json.dumps({"model": "m", "messages": HELLO}).encode())[0] == 200


@pytest.mark.parametrize(
    "body", [b'{"model": "m", "messages": [{"role": "user", "content": "\\ud800"}]}', b"[" * 100_000, b'{"model":']
)
def test_odd_bodies_are_answered(keyed: Weir, upstream: Upstream, body: bytes) -> None:
    upstream.script = lambda request: whole(answer("Yes."))
    assert post(keyed.url, body)[0] in (200, 400)
    assert json.loads(keyed.get("/livez"))["status"] == "ok"


def test_two_thousand_rules(upstream: Upstream, tmp_path: Path) -> None:
    upstream.script = lambda body: whole(answer("Write to a@b.example, word1999 and tail-77-x."))
    rules = [f"  - {{id: k{n}, detect: {{keywords: [word{n}]}}, action: redact}}" for n in range(1000)]
    rules += [f"  - {{id: p{n}, detect: {{pattern: 'tail-{n}-[a-z]'}}, action: redact}}" for n in range(1000)]
    config = alone(tmp_path, upstream, "version: 1\nrules:\n" + "\n".join(rules) + "\n")
    running = start(config, tmp_path / "log")
    try:
        with client(running, "k") as one:
            made = one.chat.completions.create(model="m", messages=[{"role": "user", "content": "word999 and tail-5-y"}])
        assert upstream.requests[-1]["messages"][0]["content"] == "[K999_1] and [P5_1]"
        assert made.choices[0].message.content == "Write to a@b.example, word1999 and [P77_1]."
    finally:
        running.stop()


def test_a_stop_lets_streams_end(upstream: Upstream, tmp_path: Path) -> None:
    upstream.script = lambda body: streamed(
        chunk({"content": "one "}), 1.0, chunk({"content": "two"}), chunk({}, "stop"), b"data: [DONE]\n\n"
    )
    running = start(alone(tmp_path, upstream), tmp_path / "log")
    with client(running, "k") as one:
        stream = one.chat.completions.create(model="m", messages=HELLO, stream=True)
        said = [next(iter(stream)).choices[0].delta.content]
        threading.Timer(0.1, lambda: running.process.send_signal(signal.SIGTERM)).start()
        said += [c.choices[0].delta.content for c in stream if c.choices]
    assert "".join(s or "" for s in said) == "one two"
    assert running.process.wait(20) in (0, -signal.SIGTERM)


def test_the_readmes_first_command_serves(tmp_path: Path) -> None:
    """No config, no key: the built-in model and policies, the demo provider."""
    port = free_port()
    command = [sys.executable, "-m", "proxy", "serve", "--port", str(port)]
    with (tmp_path / "log").open("wb") as out:
        process = subprocess.Popen(command, stderr=out, stdout=out, cwd=tmp_path)
    try:
        body = json.dumps({"model": "demo", "messages": [{"role": "user", "content": "/contact"}]}).encode()
        for _ in range(100):
            try:
                _, made = post(f"http://127.0.0.1:{port}", body)
                break
            except OSError:
                time.sleep(0.1)
        assert (
            made["choices"][0]["message"]["content"] == "Of course. Write to [EMAIL_1] or call [PHONE_1], and pay to [IBAN_1]."
        )
        welcome = (tmp_path / "log").read_text()
        assert f"http://127.0.0.1:{port}/v1" in welcome and "curl" in welcome and "default@" in welcome
    finally:
        process.terminate()
        process.wait(20)
