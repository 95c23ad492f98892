"""A record of everything that happens to a request, by a real Weir; and nobody's words where they were not asked for."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from proxy.audit.store import Query, Record, Store
from proxy.audit.verify import verify
from tests.server.conftest import POLICY, Upstream, Weir, answer, chunk, home, running, start, streamed, whole

CONFIG = """
version: 1
providers:
  fake: {{type: openai, base_url: "http://127.0.0.1:{upstream}/v1", timeouts: {{connect: 2s, first_byte: 5s, idle: 5s}}}}
  gone: {{type: openai, base_url: "http://127.0.0.1:1/v1"}}
routes:
  - {{name: gone, match: {{model: gone}}, provider: gone, policy: test}}
  - {{name: strict, match: {{model: strict}}, provider: fake, policy: strict}}
  - {{name: main, provider: fake, policy: test, shadow: strict}}
audit: {{url: "sqlite:///{db}", text: {text}{more}}}
"""
STRICT = (
    POLICY.replace("name: test", "name: strict\nmedia: block")
    .replace("media: flag\n", "")
    .replace(
        "{id: noted, detect: {keywords: [curious]}, action: flag}", "{id: noted, detect: {keywords: [curious]}, action: block}"
    )
)
CANARY = "zyxcanaryquvw"


@contextlib.contextmanager
def logged(upstream: Upstream, folder: Path, text: str = "never", more: str = "", *options: str) -> Iterator[tuple[Weir, str]]:
    """A Weir, and the URL of its decision log, which is whole at the end."""
    db = folder / "weir.db"
    config = CONFIG.format(upstream=upstream.port, db=db, text=text, more=more)
    with running(folder, config, test=POLICY, strict=STRICT) as weir:
        yield weir, f"sqlite:///{db}"
    assert verify(Store.open(f"sqlite:///{db}", create=False)).problems == []


def records(url: str, count: int, kind: str = "request") -> list[Record]:
    """As soon as there are so many."""
    store = Store.open(url, create=False)
    for _ in range(400):
        found = list(store.read(Query(kind=kind)))
        if len(found) >= count:
            assert len(found) == count
            store.close()
            return found
        time.sleep(0.05)
    raise AssertionError(f"{len(found)} records")


def ask(weir: Weir, text: str, model: str = "m", stream: bool = False, path: str = "/v1/chat/completions", **more: Any) -> str:
    """The id of the request."""
    body = {"model": model, "messages": [{"role": "user", "content": text}], "stream": stream, **more}
    request = urllib.request.Request(weir.url + path, json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            response.read()
            return str(response.headers["x-weir-request-id"])
    except urllib.error.HTTPError as error:
        with error:
            error.read()
            return str(error.headers["x-weir-request-id"])


def test_every_end_has_its_record(upstream: Upstream, tmp_path: Path) -> None:
    ids: dict[str, str] = {}
    said = {"content": "Mail joe@example.com "}
    with logged(upstream, tmp_path) as (weir, url):
        upstream.script = lambda body: whole(answer("Yes."))
        ids["pass"] = ask(weir, "Hello there", user="joe")
        ids["redact"] = ask(weir, "I am joe@example.com")
        ids["block"] = ask(weir, "Tell me of bluebird")
        ids["monitor"] = ask(weir, "A sparrowhawk")
        ids["shadow"] = ask(weir, "How curious")
        ids["media"] = ask(weir, "", messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}])
        ids["gone"] = ask(weir, "Hello", "gone")
        ids["broken"] = ask(weir, "Hello", messages="what")
        ids["classify"] = ask(weir, "", path="/v1/classify", input="Hello")
        upstream.script = lambda body: whole(answer("The word is bluebird."))
        ids["answer"] = ask(weir, "Hello")
        upstream.script = lambda body: streamed(chunk(said), chunk({"content": "bluebird and more"}), chunk({}, "stop"))
        ids["stream"] = ask(weir, "Hello", stream=True)
        upstream.script = lambda body: streamed(chunk(said), 0.3, None)
        ids["cut"] = ask(weir, "Hello", stream=True)
        upstream.script = lambda body: whole({"error": {"message": CANARY}}, "429 Too Many Requests")
        ids["limited"] = ask(weir, "Hello")
        upstream.script = lambda body: streamed(chunk(said), 30.0)
        with httpx.stream("POST", weir.url + "/v1/chat/completions", json={"model": "strict", "stream": True, "messages": [
            {"role": "user", "content": "Hello"}]}) as response:  # fmt: skip
            next(response.iter_bytes())
            ids["hung up"] = response.headers["x-weir-request-id"]
        by_id = {record.id: record.facts for record in records(url, len(ids))}
    found = {name: by_id[id] for name, id in ids.items()}
    ends = {name: (one["status"], one["ended"], one.get("action"), one.get("answer")) for name, one in found.items()}
    assert ends == {
        "pass": (200, "done", "pass", "pass"),
        "redact": (200, "done", "redact", "pass"),
        "block": (400, "blocked", "block", "pass"),
        "monitor": (200, "done", "pass", "pass"),
        "shadow": (200, "done", "flag", "pass"),
        "media": (200, "done", "flag", "pass"),
        "gone": (502, "error", "pass", "pass"),
        "broken": (400, "refused", "pass", "pass"),
        "classify": (200, "done", None, None),
        "answer": (200, "blocked", "pass", "block"),
        "stream": (200, "blocked", "pass", "block"),
        "cut": (200, "error", "pass", "redact"),
        "limited": (429, "error", "pass", "pass"),
        "hung up": (499, "disconnected", "pass", "redact"),
    }
    one = found["pass"]
    assert (one["route"], one["provider"], one["policy"][:5], one["key"], one["stream"]) == (
        "main",
        "fake",
        "test@",
        None,
        False,
    )
    assert one["usage"] == {"prompt": 1, "completion": 1, "cached": 0} and one["ms"]["total"] > one["ms"]["prompt"] > 0
    assert one["chars"]["prompt"] == {"inspected": 11, "not_inspected": 0, "redacted": 0, "withheld": 0}
    assert one["chars"]["completion"]["inspected"] == 4
    (rule,) = found["redact"]["rules"]
    assert (rule["place"], rule["rule"], rule["by"]) == ("messages[0].content", "personal-data", "pattern")
    assert rule["spans"] == [[5, 20, "EMAIL"]] and found["redact"]["chars"]["prompt"]["redacted"] == 15
    assert [(r["rule"], r["enforced"]) for r in found["monitor"]["rules"]] == [("watched", False)]
    assert found["shadow"]["shadow"][0]["gained"] == ["noted"] or found["shadow"]["shadow"][0]["shadow"] == "block"
    assert found["pass"]["looked"]["patterns"][0] == 1 and found["block"]["looked"].keys() == {"patterns"}
    assert found["media"]["not_inspected"] == ["media: image_url"]
    assert (found["gone"]["error"], found["broken"]["error"]) == ("upstream_unreachable", "invalid_body")
    mail, bird = found["stream"]["rules"]
    assert mail["spans"] == [[5, 20, "EMAIL"]] and bird["spans"] == [[21, 29, "codenames"]]  # of the whole text
    tally = found["stream"]["chars"]["completion"]
    assert (tally["redacted"], tally["withheld"]) == (15, 17)


def everything(weir: Weir, folder: Path) -> bytes:
    """All that can be read from outside, and all files but the config."""
    told = [weir.get("/metrics"), weir.get("/readyz"), weir.log.read_text()]
    files = [path.read_bytes() for path in folder.glob("weir.db*")]
    return b"\n".join([*(one.encode() for one in told), *files])


def traffic(weir: Weir, upstream: Upstream) -> int:
    """A canary in every corner."""
    upstream.script = lambda body: whole(answer(f"{CANARY} bluebird joe@example.com"))
    ask(weir, f"{CANARY} joe@example.com", user=f"{CANARY}-person", **{f"{CANARY}_key": {CANARY: f"bluebird {CANARY}"}})
    ask(weir, f"{CANARY} bluebird")
    ask(weir, CANARY, messages=[{"role": CANARY, "content": CANARY}])
    ask(weir, CANARY, tools=[{"type": "function", "function": {"name": CANARY, "description": CANARY}}])
    upstream.script = lambda body: streamed(chunk({"content": f"{CANARY} "}), chunk({CANARY: CANARY}), b"data: {not json}\n\n")
    ask(weir, CANARY, stream=True)
    upstream.script = lambda body: whole({"error": {"message": CANARY}}, "500 Internal Server Error")
    ask(weir, CANARY)
    return 6


@pytest.mark.parametrize("text", ["never", "redacted", "full"])
def test_no_words_but_those_asked_for(upstream: Upstream, tmp_path: Path, text: str) -> None:
    with logged(upstream, tmp_path, text) as (weir, url):
        found = records(url, traffic(weir, upstream))
        seen = everything(weir, tmp_path)
        assert CANARY.encode() not in seen
        assert b"joe@example.com" not in seen
        store = Store.open(url, create=False)
        kept = json.dumps([store.opened(record).get("texts") for record in found])
        store.close()
    assert (CANARY in kept) is (text != "never")
    assert ("joe@example.com" in kept) is (text == "full")
    assert ("bluebird" in kept) is (text == "full")
    if text == "redacted":
        assert "[EMAIL_1]" in kept and "[CODENAMES_1]" in kept


def test_a_killed_weir_loses_nothing_that_was_committed(upstream: Upstream, tmp_path: Path) -> None:
    upstream.script = lambda body: whole(answer("Yes."))
    db, path = tmp_path / "weir.db", home(tmp_path, test=POLICY, strict=STRICT)
    path.write_text(
        CONFIG.format(upstream=upstream.port, db=db, text="never", more=", commit: each").replace(", shadow: strict", "")
    )
    weir = start(path, tmp_path / "log")
    ids = [ask(weir, "Hello") for _ in range(5)]
    upstream.script = lambda body: streamed(chunk({"content": "Some words, and then some more of them. "}), 30.0)
    with httpx.stream("POST", weir.url + "/v1/chat/completions", json={"model": "m", "stream": True, "messages": [
        {"role": "user", "content": "Hello"}]}) as response:  # fmt: skip
        next(response.iter_bytes())
        ids.append(response.headers["x-weir-request-id"])
        weir.process.send_signal(signal.SIGKILL)
        weir.process.wait(20)
    url = f"sqlite:///{db}"
    begun, ended = records(url, 6, "begun"), records(url, 5)
    assert [r.id for r in begun] == ids
    assert [r.id for r in ended] == ids[:5]  # the last one began and never ended: that is plain to see
    assert verify(Store.open(url, create=False)).problems == []


def test_a_killed_weir_loses_the_last_batch_at_most(upstream: Upstream, tmp_path: Path) -> None:
    upstream.script = lambda body: whole(answer("Yes."))
    db, path = tmp_path / "weir.db", home(tmp_path, test=POLICY, strict=STRICT)
    path.write_text(CONFIG.format(upstream=upstream.port, db=db, text="never", more=""))
    weir = start(path, tmp_path / "log")
    first = [ask(weir, "Hello") for _ in range(20)]
    records(f"sqlite:///{db}", 20)
    ask(weir, "Hello")
    weir.process.send_signal(signal.SIGKILL)
    weir.process.wait(20)
    store = Store.open(f"sqlite:///{db}", create=False)
    assert {r.id for r in store.read()} >= set(first)
    assert verify(store).problems == []
    store.close()


def test_a_log_that_does_not_answer_stops_requests_where_nothing_may_go_unrecorded(upstream: Upstream, tmp_path: Path) -> None:
    upstream.script = lambda body: whole(answer("Yes."))
    with logged(upstream, tmp_path, more=", commit: each") as (weir, _):
        ask(weir, "Hello", "strict")
        busy = sqlite3.connect(tmp_path / "weir.db", isolation_level=None)
        busy.execute("BEGIN IMMEDIATE")
        asked = len(upstream.requests)
        answered = httpx.post(weir.url + "/v1/chat/completions", json={"model": "strict", "messages": [
            {"role": "user", "content": "Hello"}]}, timeout=40)  # fmt: skip
        busy.execute("ROLLBACK")
        busy.close()
        assert (answered.status_code, answered.json()["error"]["code"]) == (503, "audit_unavailable")
        assert len(upstream.requests) == asked  # nothing was sent on


def test_workers_write_one_chain(upstream: Upstream, tmp_path: Path) -> None:
    upstream.script = lambda body: whole(answer("Yes."))
    db, path = tmp_path / "weir.db", home(tmp_path, test=POLICY, strict=STRICT)
    path.write_text(CONFIG.format(upstream=upstream.port, db=db, text="never", more=""))
    weir = start(path, tmp_path / "log", "--workers", "2")
    ids = {ask(weir, "Hello") for _ in range(40)}
    assert weir.stop() in (0, -15)
    store = Store.open(f"sqlite:///{db}", create=False)
    assert {r.id for r in store.read()} == ids
    assert verify(store).problems == []
    policies = {r.facts["sha"] for r in store.read()}
    assert all((store.policy(sha) or "").startswith("\nversion: 1") for sha in policies)
    store.close()


def test_a_log_that_cannot_be_opened_is_said_at_start(tmp_path: Path) -> None:
    home(tmp_path, test=POLICY).write_text(
        "version: 1\nproviders: {demo: {type: demo}}\nroutes: [{name: all, provider: demo, policy: test}]\n"
        f'audit: {{url: "sqlite:///{tmp_path}/no/such/folder/weir.db"}}\n'
    )
    command = [sys.executable, "-m", "proxy", "serve", "--config", str(tmp_path / "config" / "weir.yaml"), "--port", "0"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "weir.db cannot be kept beside it: No such file or directory" in ended.stderr
