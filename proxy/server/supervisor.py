"""`weir serve --workers N`: N processes that accept from one socket, and this one, which starts, counts and replaces them.

SIGTERM or SIGINT: all finish what they have begun, then this ends; a second one ends everything at once. SIGHUP: everything is
loaded anew and the workers are replaced one by one, for what a reload cannot change (the model, `limits.url`); when it does
not load, those that run stay. The listening socket is open all the while, so no connection is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client.multiprocess import mark_process_dead

from proxy.config import load_config
from proxy.server.counters import InProcess, Lease
from proxy.server.line import Beat, Correct, FromSupervisor, Levels, Ready, Renew, Stop, Take, encoded, from_worker
from proxy.server.template import Launch, shareable

log = logging.getLogger("weir")

START = 120.0  # seconds that loading may take
SILENT = 30.0  # seconds without a beat after which a worker counts as stuck
SPARE = 5.0  # seconds beyond `listen.drain` before what has not ended is killed
LOOK = 1.0  # seconds between two looks at the workers
BACK_OFF = 5.0  # seconds at most between the death of a worker and the next one's start


@dataclass(eq=False)
class Worker:
    """One worker, as seen from here."""

    pid: int
    writer: asyncio.StreamWriter
    started: float = field(default_factory=time.monotonic)
    heard: float = field(default_factory=time.monotonic)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    welcome: str = ""
    leases: dict[str, Lease] = field(default_factory=dict)

    def say(self, message: FromSupervisor) -> None:
        if not self.writer.is_closing():
            self.writer.write(encoded(message))

    def kill(self) -> None:
        if not self.gone.is_set():  # its line is open, so the number is still its own
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    async def settled(self, stopping: asyncio.Event) -> bool:
        """Whether it serves; False when it ended, did not come so far, or needs not any more."""
        await _first(self.ready.wait(), self.gone.wait(), stopping.wait())
        return self.ready.is_set() and not self.gone.is_set()


async def _first(*waiting: Coroutine[Any, Any, object]) -> None:
    """Until one of them has come, but not longer than loading may take."""
    tasks = [asyncio.create_task(one) for one in waiting]
    await asyncio.wait(tasks, timeout=START, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@dataclass
class Template:
    process: asyncio.subprocess.Process
    control: socket.socket
    loaded: bytes = b""

    @classmethod
    async def start(cls, launch: Launch, folder: str, stopping: asyncio.Event) -> Template | int:
        """The exit code, when it does not load; it has said why, unless it was not waited for because all is `stopping`."""
        control, theirs = socket.socketpair()
        control.setblocking(False)
        launch = msgspec.structs.replace(launch, control=theirs.fileno())
        environment = {
            **os.environ, "PROMETHEUS_MULTIPROC_DIR": folder, "OPENBLAS_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false",
        }  # fmt: skip
        command = [sys.executable, "-m", "proxy.server.template", msgspec.json.encode(launch).decode()]
        process = await asyncio.create_subprocess_exec(
            *command, pass_fds=[theirs.fileno(), *launch.listeners], env=environment, start_new_session=False
        )
        theirs.close()
        template = cls(process, control)
        await _first(template._load(), stopping.wait())
        if template.loaded:
            return template
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        template.close()
        code = await process.wait()
        return code if code > 0 else 1

    async def fork(self) -> tuple[int, socket.socket] | None:
        """The worker's number and our end of its line; None when the template is gone."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self.control, [b"fork"], [theirs.fileno()])
            except OSError:
                return None
        answer = await self._answer()
        return (int(answer), ours) if answer else None

    async def _load(self) -> None:
        self.loaded = await self._answer()

    async def _answer(self) -> bytes:
        try:
            async with asyncio.timeout(START):
                return await asyncio.get_running_loop().sock_recv(self.control, 64)
        except (OSError, TimeoutError):
            return b""

    def close(self) -> None:
        self.control.close()  # it ends by itself, and its workers do not notice


class Supervisor:
    def __init__(self, launch: Launch, workers: int, drain: float, listeners: list[socket.socket]) -> None:
        self._launch, self._count, self._drain, self._listeners = launch, workers, drain, listeners
        self._template: Template | None = None
        self._workers: list[Worker] = []  # those that should serve
        self._leaving: list[Worker] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._counters = InProcess()
        self._news = asyncio.Event()
        self._stopping, self._renewing = asyncio.Event(), False
        self._deaths = 0

    async def run(self) -> int:
        """The command's exit code."""
        loop = asyncio.get_running_loop()
        for sig in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sig, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._renew_soon)
        self._folder = tempfile.mkdtemp(prefix="weir-metrics-")  # each worker's numbers; whoever is asked adds them up
        looking = asyncio.create_task(self._kill_stuck())
        try:
            template = await Template.start(self._launch, self._folder, self._stopping)
            if isinstance(template, int):
                return 0 if self._stopping.is_set() else template
            self._template = template
            for _ in range(self._count):
                await self._add()
            if not await self._all_ready():
                return 0 if self._stopping.is_set() else 2
            print(f"{self._workers[0].welcome}\n  workers {self._count}", file=sys.stderr, flush=True)
            await self._watch()
        finally:
            looking.cancel()
            await self._end()
            shutil.rmtree(self._folder, ignore_errors=True)
        return 0

    # -- signals

    def _stop(self) -> None:
        if self._stopping.is_set():
            for worker in (*self._workers, *self._leaving):
                worker.kill()
        self._stopping.set()
        self._news.set()

    def _renew_soon(self) -> None:
        self._renewing = True
        self._news.set()

    # -- the life of the workers

    async def _add(self) -> Worker | None:
        made = await self._template.fork() if self._template is not None else None
        if made is None:
            return None
        pid, line = made
        reader, writer = await asyncio.open_connection(sock=line)
        worker = Worker(pid, writer)
        task = asyncio.create_task(self._listen(worker, reader))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._workers.append(worker)
        return worker

    async def _all_ready(self) -> bool:
        return all(await asyncio.gather(*(w.settled(self._stopping) for w in self._workers))) and not self._stopping.is_set()

    async def _watch(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), LOOK)
            self._news.clear()
            if self._renewing and not self._stopping.is_set():
                self._renewing = False
                await self._renew()
            for worker in [w for w in self._workers if w.gone.is_set()]:
                await self._replace(worker)

    async def _kill_stuck(self) -> None:
        """For as long as this runs, also while others are waited for."""
        while True:
            await asyncio.sleep(LOOK)
            for worker in [w for w in self._workers if not w.gone.is_set()]:
                if time.monotonic() - worker.heard > (SILENT if worker.ready.is_set() else START):
                    log.error("a worker does not answer any more, it is killed", extra={"fields": {"pid": worker.pid}})
                    worker.kill()

    async def _replace(self, worker: Worker) -> None:
        self._workers.remove(worker)
        if self._stopping.is_set():
            return
        log.error("a worker ended by itself, another takes its place", extra={"fields": {"pid": worker.pid}})
        self._deaths = self._deaths + 1 if time.monotonic() - worker.started < 10 else 0
        if self._deaths:
            await self._pause(min(BACK_OFF, 0.1 * 2**self._deaths))
        if not self._stopping.is_set() and await self._add() is None:
            template = await Template.start(self._launch, self._folder, self._stopping)
            if isinstance(template, Template):
                self._template = template
                await self._add()
            else:
                self._workers.append(worker)  # still gone: tried again at the next look

    async def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._stopping.is_set() and time.monotonic() < end:
            await asyncio.sleep(0.05)

    async def _renew(self) -> None:
        """Each new worker serves before an old one is asked to leave."""
        began = time.monotonic()
        fresh = await Template.start(self._launch, self._folder, self._stopping)
        if isinstance(fresh, int):
            if not self._stopping.is_set():
                log.error("the new configuration does not load, the running workers stay")
            return
        old, self._template = self._template, fresh
        for worker in list(self._workers):
            added = await self._add()
            settled = added is not None and await added.settled(self._stopping)
            if self._stopping.is_set():
                break
            if not settled:
                log.error("a new worker does not start, the remaining old ones stay")
                if added is not None:
                    added.kill()
                    self._workers.remove(added)
                self._template = old
                fresh.close()
                return
            self._workers.remove(worker)
            self._leave(worker)
        if old is not None:
            old.close()
        if not self._stopping.is_set():
            seconds = round(time.monotonic() - began, 2)
            log.info("all workers are new", extra={"fields": {"workers": len(self._workers), "seconds": seconds}})

    def _leave(self, worker: Worker) -> None:
        self._leaving.append(worker)
        worker.say(Stop())
        asyncio.get_running_loop().call_later(self._drain + SPARE, worker.kill)

    async def _end(self) -> None:
        for sock in self._listeners:
            sock.close()
        for worker in self._workers:
            self._leave(worker)
        self._workers = []
        if self._template is not None:  # it holds the listening socket too: whoever comes now is refused, not left to wait
            self._template.close()
            await self._template.process.wait()
        for worker in list(self._leaving):
            await worker.gone.wait()
        for task in list(self._tasks):
            await task

    # -- what they say

    async def _listen(self, worker: Worker, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                worker.heard = time.monotonic()
                await self._heard(worker, line)
        except OSError:
            pass
        worker.writer.close()
        for lease in worker.leases.values():  # its streams have ended with it
            await self._counters.correct([], lease)
        mark_process_dead(worker.pid, self._folder)  # type: ignore[no-untyped-call]
        worker.gone.set()
        if worker in self._leaving:
            self._leaving.remove(worker)
        self._news.set()

    async def _heard(self, worker: Worker, line: bytes) -> None:
        message = from_worker.decode(line)
        match message:
            case Beat():
                pass
            case Ready(welcome):
                worker.welcome = welcome
                worker.ready.set()
            case Take(buckets, lease):
                taken = await self._counters.take(buckets, lease)
                if lease is not None and taken.refused is None:
                    worker.leases[lease.holder] = lease
                worker.say(Levels(taken.levels, taken.refused))
            case Correct(buckets, lease):
                await self._counters.correct(buckets, lease)
                if lease is not None:
                    worker.leases.pop(lease.holder, None)
            case Renew(lease):
                await self._counters.renew(lease)


def supervise(config_path: Path | None, host: str, port: int, workers: int, log_level: str) -> int:
    """Raises OSError when the address cannot be had."""
    config = load_config(config_path)
    listeners = listen(host, port)
    where = f"{host}:{listeners[0].getsockname()[1]}"
    launch = Launch(
        -1, [s.fileno() for s in listeners], where, log_level, str(config_path) if config_path else None, shareable(config)
    )
    return asyncio.run(Supervisor(launch, workers, config.listen.drain, listeners).run())


def listen(host: str, port: int) -> list[socket.socket]:
    """A socket for each address of `host`, as with one process."""
    found = dict.fromkeys(
        (family, address[:2]) for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    )
    return [socket.create_server((str(address[0]), int(address[1])), family=family, backlog=2048) for family, address in found]
