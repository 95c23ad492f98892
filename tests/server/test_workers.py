"""Several workers under one supervisor: what is restarted, reloaded or stopped loses nothing that had begun."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest

from proxy.audit.store import Query, Store
from proxy.audit.verify import verify

from .conftest import CONFIG, MODEL_POLICY, POLICY, Upstream, Weir, answer, chunk, home, start, streamed, whole
from .test_keys import HEAD, ask, client, key_line, left, write_home

TEXT = "The river rises in the hills and reaches the sea."


@contextlib.contextmanager
def several(
    upstream: Upstream, folder: Path, workers: int = 2, more: str = "", program: tuple[str, ...] = ("-m", "proxy")
) -> Iterator[Weir]:
    (folder / "config").mkdir()
    (folder / "policies").mkdir()
    for name in ("test", "refuse"):
        (folder / "policies" / f"{name}.yaml").write_text(POLICY.replace("name: test", f"name: {name}"))
    (folder / "policies" / "judged.yaml").write_text(MODEL_POLICY)
    config = folder / "config" / "weir.yaml"
    config.write_text(CONFIG.format(upstream=upstream.port) + more)
    weir = start(config, folder / "log", "--workers", str(workers), program=program)
    try:
        if workers > 1:  # one that answers is not all
            until(lambda: f"\n  workers {workers}\n" in weir.log.read_text())
        yield weir
    finally:
        assert weir.stop() == 0


def until(what: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.05)
    pytest.fail("it did not come to pass")


def said_by(weir: Weir, message: str) -> int:
    return weir.log.read_text().count(f'"message":"{message}"')


def number(weir: Weir, name: str) -> float:
    found = [line for line in weir.get("/metrics").splitlines() if line.startswith(name)]
    return sum(float(line.rsplit(" ", 1)[1]) for line in found)


def script(body: dict[str, Any]) -> list[bytes | float | None]:
    if body.get("stream"):
        words = [chunk({"content": word + " "}) for word in TEXT.split()]
        paced: list[bytes | float | None] = [piece for word in words for piece in (word, 0.02)]
        return streamed(*paced, chunk({}, "stop"), b"data: [DONE]\n\n")
    return whole(answer(TEXT))


async def load(weir: Weir, stop: asyncio.Event, seen: list[tuple[float, str]]) -> set[str]:
    """Clients that keep their connections and repeat nothing; any failure is the test's. The ids of what was answered."""
    ids: set[str] = set()
    count = 0

    async def one(session: aiohttp.ClientSession, stream: bool) -> None:
        nonlocal count
        while not stop.is_set():
            body = {"model": "m", "stream": stream, "messages": [{"role": "user", "content": f"Number {count}, please."}]}
            began = time.monotonic()
            async with session.post(weir.url + "/v1/chat/completions", json=body) as response:
                text = await response.text()
                assert response.status == 200, text
                seen.append((began, response.headers["x-weir-policy"]))
                if stream:
                    events = [json.loads(x[6:]) for x in text.split("\n\n") if x.startswith("data: {")]
                    said = "".join(c["delta"].get("content") or "" for e in events for c in e["choices"])
                    assert said.strip() == TEXT and text.endswith("data: [DONE]\n\n")
                else:
                    assert json.loads(text)["choices"][0]["message"]["content"] == TEXT
                count += 1
                ids.add(response.headers["x-weir-request-id"])

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(one(session, number % 2 == 0) for number in range(8)))
    return ids


async def test_restarts_and_reloads_under_load_lose_no_request_and_no_record(upstream: Upstream, tmp_path: Path) -> None:
    upstream.script = script
    log = f"sqlite:///{tmp_path / 'weir.db'}"
    with several(upstream, tmp_path, more=f"audit: {{url: '{log}'}}\n") as weir:
        stop, seen = asyncio.Event(), list[tuple[float, str]]()
        clients = asyncio.create_task(load(weir, stop, seen))
        for turn in (1, 2):
            weir.process.send_signal(signal.SIGHUP)
            await asyncio.to_thread(until, lambda turn=turn: said_by(weir, "all workers are new") == turn)
        (old,) = {policy for _, policy in seen}
        (tmp_path / "policies" / "test.yaml").write_text(POLICY + "  - {id: new, detect: {keywords: [owl]}, action: flag}\n")
        await asyncio.to_thread(until, lambda: said_by(weir, "reloaded") >= 2)
        await asyncio.to_thread(until, lambda: number(weir, f'weir_policies{{policy="{old}"}}') == 0)
        changed = time.monotonic()
        await asyncio.to_thread(until, lambda: seen[-1][0] > changed)
        (fresh,) = {policy for _, policy in seen} - {old}
        assert number(weir, f'weir_policies{{policy="{fresh}"}}') == 2
        (tmp_path / "policies" / "test.yaml").write_text("version: 1\nrules: nonsense\n")
        await asyncio.to_thread(until, lambda: said_by(weir, "reload refused, the running policies stay") == 2)
        weir.process.send_signal(signal.SIGHUP)  # what does not load replaces nobody
        await asyncio.to_thread(
            until, lambda: said_by(weir, "the new configuration does not load, the running workers stay") == 1
        )
        stop.set()
        answered = await clients
        assert {policy for began, policy in seen if began > changed} == {fresh} and len(answered) > 100
        assert number(weir, "weir_requests_total") == len(answered)  # those of the workers that have ended too
    with contextlib.closing(Store.open(log, create=False)) as store:
        found = [record.id for record in store.read(Query(kind="request"))]
        assert len(found) == len(answered) and set(found) == answered
        assert verify(store).problems == []


def test_limits_of_keys_are_counted_over_all_workers(upstream: Upstream, tmp_path: Path) -> None:
    upstream.script = lambda body: whole(answer("Yes."))
    keys = key_line("counted", "requests_per_minute: 12") + key_line("stream", "concurrent_streams: 1")
    path = write_home(tmp_path, HEAD.format(upstream=upstream.port) + keys)
    weir = start(path, tmp_path / "log", "--workers", "3")
    began = time.monotonic()

    def counts(asked: int) -> bool:
        """Whether the next request is the next of all: 12 less those, but for what a slow machine gave time to refill."""
        with client(weir, "counted") as one:  # a connection of its own, so that it meets whichever worker is free
            rest = left(one, "requests")
        return 12 - asked <= rest <= 12 - asked + int((time.monotonic() - began) * 12 / 60)

    try:
        assert all(counts(asked) for asked in range(1, 7))
        weir.process.send_signal(signal.SIGHUP)
        until(lambda: said_by(weir, "all workers are new"))
        assert counts(7)  # a restart forgives nothing

        upstream.script = lambda body: streamed(
            chunk({"content": "Once upon a time. "}), 60.0, chunk({}, "stop"), b"data: [DONE]\n\n"
        )
        with client(weir, "stream") as one, client(weir, "stream") as other:
            stream = ask(one, stream=True)
            with pytest.raises(openai.RateLimitError):
                ask(other, stream=True)
            stream.close()

            def free() -> bool:
                try:
                    ask(other, stream=True).close()
                except openai.RateLimitError:
                    return False
                return True

            until(free)
    finally:
        assert weir.stop() == 0


def stream_of(weir: Weir) -> Any:
    body = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}).encode()
    request = urllib.request.Request(weir.url + "/v1/chat/completions", body, {"content-type": "application/json"})
    response = urllib.request.urlopen(request, timeout=20)
    while b"content" not in (line := response.readline()):
        assert line
    return response


def said_in(events: bytes) -> str:
    """The text of a stream, in however many events it came."""
    bodies = [json.loads(line[6:]) for line in events.decode().splitlines() if line.startswith("data: {")]
    return "".join(choice["delta"].get("content") or "" for body in bodies for choice in body["choices"])


def refused(weir: Weir) -> bool:
    try:
        weir.get("/livez")
    except urllib.error.URLError:
        return True
    except OSError:
        pass
    return False


@pytest.mark.parametrize("workers", [1, 2])
def test_told_to_stop_it_finishes_its_streams_and_told_twice_it_ends_at_once(
    upstream: Upstream, tmp_path: Path, workers: int
) -> None:
    last = chunk({"content": "the end."})
    slow = streamed(chunk({"content": "Once upon a time. "}), 2.0, last, chunk({}, "stop"), b"data: [DONE]\n\n")
    upstream.script = lambda body: slow
    with several(upstream, tmp_path, workers) as weir:
        stream = stream_of(weir)
        weir.process.terminate()
        until(lambda: refused(weir))
        assert weir.process.poll() is None
        rest = stream.read()
        assert said_in(rest).endswith("the end.") and rest.endswith(b"data: [DONE]\n\n")
        assert weir.process.wait(20) == 0

    endless = streamed(chunk({"content": "Once upon a time. "}), 60.0, last)
    upstream.script = lambda body: endless
    weir = start(tmp_path / "config" / "weir.yaml", tmp_path / "log", "--workers", str(workers))
    stream = stream_of(weir)
    weir.process.terminate()
    until(lambda: refused(weir))
    assert weir.process.poll() is None
    began = time.monotonic()
    weir.stop()
    assert time.monotonic() - began < 5
    stream.close()


def test_a_worker_that_dies_is_replaced_and_a_dead_supervisor_leaves_nobody_behind(upstream: Upstream, tmp_path: Path) -> None:
    upstream.script = lambda body: whole(answer("Yes."))
    with several(upstream, tmp_path) as weir:
        victim = children(children(weir.process.pid)[0])[0]
        os.kill(victim, signal.SIGKILL)
        until(lambda: said_by(weir, "a worker ended by itself, another takes its place"))
        until(lambda: len(children(children(weir.process.pid)[0])) == 2)
        assert victim not in children(children(weir.process.pid)[0])
        assert weir.get("/livez")
    weir = start(tmp_path / "config" / "weir.yaml", tmp_path / "log", "--workers", "2")
    weir.process.kill()
    weir.process.wait(5)
    until(lambda: refused(weir))


def test_a_worker_that_is_stuck_is_killed_and_replaced(upstream: Upstream, tmp_path: Path) -> None:
    upstream.script = lambda body: whole(answer("Yes."))
    with several(upstream, tmp_path, program=patched("supervisor.SILENT = 4.0")) as weir:
        victim = children(children(weir.process.pid)[0])[0]
        os.kill(victim, signal.SIGSTOP)
        until(lambda: said_by(weir, "a worker does not answer any more, it is killed"))
        until(lambda: victim not in (now := children(children(weir.process.pid)[0])) and len(now) == 2)
        assert str(victim) in weir.log.read_text()
        with openai.OpenAI(base_url=weir.url + "/v1", api_key="x") as one:
            assert ask(one).choices[0].message.content == "Yes."


# The first worker is stopped before it has said anything.
STILLBORN = """
import os, signal
fork = supervisor.Template.fork
async def stillborn(self):
    made = await fork(self)
    supervisor.Template.fork = fork
    os.kill(made[0], signal.SIGSTOP)
    return made
supervisor.Template.fork = stillborn
"""


def test_told_to_stop_it_does_not_wait_for_a_worker_that_does_not_start(upstream: Upstream, tmp_path: Path) -> None:
    upstream.script = lambda body: whole(answer("Yes."))
    path = home(tmp_path, test=POLICY, refuse=POLICY, judged=MODEL_POLICY)
    path.write_text(CONFIG.format(upstream=upstream.port) + "listen: {drain: 1s}\n")
    weir = start(path, tmp_path / "log", "--workers", "2", program=patched(STILLBORN))
    assert "  workers 2" not in weir.log.read_text()
    assert weir.stop() == 0


def test_where_nothing_may_be_shared_each_worker_loads_for_itself(upstream: Upstream, tmp_path: Path) -> None:
    """As on macOS, or with a model that has threads or a GPU."""
    upstream.script = lambda body: whole(answer("Yes."))
    with several(upstream, tmp_path, program=patched("supervisor.shareable = lambda config: False")) as weir:
        before = children(children(weir.process.pid)[0])
        assert len(before) == 2 and all(has_model(pid) for pid in before)
        assert not has_model(children(weir.process.pid)[0])
        weir.process.send_signal(signal.SIGHUP)
        until(lambda: said_by(weir, "all workers are new"))
        until(lambda: len(children(children(weir.process.pid)[-1])) == 2)
        with openai.OpenAI(base_url=weir.url + "/v1", api_key="x") as one:
            assert ask(one).choices[0].message.content == "Yes."


def patched(change: str) -> tuple[str, ...]:
    """The command, with something in the supervisor as a test needs it."""
    return ("-c", f"from proxy.cli import main\nfrom proxy.server import supervisor\n{change}\nmain()")


def has_model(pid: int) -> bool:
    return "onnxruntime" in Path(f"/proc/{pid}/maps").read_text()


def children(pid: int) -> list[int]:
    return [int(x) for x in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_what_does_not_load_ends_with_its_words(upstream: Upstream, tmp_path: Path) -> None:
    with several(upstream, tmp_path) as weir:
        port = weir.url.rpartition(":")[2]
        with pytest.raises(RuntimeError, match="cannot listen on"):
            start(tmp_path / "config" / "weir.yaml", tmp_path / "log-3", "--workers", "2", "--port", port)
    (tmp_path / "policies" / "judged.yaml").write_text("version: 1\nrules: nonsense\n")
    with pytest.raises(RuntimeError, match=r"judged\.yaml:2"):
        start(tmp_path / "config" / "weir.yaml", tmp_path / "log-2", "--workers", "2")
