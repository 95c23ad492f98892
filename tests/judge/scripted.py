"""A judge that says what the test tells it to: a real HTTP server that speaks OpenAI's chat completions."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Body = dict[str, Any]
_FENCED = re.compile(r"^\[([0-9a-f]{24})\]\n(.*?)\n\[\1\]$", re.MULTILINE | re.DOTALL)


def said(text: str | None, finish: str = "stop", **message: Any) -> Body:
    choice = {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
    return {"id": "j", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}


def content(body: Body) -> str:
    """What a judge was asked about."""
    return [m[2] for m in _FENCED.finditer(body["messages"][-1]["content"])][-1]


def before(body: Body) -> str:
    found = [m[2] for m in _FENCED.finditer(body["messages"][-1]["content"])]
    return found[0] if len(found) > 1 else ""


@dataclass
class ScriptedJudge:
    """`script(body)` answers: a body to send, bytes to send as they are, a number to answer with that status, None to hang up."""

    port: int = 0
    script: Callable[[Body], Body | bytes | int | None] = lambda body: said("0")
    delay: float = 0.0
    requests: list[Body] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    connections: set[Any] = field(default_factory=set)
    together: int = 0  # most requests at a time
    _now: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def reset(self) -> None:
        self.script, self.delay, self.together = lambda body: said("0"), 0.0, 0
        self.requests.clear()
        self.headers.clear()
        self.connections.clear()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(body := json.loads(await request.read()))
        self.headers.append({k.lower(): v for k, v in request.headers.items()})
        self.connections.add(request.transport)
        self._now += 1
        self.together = max(self.together, self._now)
        try:
            await asyncio.sleep(self.delay)
            found = self.script(body)
        finally:
            self._now -= 1
        if found is None:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if isinstance(found, int):
            return web.Response(status=found)
        if isinstance(found, bytes):
            return web.Response(body=found, content_type="application/json")
        return web.json_response(found)

    def wait_for(self, count: int, seconds: float = 5.0) -> None:
        """Until it was asked `count` times."""
        end = time.monotonic() + seconds
        while len(self.requests) < count:
            assert time.monotonic() < end, f"asked {len(self.requests)} times, not {count}"
            time.sleep(0.01)


@contextmanager
def serving() -> Iterator[ScriptedJudge]:
    judge = ScriptedJudge()
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    stop = asyncio.Event()

    async def run() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", judge.answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        judge.port = runner.addresses[0][1]
        ready.set()
        await stop.wait()
        await runner.cleanup()

    def work() -> None:
        loop.run_until_complete(run())
        if left := asyncio.all_tasks(loop):  # of clients that did not wait for their answer
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.wait(left))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert ready.wait(5)
    try:
        yield judge
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(5)
        loop.close()
