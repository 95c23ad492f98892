"""Clients that dawdle, on raw sockets, against a real Weir process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import Upstream, Weir, answer, chunk, start, streamed, whole
from .test_keys import write_home

CONFIG = """
version: 1
providers: {{fake: {{type: openai, base_url: "http://127.0.0.1:{upstream}/v1"}}}}
routes: [{{name: all, provider: fake, policy: test}}]
limits: {{connections: 20, header_timeout: 1.5s, body_timeout: 2s, reader_timeout: 2s}}
"""
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hello there"}]}).encode()
STREAM = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hello there"}]}).encode()
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"


@pytest.fixture(scope="module")
def brisk(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weir]:
    folder = tmp_path_factory.mktemp("brisk")
    running = start(write_home(folder, CONFIG.format(upstream=upstream.port)), folder / "log")
    yield running
    assert running.stop() in (0, -15)


def connect(weir: Weir, buffer: int = 0) -> socket.socket:
    made = socket.socket()
    if buffer:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    made.settimeout(15)
    made.connect(("127.0.0.1", int(weir.url.rsplit(":", 1)[1])))
    return made


def alive(sock: socket.socket) -> None:
    """A first request on the connection, answered whole."""
    sock.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
    found = b""
    while not found.endswith(b'"ok"}'):
        found += sock.recv(4096)


def rest(sock: socket.socket) -> bytes:
    """All that comes until the other side ends it."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while data := sock.recv(65536):
            found += data
    return found


def drip(sock: socket.socket, data: bytes, pause: float = 0.2) -> float:
    """Byte by byte, until the other side has had enough; how long it had patience."""
    began = time.monotonic()
    with contextlib.suppress(OSError):
        for byte in data:
            sock.sendall(bytes([byte]))
            time.sleep(pause)
            if time.monotonic() - began > 10:
                break
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                if sock.recv(1, socket.MSG_PEEK) is not None:
                    break
            sock.setblocking(True)
            sock.settimeout(15)
    sock.settimeout(15)
    return time.monotonic() - began


def cut(weir: Weir, reason: str) -> float:
    name = f'weir_connections_cut_total{{reason="{reason}"}}'
    return sum(float(line.split()[-1]) for line in weir.get("/metrics").splitlines() if line.startswith(name))


@pytest.mark.parametrize("before", [False, True], ids=["first request", "second request"])
def test_slow_headers(brisk: Weir, before: bool) -> None:
    with connect(brisk) as sock:
        if before:
            alive(sock)
        patience = drip(sock, HEAD % len(BODY))
        assert 1.0 <= patience <= 4.5
        told = rest(sock)
    assert told.startswith(b"HTTP/1.1 408 ") and json.loads(told.split(b"\r\n\r\n")[1])["error"]["code"] == "request_timeout"


def test_a_connection_that_says_nothing_or_only_blank_lines(brisk: Weir) -> None:
    with connect(brisk) as silent, connect(brisk) as blank:
        alive(blank)
        assert 1.0 <= drip(blank, b"\r\n" * 40) <= 4.5
        assert rest(silent) == b""


def test_long_headers(brisk: Weir, upstream: Upstream) -> None:
    upstream.script = lambda body: whole(answer("Yes."))
    with connect(brisk) as sock:
        sock.sendall(b"GET /livez HTTP/1.1\r\n")
        with contextlib.suppress(OSError):
            for number in range(200):
                sock.sendall(b"x-%d: %s\r\n" % (number, b"x" * 1000))
        assert rest(sock).startswith((b"HTTP/1.1 431 ", b""))
    assert cut(brisk, "long headers") == 1
    with connect(brisk) as sock:  # as much in a body is nothing unusual
        big = json.dumps({"model": "m", "messages": [{"role": "user", "content": "water " * 40_000}]}).encode()
        sock.sendall(HEAD % len(big) + big)
        assert sock.recv(20).startswith(b"HTTP/1.1")


def test_slow_body(brisk: Weir, upstream: Upstream) -> None:
    before = len(upstream.requests)
    with connect(brisk) as sock:
        sock.sendall(HEAD % len(BODY))
        assert 1.5 <= drip(sock, BODY) <= 5
        assert rest(sock).startswith(b"HTTP/1.1 408 ")
    assert len(upstream.requests) == before
    assert cut(brisk, "slow body") == 1


def test_who_only_waits_for_a_slow_answer_is_left_alone(brisk: Weir, upstream: Upstream) -> None:
    upstream.script = lambda body: [4.0, *whole(answer("Yes."))]
    with connect(brisk) as sock:
        sock.sendall(HEAD % len(BODY) + BODY)
        assert sock.recv(65536).startswith(b"HTTP/1.1 200")
        # And so is one that asks its next question before it has the answer to the first, and part of a third.
        upstream.script = lambda body: [2.5, *whole(answer("Yes."))]
        sock.sendall((HEAD % len(BODY) + BODY) * 2 + (HEAD % len(BODY))[:20])
        found = b""
        while found.count(b"HTTP/1.1 200") < 2:
            found += sock.recv(65536)


def memory(weir: Weir) -> float:
    """MiB in use."""
    status = Path(f"/proc/{weir.process.pid}/status").read_text()
    return int(next(x for x in status.splitlines() if x.startswith("VmRSS")).split()[1]) / 1024


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_slow_reader_holds_the_upstream_back_and_is_cut(brisk: Weir, upstream: Upstream) -> None:
    """The upstream has 200 MB to say. What Weir takes of it is bounded, and so is its patience."""
    piece = chunk({"content": "water " * 10_000})
    taken = 0

    class Counted(list[Any]):
        def __iter__(self) -> Iterator[Any]:
            nonlocal taken
            yield from streamed()[:1]
            for _ in range(3500):
                taken += len(piece)
                yield b"%x\r\n%b\r\n" % (len(piece), piece)

    upstream.script = lambda body: Counted()
    before, cuts = memory(brisk), cut(brisk, "slow reader")
    with connect(brisk, buffer=4096) as sock:
        sock.sendall(HEAD % len(STREAM) + STREAM)
        assert sock.recv(100).startswith(b"HTTP/1.1 200")
        began, most = time.monotonic(), 0.0
        while cut(brisk, "slow reader") == cuts and time.monotonic() - began < 12:
            most = max(most, memory(brisk) - before)
            time.sleep(0.1)
        assert 1.5 <= time.monotonic() - began <= 8
        rest(sock)  # what had been on its way, and no more
    assert most < 32
    assert taken < 40_000_000  # the rest of the way are the kernel's socket buffers
    had = taken
    time.sleep(0.3)
    assert taken == had  # upstream was let go
    for _ in range(50):
        if "weir_streams 0.0" in brisk.get("/metrics"):
            break
        time.sleep(0.1)
    assert "weir_streams 0.0" in brisk.get("/metrics")


def test_a_reader_who_is_slow_but_steady_gets_all_of_it(brisk: Weir, upstream: Upstream) -> None:
    piece = chunk({"content": "water " * 10_000})
    upstream.script = lambda body: streamed(*[piece] * 60, chunk({}, "stop"), b"data: [DONE]\n\n")
    with connect(brisk, buffer=65536) as sock:
        sock.sendall(HEAD % len(STREAM) + STREAM)
        found, began = b"", time.monotonic()
        while b"[DONE]" not in found[-200:]:
            found += sock.recv(65536)
            time.sleep(0.05)
        assert time.monotonic() - began > 2
        assert found.count(b"water ") == 600_000


def test_too_many_connections(brisk: Weir, upstream: Upstream) -> None:
    upstream.script = lambda body: whole(answer("Yes."))
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(connect(brisk)) for _ in range(20)]
        time.sleep(0.2)
        with connect(brisk) as over:
            over.sendall(HEAD % len(BODY) + BODY)
            told = rest(over)
        assert told.startswith(b"HTTP/1.1 503 ") and b"too_many_connections" in told and b"retry-after: 1" in told
        held[3].sendall(HEAD % len(BODY) + BODY)
        assert held[3].recv(4096).startswith(b"HTTP/1.1 200")
        crowd = [stack.enter_context(connect(brisk)) for _ in range(90)]
        assert rest(crowd[-1]) == b""
    time.sleep(0.2)
    with connect(brisk) as sock:
        sock.sendall(HEAD % len(BODY) + BODY)
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
    assert cut(brisk, "too many") >= 90


def test_dawdlers_do_not_slow_the_others(brisk: Weir, upstream: Upstream) -> None:
    upstream.script = lambda body: whole(answer("Yes."))
    stop = threading.Event()

    async def dawdle() -> None:
        async def one() -> None:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", int(brisk.url.rsplit(":", 1)[1]))
                for byte in HEAD % 10:
                    if stop.is_set():
                        break
                    writer.write(bytes([byte]))
                    await asyncio.sleep(0.05)
                writer.close()

        await asyncio.gather(*(one() for _ in range(15)))

    thread = threading.Thread(target=lambda: asyncio.run(dawdle()))
    thread.start()
    time.sleep(0.3)
    try:
        for _ in range(5):
            with connect(brisk) as sock:
                began = time.monotonic()
                sock.sendall(HEAD % len(BODY) + BODY)
                assert sock.recv(4096).startswith(b"HTTP/1.1 200")
                assert time.monotonic() - began < 0.5
    finally:
        stop.set()
        thread.join(10)
