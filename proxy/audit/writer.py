"""Records leave the request's path here: a bounded queue, and one thread that writes what is there in batches."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from sqlalchemy.exc import SQLAlchemyError

from proxy import metrics
from proxy.audit import AuditError
from proxy.audit.entry import Entry
from proxy.audit.store import Store

log = logging.getLogger("weir")

BATCH = 500  # records in one transaction
PAUSE = 0.1  # seconds for a batch to fill
RETRY = 1.0  # seconds after a failed batch
GIVE_UP = 20.0  # seconds at the end of the process that a store which does not answer is tried for
WAIT = 10.0  # seconds that a request waits for the store
HOUR = 3600.0

_Work = tuple[Entry, Future[None] | None]


class Writer:
    """`opened` opens the store: in the thread, again until it succeeds. With `patient`, nothing is dropped for want of room:
    who has something to record asks for `room` first."""

    def __init__(self, opened: Callable[[], Store], size: int, retain: float | None, patient: bool) -> None:
        self._opened, self._retain, self._size = opened, retain, size
        self._queue: queue.Queue[_Work | None] = queue.Queue(0 if patient else size)
        self._policies: queue.SimpleQueue[tuple[str, str, str]] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._hurry = threading.Event()  # somebody waits for what is in the queue
        self._pruned = -HOUR  # the monotonic clock may begin at any number
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    # -- from the event loop

    def put(self, entry: Entry) -> bool:
        """False if there is no room; then it is counted, and gone."""
        try:
            self._queue.put_nowait((entry, None))
        except queue.Full:
            metrics.audit_dropped.inc()
            return False
        return True

    async def committed(self, entry: Entry, seconds: float = WAIT) -> bool:
        """Whether it is in the store; waits for that."""
        done: Future[None] = Future()
        try:
            self._queue.put_nowait((entry, done))
        except queue.Full:
            return False
        self._hurry.set()
        try:
            await asyncio.wait_for(asyncio.wrap_future(done), seconds)
        except TimeoutError:
            return False
        return True

    async def room(self, seconds: float = WAIT) -> bool:
        """Waits until a record would find a place."""
        deadline = time.monotonic() + seconds
        while self._queue.qsize() >= self._size:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.01)
        return True

    def remember(self, sha: str, name: str, source: str) -> None:
        self._policies.put((sha, name, source))

    @property
    def waiting(self) -> int:
        return self._queue.qsize()

    def close(self) -> None:
        """Writes what is left."""
        self._closing.set()
        self._hurry.set()
        with contextlib.suppress(queue.Full):  # it is awake then
            self._queue.put_nowait(None)
        self._thread.join(GIVE_UP + 5)

    # -- in the thread

    def _run(self) -> None:
        store = self._open()
        while store is not None:
            self._housekeeping(store)
            batch = self._next()
            if batch:
                self._write(store, batch)
            elif self._closing.is_set():
                break
        if store is not None:
            store.close()

    def _open(self) -> Store | None:
        until = None
        while True:
            try:
                return self._opened()
            except (AuditError, SQLAlchemyError) as problem:
                until = self._failed(problem, until)
                if until is not None and time.monotonic() > until:
                    self._lost(sum(work is not None for work in self._queue.queue))
                    return None

    def _next(self) -> list[_Work]:
        """The first that comes, and those that come shortly after; empty after a while, or at the end. The thread sleeps in
        between: to wake it for each record would cost every request more than the record does."""
        try:
            first = self._queue.get(timeout=1.0)
        except queue.Empty:
            return []
        batch = [first] if first is not None else []
        if first is not None:
            self._hurry.wait(PAUSE)
        if not self._closing.is_set():
            self._hurry.clear()
        while len(batch) < BATCH:
            try:
                work = self._queue.get_nowait()
            except queue.Empty:
                break
            if work is not None:
                batch.append(work)
        return batch

    def _write(self, store: Store, batch: list[_Work]) -> None:
        entries, again, until = [entry for entry, _ in batch], False, None
        while True:
            try:
                store.append(entries, again)
                break
            except (AuditError, SQLAlchemyError, OSError) as problem:
                again = True
                until = self._failed(problem, until)
                if until is not None and time.monotonic() > until:
                    self._lost(len(batch))
                    return
        metrics.audit_records.inc(len(batch))
        for _, done in batch:
            if done is not None and not done.cancelled():
                done.set_result(None)

    def _failed(self, problem: Exception, until: float | None) -> float | None:
        """Waits for the next try. Answers until when to go on trying, once the process ends."""
        metrics.audit_errors.inc()
        log.error("the decision log does not answer", extra={"fields": {"problem": type(problem).__name__}})
        if self._closing.is_set():
            until = until or time.monotonic() + GIVE_UP
        time.sleep(0.05 if self._closing.wait(RETRY) else 0.0)
        return until

    @staticmethod
    def _lost(count: int) -> None:
        metrics.audit_dropped.inc(count)
        log.error("records are lost: the decision log did not answer", extra={"fields": {"records": count}})

    def _housekeeping(self, store: Store) -> None:
        try:
            while not self._policies.empty():
                store.remember(*self._policies.get())
            if self._retain is not None and time.monotonic() - self._pruned > HOUR:
                self._pruned = time.monotonic()
                store.prune(time.time() - self._retain)
        except (AuditError, SQLAlchemyError) as problem:
            self._failed(problem, None)
