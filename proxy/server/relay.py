"""The loop between a StreamGuard and the world: it does what the guard asks, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from proxy.stream.guard import Command, Finish, Inspect, Send, StreamGuard
from proxy.types import Segment, Verdict
from proxy.upstream import Response, UpstreamError

Judge = Callable[[Segment, bool], Awaitable[Verdict]]  # (segment, whether judges that come after may be left for later)
Write = Callable[[bytes], Awaitable[None]]


async def relay(
    guard: StreamGuard, response: Response, judge: Judge, write: Write, prompt: asyncio.Task[Verdict] | None = None
) -> str:
    """Runs until the guard says that the stream is over; answers with its reason. Upstream is closed in every case.

    `prompt` is the last word on the prompt where a judge comes after; the guard knows that it is doubted.
    """
    try:
        if guard.rules.asks_model or prompt is not None:
            return await _with_judge(guard, response, judge, write, prompt)
        return await _alone(guard, response, write)
    finally:
        response.close()


async def _alone(guard: StreamGuard, response: Response, write: Write) -> str:
    """Without a classifier every command is answered on the spot."""
    try:
        async for data in response.chunks():
            for command in guard.received(data):
                if isinstance(command, Send):
                    await write(command.data)
                elif isinstance(command, Finish):
                    return command.reason
        last = guard.closed()
    except UpstreamError as error:
        last = guard.closed(str(error), error.code)
    for command in last:
        if isinstance(command, Send):
            await write(command.data)
    return next((c.reason for c in last if isinstance(c, Finish)), "error")


async def _with_judge(
    guard: StreamGuard, response: Response, judge: Judge, write: Write, prompt: asyncio.Task[Verdict] | None
) -> str:
    chunks = response.chunks()
    reading: asyncio.Task[bytes | None] | None = asyncio.create_task(_next(chunks))
    judging: dict[asyncio.Task[Verdict], Inspect] = {}

    async def obey(commands: list[Command]) -> str:
        for command in commands:
            if isinstance(command, Send):
                await write(command.data)
            elif isinstance(command, Inspect):
                judging[asyncio.create_task(_judged(judge, command.segment, True))] = command
            else:
                return command.reason
        return ""

    reason = ""
    try:
        while not reason:
            waiting: set[asyncio.Task[bytes | None] | asyncio.Task[Verdict]] = {*judging}
            if reading is not None:
                waiting.add(reading)
            if prompt is not None:
                waiting.add(prompt)
            if not waiting:
                return "error"
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in [t for t in judging if t in done]:
                asked, verdict = judging.pop(task), task.result()
                if verdict.pending:  # it holds for now; the judge's word follows
                    judging[asyncio.create_task(_judged(judge, asked.segment, False))] = asked
                reason = reason or await obey(guard.resolved(asked.id, verdict))
            if prompt is not None and prompt in done:
                reason = reason or await obey(guard.settled(prompt.result()))
                prompt = None
            if reading is not None and reading in done and not reason:
                try:
                    data = reading.result()
                    reading = asyncio.create_task(_next(chunks)) if data is not None else None
                    reason = await obey(guard.received(data) if data is not None else guard.closed())
                except UpstreamError as error:
                    reading = None
                    reason = await obey(guard.closed(str(error), error.code))
        return reason
    finally:
        for left in [*judging, *([reading] if reading is not None else [])]:
            left.cancel()
        await asyncio.gather(*judging, *([reading] if reading is not None else []), return_exceptions=True)


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    return await anext(chunks, None)


async def _judged(judge: Judge, segment: Segment, defer: bool) -> Verdict:
    return await judge(segment, defer)
