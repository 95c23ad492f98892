"""The queueing model behind `bench.scale`: workers of two queues on one core.

A worker has an event loop and a classifier, each of which takes what came first; while both have work they share the core that
the worker is planned with. A request visits loop, classifier, loop with its prompt, is the provider's for a while, and visits
loop, classifier, loop with the answer. Requests are spread over the workers by chance, as a load balancer that knows nothing
of queues does.

Simulated step by step, since no formula of the textbook has this; where one fits (M/M/1, M/D/1) a test holds the simulation
against it.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_LOOP, _CLASSIFIER = 0, 1
_ROUTE = (_LOOP, _CLASSIFIER, _LOOP, _CLASSIFIER, _LOOP)
_PROVIDER = 2  # before this visit the request is the provider's


class Cost(NamedTuple):
    """Seconds of CPU, of the prompt and of the answer."""

    prompt_loop: float
    prompt_read: float
    answer_loop: float
    answer_read: float

    @property
    def visits(self) -> tuple[float, float, float, float, float]:
        """An answer is taken in before it is read, and given out after it."""
        return self.prompt_loop, self.prompt_read, self.answer_loop / 2, self.answer_read, self.answer_loop / 2


@dataclass(frozen=True, slots=True)
class Job:
    """A request as the model sees it: when it comes, what it costs, the provider's time. Seconds."""

    at: float
    cost: Cost
    upstream: float = 0.0


def simulate(jobs: Sequence[Job], workers: int, rng: random.Random) -> NDArray[np.float64]:
    """What each job takes from its arrival to its end, in the order of the jobs, which rise in `at`."""
    took = np.zeros(len(jobs))
    home: list[list[int]] = [[] for _ in range(workers)]
    for number in range(len(jobs)):
        home[rng.randrange(workers)].append(number)
    for own in home:
        _work(jobs, own, took)
    return took


def _work(jobs: Sequence[Job], own: Sequence[int], took: NDArray[np.float64]) -> None:
    """One worker with its jobs."""
    coming = [(jobs[number].at, number, 0) for number in own]  # when, which, and its next visit
    heapq.heapify(coming)
    queues: tuple[deque[tuple[int, int]], deque[tuple[int, int]]] = (deque(), deque())
    at_work: list[tuple[int, int] | None] = [None, None]
    left = [0.0, 0.0]
    now = 0.0
    while True:
        for one in (_LOOP, _CLASSIFIER):
            if at_work[one] is None and queues[one]:
                at_work[one] = number, visit = queues[one].popleft()
                left[one] = jobs[number].cost.visits[visit]
        busy = [one for one in (_LOOP, _CLASSIFIER) if at_work[one] is not None]
        next_ = coming[0][0] if coming else float("inf")
        if not busy and not coming:
            return
        first = min(busy, key=lambda one: left[one], default=None)
        if first is None or now + left[first] * len(busy) > next_:
            for one in busy:
                left[one] -= (next_ - now) / len(busy)
            now = next_
            _, number, visit = heapq.heappop(coming)
            queues[_ROUTE[visit]].append((number, visit))
            continue
        spent = left[first]
        now += spent * len(busy)
        for one in busy:
            left[one] -= spent
        ended = at_work[first]
        assert ended is not None
        at_work[first] = None
        number, visit = ended[0], ended[1] + 1
        if visit == len(_ROUTE):
            took[number] = now - jobs[number].at - jobs[number].upstream
        elif visit == _PROVIDER and jobs[number].upstream:
            heapq.heappush(coming, (now + jobs[number].upstream, number, visit))
        else:
            queues[_ROUTE[visit]].append((number, visit))


def poisson(rate: float, costs: Sequence[Cost], count: int, rng: random.Random, upstream: float = 0.0) -> list[Job]:
    """Jobs that come independently of each other, `rate` a second, each as dear as one of `costs`."""
    jobs, at = [], 0.0
    for _ in range(count):
        at += rng.expovariate(rate)
        jobs.append(Job(at, rng.choice(costs), upstream))
    return jobs


def bisect(kept: Callable[[float], float], worst: float) -> float:
    """The highest load, to a hundredth, at which `kept` is below `worst`; `kept` rises. 0 when none is."""
    low, high = 0.0, 1.0
    while high - low > 0.01:
        middle = (low + high) / 2
        low, high = (middle, high) if kept(middle) < worst else (low, middle)
    return low
