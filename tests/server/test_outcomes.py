"""A record of those, too, who were turned away, who went away, whom nobody could judge, and what nobody reads."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from proxy.audit.store import Query, Store
from proxy.audit.verify import verify
from tests.server.conftest import POLICY, Upstream, Weir, answer, home, start, whole
from tests.server.test_keys import key_line
from tests.server.test_workers import until

CONFIG = """
version: 1
providers:
  fake: {{type: openai, base_url: "http://127.0.0.1:{upstream}/v1"}}
  gone: {{type: openai, base_url: "http://127.0.0.1:1/v1", retries: {{attempts: 0}}}}
detectors:
  judge: {{type: judge, base_url: "http://127.0.0.1:1/v1", model: j}}
routes:
  - {{name: strict, match: {{model: strict}}, provider: fake, policy: strict}}
  - {{name: answers, match: {{model: answers}}, provider: fake, policy: answers}}
  - {{name: lenient, match: {{model: lenient}}, provider: fake, policy: lenient}}
  - {{name: polite, match: {{model: polite}}, provider: fake, policy: polite}}
  - {{name: spare, match: {{model: spare}}, provider: gone, policy: test, fallbacks: [fake]}}
  - {{name: closed, match: {{model: closed}}, provider: fake, policy: test}}
  - {{name: main, provider: fake, policy: test, unguarded: [/v1/files]}}
limits: {{body: 4KiB}}
audit: {{url: "{url}"{more}}}
keys:
"""
RULE = "  - {{id: words, detect: {{judge: judge}}, text: '# Any', on: [{on}], action: block}}\n"
POLICIES = {
    "test": POLICY,
    "strict": POLICY.replace("name: test", "name: strict") + RULE.format(on="prompt"),
    "answers": POLICY.replace("name: test", "name: answers") + RULE.format(on="completion"),
    "lenient": POLICY.replace("name: test", "name: lenient\non_error: pass") + RULE.format(on="prompt"),
    "polite": POLICY.replace("name: test", "name: polite\non_block: refuse\nrefusal: No, thank you."),
}
TRACE = "0af7651916cd43dd8448eb211c80319c"
HEADERS = {"authorization": "Bearer token-team", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
Found = dict[str, dict[str, Any]]


def ask(weir: Weir, name: str, model: str = "m", text: str = "Hello", path: str = "chat/completions", **how: Any) -> Any:
    body = {"model": model, "messages": [{"role": "user", "content": text}], "metadata": {"case": name}}
    how = {"json": body, "headers": HEADERS, "timeout": 20, **how}
    return httpx.post(f"{weir.url}/v1/{path}", **how).headers["x-weir-request-id"]


def leave(weir: Weir, sent: bytes, seconds: float) -> None:
    with socket.create_connection(("127.0.0.1", int(weir.url.rpartition(":")[2]))) as client:
        client.sendall(sent)
        time.sleep(seconds)


def happened(weir: Weir, upstream: Upstream) -> dict[str, str]:
    ids = {}
    upstream.script = lambda body: whole(answer("Yes."))
    ids["no key"] = ask(weir, "no key", headers={})
    ids["wrong key"] = ask(weir, "wrong key", headers={"authorization": "Bearer nonsense"})
    ids["other route"] = ask(weir, "other route", "closed")
    ids["too large"] = ask(weir, "too large", text="x" * 5000)
    ids["unavailable"] = ask(weir, "unavailable", "strict")
    ids["answer unavailable"] = ask(weir, "answer unavailable", "answers")
    ids["not inspected"] = ask(weir, "not inspected", "lenient")
    ids["refusal"] = ask(weir, "refusal", "polite", "bluebird")
    ids["spare"] = ask(weir, "spare", "spare")
    ids["flag"] = ask(weir, "flag", text="How curious")
    upstream.script = lambda body: whole({"id": "file-1"})
    ids["unread"] = ask(weir, "unread", path="files/file-zyx")
    upstream.script = lambda body: whole({"error": {"message": "no"}}, "503 Service Unavailable")
    ids["unread error"] = ask(weir, "unread error", path="files")
    ids["not guarded"] = ask(weir, "not guarded", path="batches")
    upstream.script = lambda body: [3.0, None]
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer token-team\r\ncontent-length: {}\r\n\r\n"
    leave(weir, head.format(99).encode() + b'{"model": "m", ', 0.2)
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "I wait"}]}).encode()
    leave(weir, head.format(len(body)).encode() + body, 0.5)
    return ids


@pytest.fixture(params=["sqlite", "postgresql"])
def found(request: pytest.FixtureRequest, upstream: Upstream, tmp_path: Path) -> Iterator[Found]:
    """What is recorded of each, by its name; the two who left are `half` and `waited`."""
    if request.param == "sqlite":
        url, more = f"sqlite:///{tmp_path}/weir.db", ""
    else:
        url, more = request.getfixturevalue("postgres"), ", key: a-secret-of-the-decision-log"
    path = home(tmp_path, **POLICIES)
    keys = key_line("team", "routes: [strict, answers, lenient, polite, spare, main]")
    path.write_text(CONFIG.format(upstream=upstream.port, url=url, more=more) + keys)
    weir = start(path, tmp_path / "log")
    store: Store | None = None
    try:
        ids = happened(weir, upstream)
        store = Store.open(url, more.removeprefix(", key: ") or None, create=False)
        records = until(lambda: (some := list(store.read(Query(kind="request")))) and len(some) == len(ids) + 2 and some)
        assert verify(store).problems == []
    finally:
        weir.stop()
        if store is not None:
            store.close()
    names = {id: name for name, id in ids.items()}
    named = {names[r.id]: r.facts for r in records if r.id in names}
    left = [r.facts for r in records if r.id not in names]
    yield {**named, "half": next(f for f in left if "route" not in f), "waited": next(f for f in left if "route" in f)}


def test_everybody_has_a_record(found: Found) -> None:
    told = {name: (one["status"], one["ended"], one["error"], one.get("key")) for name, one in found.items()}
    assert told == {
        "no key": (401, "refused", "invalid_api_key", None),
        "wrong key": (401, "refused", "invalid_api_key", None),
        "other route": (403, "refused", "route_not_allowed", "team"),
        "too large": (413, "refused", "request_too_large", "team"),
        "unavailable": (503, "blocked", "", "team"),
        "answer unavailable": (503, "error", "guardrail_unavailable", "team"),
        "not inspected": (200, "done", "", "team"),
        "refusal": (200, "blocked", "", "team"),
        "spare": (200, "done", "", "team"),
        "flag": (200, "done", "", "team"),
        "unread": (200, "done", "", "team"),
        "unread error": (503, "error", "", "team"),
        "not guarded": (404, "refused", "not_guarded", "team"),
        "half": (499, "disconnected", "client_closed_request", "team"),
        "waited": (499, "disconnected", "", "team"),
    }
    assert {one["trace_id"] for name, one in found.items() if name not in ("half", "waited", "no key", "wrong key")} == {TRACE}
    assert found["unavailable"]["not_inspected"] == ["judge: cannot be reached (ClientConnectorError)"]
    assert found["not inspected"]["not_inspected"] and found["not inspected"]["chars"]["prompt"]["not_inspected"] == 5
    assert (found["flag"]["action"], found["refusal"]["action"]) == ("flag", "block")
    assert (found["spare"]["provider"], found["flag"]["provider"]) == ("fake", "fake")  # who answered, not who should have
    unread = found["unread"]
    assert (unread["api"], unread["route"], unread["provider"]) == ("/v1/files", "main", "fake")
    assert unread["not_inspected"] == ["unguarded path"] and "file-zyx" not in str(found)
