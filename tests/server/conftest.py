"""A real Weir process in front of a real upstream process-in-a-thread that says what the test tells it to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

POLICY = """
version: 1
name: test
media: flag
rules:
  - {id: personal-data, detect: {entities: [email, phone, credit_card, iban, us_ssn, fr_nir]}, action: redact}
  - {id: secrets, detect: {secrets: true}, action: redact}
  - {id: codenames, detect: {keywords: [bluebird, "project kestrel"]}, action: block}
  - {id: noted, detect: {keywords: [curious]}, action: flag}
  - {id: watched, detect: {keywords: [sparrowhawk]}, action: block, mode: monitor}
"""
MODEL_POLICY = POLICY.replace("name: test", "name: judged") + (
    "  - {id: violence, detect: {category: violence, fpr: 0.002}, action: block}\n"
)
CONFIG = """
version: 1
providers:
  fake: {{type: openai, base_url: "http://127.0.0.1:{upstream}/v1", timeouts: {{connect: 2s, first_byte: 5s, idle: 5s}}}}
  gone: {{type: openai, base_url: "http://127.0.0.1:1/v1"}}
  demo: {{type: demo}}
routes:
  - {{name: judged, match: {{model: "judged-*"}}, provider: fake, model: real-model, policy: judged}}
  - {{name: gone, match: {{model: "gone"}}, provider: gone, policy: test}}
  - {{name: demo, match: {{model: "demo"}}, provider: demo, policy: test}}
  - {{name: refuse, match: {{model: "refuse"}}, provider: fake, policy: refuse}}
  - {{name: azure, match: {{model: "azure"}}, provider: fake, policy: test, annotations: azure}}
  - {{name: main, match: {{model: "*"}}, provider: fake, policy: test}}
"""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@dataclass
class Upstream:
    """Speaks raw HTTP/1.1, so that a test can say exactly which bytes arrive when. `script` gets the request's body."""

    port: int = 0
    script: Callable[[dict[str, Any]], list[bytes | float | None]] = lambda body: []
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    (int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length")), 0
                )
                body = json.loads(await reader.readexactly(length) or b"{}")
                self.requests.append(body)
                self.headers.append(head.decode())
                for step in self.script(body):
                    if step is None:
                        writer.transport.abort()
                        return
                    if isinstance(step, float):
                        await asyncio.sleep(step)
                    elif callable(step):  # not before this is so
                        for _ in range(2000):
                            if step():
                                break
                            await asyncio.sleep(0.01)
                    else:
                        writer.write(step)
                        await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.cancelled.set()
        finally:
            writer.close()


def whole(body: dict[str, Any] | bytes, status: str = "200 OK", kind: str = "application/json") -> list[bytes | float | None]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return [
        f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\nx-request-id: up-1\r\ncontent-length: {len(data)}\r\n\r\n".encode()
        + data
    ]


def streamed(*pieces: bytes | float | None) -> list[bytes | float | None]:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return [head, *(b"%x\r\n%b\r\n" % (len(p), p) if isinstance(p, bytes) else p for p in pieces), b"0\r\n\r\n"]


def chunk(delta: dict[str, Any], finish: str | None = None, index: int = 0, **more: Any) -> bytes:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    body = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def answer(text: str | None, finish: str = "stop", **message: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": text, "refusal": None, **message}
    choice = {"index": 0, "message": said, "logprobs": None, "finish_reason": finish}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    fake = Upstream()
    ready = threading.Event()
    loop = asyncio.new_event_loop()

    def run() -> None:
        async def start() -> asyncio.Server:
            server = await asyncio.start_server(fake.serve, "127.0.0.1", 0, limit=1 << 26)
            fake.port = server.sockets[0].getsockname()[1]
            ready.set()
            return server

        server = loop.run_until_complete(start())
        loop.run_forever()
        server.close()
        if left := asyncio.all_tasks(loop):
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.wait(left))
        loop.run_until_complete(asyncio.sleep(0.01))  # sockets close a step after they are told to
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait(5)
    yield fake
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)


@dataclass(frozen=True)
class Weir:
    url: str
    folder: Path
    process: subprocess.Popen[bytes]
    log: Path

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=5) as response:
            return str(response.read().decode())

    def stop(self, seconds: float = 60) -> int:
        """Its exit code. One that does not end is killed, so that it is nobody else's trouble."""
        self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def start(config: Path, log: Path, *options: str, program: tuple[str, ...] = ("-m", "proxy")) -> Weir:
    port = free_port()
    command = [sys.executable, *program, "serve", "--config", str(config), "--port", str(port), *options]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stderr=out, stdout=out, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    weir = Weir(f"http://127.0.0.1:{port}", config.parent.parent, process, log)
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError(log.read_text())
        try:
            weir.get("/readyz")
            return weir
        except OSError:
            time.sleep(0.1)
    process.kill()
    process.wait()
    raise RuntimeError("not ready: " + log.read_text())


def home(folder: Path, **policies: str) -> Path:
    """Where a config has its policies; answers where it goes itself."""
    for name in ("config", "policies"):
        (folder / name).mkdir()
    for name, policy in policies.items():
        (folder / "policies" / f"{name}.yaml").write_text(policy)
    return folder / "config" / "weir.yaml"


@contextlib.contextmanager
def running(folder: Path, config: str, **policies: str) -> Iterator[Weir]:
    """A Weir with this config and these policies, which ends well."""
    path = home(folder, **policies)
    path.write_text(config)
    weir = start(path, folder / "log")
    try:
        yield weir
    finally:
        ended = weir.stop()
    assert ended in (0, -15)


@pytest.fixture(scope="session")
def weir(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weir]:
    refuse = POLICY.replace("name: test", "name: refuse\non_block: refuse\nrefusal: No, thank you.").replace(
        "media: flag", "media: block"
    )
    config = CONFIG.format(upstream=upstream.port)
    with running(tmp_path_factory.mktemp("weir"), config, test=POLICY, judged=MODEL_POLICY, refuse=refuse) as one:
        yield one


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL."""
    from tests.audit import postgres as server

    with server.running(tmp_path_factory.mktemp("postgres")) as url:
        yield url
