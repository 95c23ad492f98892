"""One batching queue per model per process. Inference happens on its threads, never on the event loop: but for a glance of the
screen at a short text, which takes less than to hand the text over."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b, sha256

from proxy import metrics
from proxy.model.classifier import Classifier, Found
from proxy.model.learner import Learner
from proxy.model.session import BATCH
from proxy.types import CATEGORIES

Item = tuple[str, str]  # (text, context)

PATIENCE = 5.0  # seconds that a text may wait; a caller waits for 10
MOST = 16  # times the depth, however fast they are read
GLANCE = 400  # characters that the screen may read on the event loop, in about 0.1 ms: a piece of an answer and its lead


class QueueFull(Exception):
    """More texts wait than the process can ever answer in time."""


@dataclass(slots=True)
class _Job:
    item: Item = field(repr=False)
    sift: bool
    embed: bool
    key: bytes
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Found]
    since: float  # monotonic


class ScoringQueue:
    """Scores texts, and remembers: what was read once under this model is not read again.

    What waits is read together, `batch` texts at most. With `wait`, a text may be kept so many seconds for others to come: on
    a GPU a batch costs little more than one text. On a CPU it costs as much as its texts, so there nothing is kept waiting, and
    no text for the end of another: each is answered when it is read.

    `beside` are further classifiers with queues of their own. `score` and `score_many` do not ask them.
    """

    def __init__(
        self, classifier: Classifier, workers: int = 1, depth: int = 2048, remember: int = 20_000, batch: int = BATCH,
        wait: float = 0.0, beside: Sequence[Beside] = (),
    ) -> None:  # fmt: skip
        self.classifier = classifier
        self.beside = tuple(beside)
        self.categories = frozenset(CATEGORIES).difference(*(one.categories for one in beside))  # that this one answers for
        self.learner = Learner(classifier)
        self.cache_hits = self.cache_misses = self.screened = 0
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._limit, self._remember = depth, remember
        self._known: OrderedDict[bytes, Found] = OrderedDict()
        self._running: dict[bytes, asyncio.Future[Found]] = {}
        self._workers, self._batch, self._wait = workers, batch, wait
        self._waited: float | None = None  # seconds, of who was read last
        self._threads: list[threading.Thread] = []  # from the first text on: a process with threads cannot well be forked

    @property
    def depth(self) -> int:
        return self._jobs.qsize()

    @property
    def all(self) -> tuple[ScoringQueue, ...]:
        return (self, *(one.queue for one in self.beside))

    def of(self, category: str) -> ScoringQueue:
        """The one that answers for it."""
        return next((one.queue for one in self.beside if category in one.categories), self)

    def threshold(self, category: str, fpr: float, role: str = "any") -> float:
        """By the calibration of the one that answers for it. Raises ModelError."""
        return self.of(category).classifier.artefact.threshold(category, fpr, role)

    @property
    def labels(self) -> list[str]:
        """What can be scored here."""
        theirs = [category for one in self.beside for category in one.categories]
        return [c for c in CATEGORIES if c in theirs or (c in self.classifier.artefact.labels and c in self.categories)]

    @property
    def sha256(self) -> str:
        """Of the model; of several models together, and of what they answer for."""
        if not self.beside:
            return self.classifier.artefact.sha256
        parts = (f"{one.queue.sha256} {' '.join(sorted(one.categories))}" for one in self.beside)
        return sha256("\n".join((self.classifier.artefact.sha256, *parts)).encode()).hexdigest()

    def check(self) -> str:
        """Why one of the classifiers cannot be asked just now; empty when all can. Blocks."""
        return next((problem for one in self.all if (problem := one.classifier.network.check())), "")

    async def read(self, items: Sequence[Item]) -> list[dict[str, float]]:
        """Every category's score, each from the one that answers for it. Raises QueueFull."""
        own, *theirs = await asyncio.gather(self.score_many(items), *(one.queue.score_many(items) for one in self.beside))
        found = [{c: p for c, p in scores.items() if c in self.categories} for scores in own]
        for one, some in zip(self.beside, theirs, strict=True):
            for scores, more in zip(found, some, strict=True):
                scores.update({c: p for c, p in more.items() if c in one.categories})
        return found

    async def score_many(self, items: Sequence[Item], sift: bool = False, embed: bool = False) -> list[Found]:
        """Raises QueueFull."""
        return (
            list(await asyncio.gather(*(self.score(*item, sift, embed) for item in items)))
            if len(items) != 1
            else [await self.score(*items[0], sift, embed)]
        )

    def glance(self, text: str, context: str = "", lead: int = 0) -> Found | None:
        """What `score` would find with `sift`, if that takes no longer than handing the text to another thread: what is
        remembered, or nothing at all for what is surely fine. None: ask `score`. The first `lead` characters of the text are
        the end of one that was read before."""
        key, known = self._recall(text, context, sift=True)
        growing = self.classifier.screen.growing if self.classifier.screen is not None else None
        if known is not None or growing is None or len(text) > GLANCE or growing.suspects(text, context, lead):
            return known
        self.cache_misses += 1
        self.screened += 1
        return self._learn(key, Found())

    async def score(self, text: str, context: str = "", sift: bool = False, embed: bool = False) -> Found:
        """With `sift`, a text that the screen says is surely fine has no scores. With `embed` it has its embeddings too."""
        key, known = self._recall(text, context, sift, embed)
        if known is not None:
            return known
        running = self._running.get(key)
        loop = asyncio.get_running_loop()
        if running is None or running.get_loop() is not loop:
            if self._is_full():
                raise QueueFull
            self.cache_misses += 1
            running = loop.create_future()
            self._running[key] = running
            self._start()
            self._jobs.put(_Job((text, context), sift and not embed, embed, key, loop, running, time.monotonic()))
        return await asyncio.shield(running)  # a caller that goes away must not take the others' answer along

    def _recall(self, text: str, context: str, sift: bool, embed: bool = False) -> tuple[bytes, Found | None]:
        """The text's key, and what is remembered of it."""
        digest = self._digest(text, context)
        whole = digest + b"embedded"
        key = whole if embed else digest + b"sifted" if sift else digest
        for one in (whole,) if embed else dict.fromkeys((key, digest, whole)):  # a fuller reading serves all
            known = self._known.get(one)
            if known is not None:
                self._known.move_to_end(one)
                self.cache_hits += 1
                return key, known
        return key, None

    def _learn(self, key: bytes, found: Found) -> Found:
        self._known[key] = found
        if len(self._known) > self._remember:
            self._known.popitem(last=False)
        return found

    def _is_full(self) -> bool:
        """A few whole answers are thousands of texts, most of which the screen reads in no time: more than `depth` may wait
        while nobody has waited long."""
        depth = self.depth
        return depth >= self._limit and (self._waited is None or self._waited > PATIENCE or depth >= MOST * self._limit)

    def _start(self) -> None:
        while len(self._threads) < self._workers:
            name = f"weir-classifier-{len(self._threads)}"
            self._threads.append(threading.Thread(target=self._work, name=name, daemon=True))
            self._threads[-1].start()

    def _digest(self, text: str, context: str) -> bytes:
        digest = blake2b(digest_size=16, key=self.classifier.artefact.sha256[:32].encode())
        digest.update(len(context).to_bytes(4, "big"))
        digest.update(context.encode("utf-8", "surrogatepass"))
        digest.update(text.encode("utf-8", "surrogatepass"))
        return digest.digest()

    def close(self) -> None:
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join(timeout=5)
        for one in self.beside:
            one.queue.close()

    def _work(self) -> None:
        crowd = 1  # how many were read together the last time: who is alone need not wait for others
        while (job := self._jobs.get()) is not None:
            batch = [job]
            stop = False
            until = job.since + self._wait if crowd > 1 else 0.0
            while len(batch) < self._batch:
                try:
                    more = self._jobs.get(timeout=max(0.0, until - time.monotonic())) if until else self._jobs.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    stop = True
                    break
                batch.append(more)
            crowd = len(batch)
            metrics.batch_texts.observe(len(batch))
            waited = time.monotonic() - job.since
            try:
                found: list[Found] | Exception = self.classifier.score(
                    [j.item for j in batch], [j.sift for j in batch], any(j.embed for j in batch)
                )
            except Exception as error:  # whatever the runtime throws belongs to the callers, not to this thread
                found = error
            self._waited = waited
            for index, one in enumerate(batch):
                result = found if isinstance(found, Exception) else found[index]
                try:
                    one.loop.call_soon_threadsafe(self._deliver, one, result)
                except RuntimeError:
                    continue  # its loop is closed: nobody is waiting
            if stop:
                return

    def _deliver(self, job: _Job, result: Found | Exception) -> None:
        self._running.pop(job.key, None)
        if isinstance(result, Exception):
            if not job.answer.done():
                job.answer.set_exception(result)
                job.answer.exception()  # read once, so that nobody waiting is not a warning
            return
        self.screened += not result
        self._learn(job.key, result)
        if not job.answer.done():
            job.answer.set_result(result)


@dataclass(frozen=True, slots=True)
class Beside:
    """A classifier that answers for its categories in the place of the main one, by its own calibration."""

    name: str
    queue: ScoringQueue
    categories: frozenset[str]
    timeout: float
