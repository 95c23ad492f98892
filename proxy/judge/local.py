"""A judge's model on this machine: a folder for onnxruntime-genai, in a process of its own that is started for it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sys
from pathlib import Path
from typing import Any

from proxy.config import LocalJudge
from proxy.judge.format import Message, Reply
from proxy.judge.speaker import NoAnswer

_LONGEST = 1 << 24  # bytes of a line
_GRACE = 5.0  # seconds that the process has to end


class Local:
    """The process is started when somebody asks, and again if it has ended. While the model is loaded questions wait, as long
    as they may."""

    def __init__(self, settings: LocalJudge, folder: Path) -> None:
        self._settings, self._folder = settings, folder
        self._process: asyncio.subprocess.Process | None = None
        self._starting: asyncio.Task[asyncio.subprocess.Process] | None = None
        self._listening: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._numbers = itertools.count(1)

    async def say(self, messages: list[Message], settings: dict[str, Any]) -> Reply:
        process = await self._running()
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        question = {
            "id": number, "messages": messages, "effort": settings.get("reasoning_effort"), "seconds": self._settings.timeout,
            "most": self._settings.max_tokens,
        }  # fmt: skip
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps(question).encode() + b"\n")
            await process.stdin.drain()
            found = await answer
        except ConnectionError:
            raise NoAnswer("its process has ended") from None
        finally:
            self._waiting.pop(number, None)
        if problem := found.get("problem"):
            raise NoAnswer(problem, unwell=found.get("unwell", problem == "timed out"))
        return Reply(found["text"], found["reasoning"])

    async def warm(self) -> None:
        with contextlib.suppress(NoAnswer):
            await self._running()

    async def _running(self) -> asyncio.subprocess.Process:
        """Raises NoAnswer."""
        if self._process is not None and self._process.returncode is None:
            return self._process
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
            self._starting.add_done_callback(self._started)
        return await asyncio.shield(self._starting)  # who cannot wait any longer does not stop the loading

    def _started(self, task: asyncio.Task[asyncio.subprocess.Process]) -> None:
        self._starting = None
        if not task.cancelled():
            task.exception()  # whoever waited has had it

    async def _start(self) -> asyncio.subprocess.Process:
        settings = self._settings
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "proxy.judge.genai", str(self._folder), str(settings.threads), str(settings.concurrency),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=_LONGEST, start_new_session=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            first = await process.stdout.readline()
            told = json.loads(first) if first else {"ready": False, "problem": "its process has ended"}
        except BaseException:
            process.kill()
            raise
        if not told["ready"]:
            await process.wait()
            raise NoAnswer(f"cannot be loaded: {told['problem']}")
        self._process = process
        self._listening = asyncio.create_task(self._listen(process))
        return process

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            found = json.loads(line)
            waiting = self._waiting.get(found["id"])
            if waiting is not None and not waiting.done():
                waiting.set_result(found)
        await process.wait()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_result({"problem": "its process has ended", "unwell": True})

    async def close(self) -> None:
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()  # it ends by itself when nobody can ask
        try:
            async with asyncio.timeout(_GRACE):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        if self._listening is not None:
            await asyncio.gather(self._listening, return_exceptions=True)
            self._listening = None
