"""A network that somebody else runs: cut into questions, counted, and left alone for a while when it does not answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from proxy import metrics
from proxy.breaker import Breaker
from proxy.model.network import Read, Unavailable, Window, batches, joined

PADDING = 2.0  # times the tokens that are there: a round trip costs more than padding does
REST = 2.0  # seconds between two questions to one that does not answer
FRESH = 1.0  # seconds that an answer to "are you there" is good for

Ask = Callable[[Sequence[Window], bool], Read]


class Remote:
    """`ask` is asked of at most `most` windows at a time, `alive` whether it is there; both block, and raise Unavailable."""

    def __init__(self, name: str, ask: Ask, alive: Callable[[], None], most: int, close: Callable[[], None]) -> None:
        self.name, self.close = name, close
        self._ask, self._alive, self._most = ask, alive, most
        self._breaker = Breaker(pause=REST, longest=REST)
        self._lock = threading.Lock()
        self._problem, self._checked = "has not answered yet", 0.0

    def run(self, windows: Sequence[Window], embed: bool) -> Read:
        return joined([(members, self._one([windows[i] for i in members], embed)) for members in self._cut(windows)])

    def check(self) -> str:
        """What the last question came to; where that was no answer, it is asked again."""
        if self._problem and time.monotonic() - self._checked > FRESH:
            self._checked = time.monotonic()
            try:
                self._alive()
            except Unavailable as problem:
                self._problem = str(problem)
            else:
                self._problem = ""
                self._breaker.answered()
        return self._problem

    def _cut(self, windows: Sequence[Window]) -> list[list[int]]:
        return list(batches(windows, self._most, PADDING))

    def _one(self, windows: Sequence[Window], embed: bool) -> Read:
        with self._lock:
            admitted = self._breaker.admits(time.monotonic())
        if not admitted:
            metrics.network_answers.labels(self.name, "resting").inc()
            raise Unavailable("not asked: it has not answered for a while")
        started = time.monotonic()
        try:
            found = self._ask(windows, embed)
        except Unavailable as problem:
            with self._lock:
                self._breaker.failed(time.monotonic())
                self._problem = str(problem)
            metrics.network_answers.labels(self.name, "failed").inc()
            raise
        with self._lock:
            self._breaker.answered()
            self._problem = ""
        metrics.network_seconds.labels(self.name).observe(time.monotonic() - started)
        metrics.network_answers.labels(self.name, "answered").inc()
        return found
