"""The keys that Weir shows to providers are shown to nobody else: canaries in a config, and a look at all that comes out."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.telemetry.receiver import Received, over_http

from .conftest import Upstream, Weir, answer, chunk, free_port, start, streamed, whole
from .test_keys import key_line, write_home
from .test_workers import until

CANARIES = {
    "one": "canary-1-Zk3JqW8vTn5RxL2p",
    "two": "canary-2-Hd7MsY4bQf9CgU6e",
    "userinfo": "canary-3-Vb1NxK5tRw0JzA8o",
    "redis": "canary-4-Pe6LiG3mXy2DuS9h",
    "env": "canary-5-Fq4OcT7kEj8BwN1r",
    "telemetry": "canary-6-Ty8VmD2rLq7XnB4s",
}
CALLER = "token-caller"
CONFIG = """
version: 1
providers:
  fake: {{type: openai, base_url: "http://127.0.0.1:{upstream}/v1", api_key: "{one}"}}
  gone: {{type: openai, base_url: "http://{userinfo}:{userinfo}@127.0.0.1:1/v1", api_key: "{two}"}}
  odd: {{type: openai, base_url: "http://127.0.0.1:{upstream}/v1", api_key: "${{WEIR_CANARY}}"}}
routes:
  - {{name: gone, match: {{model: gone}}, provider: gone, policy: test}}
  - {{name: odd, match: {{model: odd}}, provider: odd, policy: test}}
  - {{name: all, provider: fake, policy: test, unguarded: [/v1/files]}}
limits: {{url: "redis://:{redis}@127.0.0.1:{nowhere}/0"}}
telemetry: {{endpoint: "{receiver}", headers: {{authorization: "Bearer {telemetry}"}}}}
keys:
"""


class Witness:
    """Asks, and keeps all that it hears."""

    def __init__(self, weir: Weir, received: Received) -> None:
        self.weir, self.received = weir, received
        self.heard: list[str] = []

    def ask(self, model: str = "m", path: str = "/v1/chat/completions", raw: bytes | None = None, **more: Any) -> int:
        body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "Hello there"}], **more}
        data = raw if raw is not None else json.dumps(body).encode()
        request = urllib.request.Request(self.weir.url + path, data, {"authorization": f"Bearer {CALLER}"})
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                self.heard.append(str(response.headers) + response.read().decode())
                return int(response.status)
        except urllib.error.HTTPError as error:
            with error:
                self.heard.append(str(error.headers) + error.read().decode())
            return error.code

    def becomes(self, text: str, config: Path, broken: bool) -> None:
        """Writes the config and waits until Weir has read it."""
        config.write_text(text)
        for _ in range(100):
            detail = self.weir.get("/readyz")
            self.heard.append(detail)
            if ("reload_error" in detail) == broken:
                return
            time.sleep(0.05)
        raise AssertionError("not read as expected: " + text)

    def look(self) -> None:
        self.heard += [self.weir.get(path) for path in ("/readyz", "/metrics", "/livez")]
        self.heard.append(repr(self.received.raw))
        self.heard.append(self.weir.log.read_text())
        for name, canary in {**CANARIES, "caller": CALLER}.items():
            for one in self.heard:
                assert canary not in one, (name, one[:2000])


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> Iterator[Received]:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    with over_http() as receiver:
        yield receiver


@pytest.fixture
def text(upstream: Upstream, received: Received, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("WEIR_CANARY", CANARIES["env"])
    config = CONFIG.format(upstream=upstream.port, nowhere=free_port(), receiver=received.url, **CANARIES)
    return config + key_line("caller", "requests_per_minute: 99")


@pytest.fixture
def witness(text: str, received: Received, tmp_path: Path) -> Iterator[Witness]:
    weir = start(write_home(tmp_path, text), tmp_path / "log", "--log-level", "debug")
    yield Witness(weir, received)
    weir.stop()


def test_answers_and_errors(witness: Witness, upstream: Upstream) -> None:
    def repeated(body: Any) -> str:
        """The whole head of the request, key and all, as some debugging proxies put it into their errors."""
        return f"{upstream.headers[-1]} is not to my liking"

    ask, key = witness.ask, CANARIES["one"]
    upstream.script = lambda body: whole(answer("Yes."))
    assert ask() == ask("odd") == 200
    assert ask("gone") == 502
    assert ask(raw=b"{") == 400
    upstream.script = lambda body: whole({"error": {"message": repeated(body)}}, "401 Unauthorized")
    assert ask() == ask("odd") == ask(path="/v1/files") == ask(path="/v1/embeddings", input="x") == 401
    assert any("[provider's key]" in one for one in witness.heard)  # it was said, and taken out
    upstream.script = lambda body: whole(repeated(body).encode(), "500 Internal Server Error", "text/plain")
    assert ask() == 500
    upstream.script = lambda body: whole(b"not JSON: " + repeated(body).encode())
    assert ask() == 502
    upstream.script = lambda body: streamed(chunk({"content": "one "}), 0.3, None)
    assert ask(stream=True) == 200
    upstream.script = lambda body: streamed(b"data: " + json.dumps({"error": {"message": repeated(body)}}).encode() + b"\n\n")
    assert ask(stream=True) == 200
    upstream.script = lambda body: [None]
    assert ask() == 502
    upstream.script = lambda body: [f"HTTP/1.1 200 {key}\r\n{key}: \0\r\n\r\n".encode(), None]
    assert ask() == 502
    upstream.script = lambda body: [f"HTTP/1.1 400 No\r\nx-echo: Bearer {key}\r\ncontent-length: 2\r\n\r\n{{}}".encode()]
    assert ask() == 400
    until(lambda: witness.received.spans and CANARIES["telemetry"] in witness.received.headers[0])  # there it belongs
    witness.look()
    assert "Redis does not answer" in witness.heard[-1]


def test_broken_configs(witness: Witness, text: str) -> None:
    config = witness.weir.folder / "config" / "weir.yaml"
    for broken in (
        text.replace("type: openai, base_url", "type: opnai, base_url"),
        text.replace('api_key: "canary', 'api_kye: "canary'),
        text.replace('api_key: "canary-1', 'api_key: ["canary-1').replace('RxL2p"', 'RxL2p"]'),
        text.replace("redis://:", "rediss:/:"),
        text.replace('base_url: "http://canary', 'base_url: "htp://canary'),
        text.replace("canary-1", "canary-1\\n"),
        text + f'  - "{CANARIES["one"]}\n',
    ):
        assert broken != text
        witness.becomes(broken, config, broken=True)
        witness.becomes(text, config, broken=False)
    witness.look()
    assert "reload refused" in witness.heard[-1]
