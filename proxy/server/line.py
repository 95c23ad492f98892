"""What a worker and its supervisor say to each other: JSON lines over a socket pair.

The supervisor keeps the numbers of keys' limits, so that they add up over the workers and outlive each of them. When a line
breaks the other end has died: a worker whose supervisor is gone finishes what it has and ends.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from proxy.server.counters import Bucket, InProcess, Lease, Taken

log = logging.getLogger("weir")


class Ready(msgspec.Struct, tag=True):
    """The worker accepts connections. `welcome` is for the operator."""

    welcome: str


class Beat(msgspec.Struct, tag=True):
    """Once a second: its event loop is not stuck."""


class Take(msgspec.Struct, tag=True):
    buckets: list[Bucket]
    lease: Lease | None


class Correct(msgspec.Struct, tag=True):
    buckets: list[Bucket]
    lease: Lease | None


class Renew(msgspec.Struct, tag=True):
    lease: Lease


class Stop(msgspec.Struct, tag=True):
    """Finish what has begun, accept nothing new."""


class Levels(msgspec.Struct, tag=True):
    """The answer to a Take; answers come in the order of the questions."""

    levels: list[float]
    refused: int | None


FromWorker = Ready | Beat | Take | Correct | Renew
FromSupervisor = Stop | Levels

_encode = msgspec.json.Encoder().encode
_from_supervisor: msgspec.json.Decoder[FromSupervisor] = msgspec.json.Decoder(FromSupervisor)
from_worker: msgspec.json.Decoder[FromWorker] = msgspec.json.Decoder(FromWorker)


def encoded(message: FromWorker | FromSupervisor) -> bytes:
    return _encode(message) + b"\n"


class Line:
    """The worker's end. It counts like any other Counters, but at the supervisor."""

    def __init__(self, end: socket.socket, on_stop: Callable[[], None]) -> None:
        self._end, self._on_stop = end, on_stop
        self._writer: asyncio.StreamWriter | None = None
        self._asked: deque[asyncio.Future[Taken]] = deque()
        self._local = InProcess()  # for what is still running when the supervisor has died

    async def open(self) -> None:
        reader, self._writer = await asyncio.open_connection(sock=self._end)
        self._reading = asyncio.create_task(self._read(reader))

    def say(self, message: FromWorker) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(encoded(message))

    async def take(self, buckets: Sequence[Bucket], lease: Lease | None = None) -> Taken:
        if self._writer is None or self._writer.is_closing():
            return await self._local.take(buckets, lease)
        answer: asyncio.Future[Taken] = asyncio.get_running_loop().create_future()
        self._asked.append(answer)
        self.say(Take(list(buckets), lease))
        try:
            return await answer
        except ConnectionError:
            return await self._local.take(buckets, lease)

    async def correct(self, buckets: Sequence[Bucket], lease: Lease | None = None) -> None:
        self.say(Correct(list(buckets), lease))

    async def renew(self, lease: Lease) -> None:
        self.say(Renew(lease))

    async def close(self) -> None:
        if self._writer is not None:
            self._reading.cancel()
            self._writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                message = _from_supervisor.decode(line)
                if isinstance(message, Stop):
                    self._on_stop()
                elif not (answer := self._asked.popleft()).done():  # done: who asked has gone meanwhile
                    answer.set_result(Taken(message.levels, message.refused))
        except OSError:
            pass
        log.error("the supervisor has ended, so this worker finishes too")
        if self._writer is not None:
            self._writer.close()
        for answer in self._asked:
            if not answer.done():
                answer.set_exception(ConnectionResetError())
        self._on_stop()
