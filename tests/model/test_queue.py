from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.model.queue import QueueFull, ScoringQueue


class Slow:
    """A classifier that waits until it may answer, and notes what it was asked."""

    artefact = SimpleNamespace(sha256="0" * 64)

    def __init__(self) -> None:
        self.batches: list[list[tuple[str, str]]] = []
        self.go = threading.Event()
        self.go.set()

    def score(self, items: Sequence[tuple[str, str]], sift: Sequence[bool] = (), embed: bool = False) -> list[dict[str, float]]:
        self.go.wait(5)
        self.batches.append(list(items))
        if any(text == "poison" for text, _ in items):
            raise RuntimeError("broken")
        return [{"hate": len(text) / 100} for text, _ in items]


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def queue(slow: Slow) -> Iterator[ScoringQueue]:
    one = ScoringQueue(slow, depth=4, remember=3)  # type: ignore[arg-type]
    yield one
    slow.go.set()
    one.close()


async def test_a_text_is_read_once_and_remembered_with_its_context(slow: Slow, queue: ScoringQueue) -> None:
    assert await queue.score("abcd") == {"hate": 0.04}
    assert await queue.score("abcd") == {"hate": 0.04}
    await queue.score("abcd", "before")
    assert sum(map(len, slow.batches)) == 2
    assert (queue.cache_hits, queue.cache_misses) == (1, 2)


async def test_the_same_text_twice_at_once_is_read_once(slow: Slow, queue: ScoringQueue) -> None:
    found = await queue.score_many([("same", "")] * 5)
    assert found == [{"hate": 0.04}] * 5
    assert sum(map(len, slow.batches)) == 1


async def test_what_waits_is_read_together(slow: Slow, queue: ScoringQueue) -> None:
    slow.go.clear()
    asked = [asyncio.create_task(queue.score("x" * n)) for n in range(1, 4)]
    await asyncio.sleep(0.05)
    slow.go.set()
    await asyncio.gather(*asked)
    assert len(slow.batches) <= 2


async def test_too_much_is_refused_at_once(slow: Slow, queue: ScoringQueue) -> None:
    slow.go.clear()
    asked: list[Any] = [asyncio.create_task(queue.score("the one being read"))]
    await asyncio.sleep(0.05)
    asked += (asyncio.create_task(queue.score(f"t{n}")) for n in range(4))
    await asyncio.sleep(0.05)
    with pytest.raises(QueueFull):
        await queue.score("one more")
    slow.go.set()
    await asyncio.gather(*asked)


@pytest.mark.parametrize(("waited", "taken"), [(0.1, 64), (5.5, 4), (None, 4)])
async def test_more_may_wait_while_nobody_waits_long(slow: Slow, queue: ScoringQueue, waited: float | None, taken: int) -> None:
    asked: list[Any] = [await held_up(slow, queue)]
    queue._waited = waited
    asked += (asyncio.create_task(queue.score(f"t{n}")) for n in range(80))
    await asyncio.sleep(0.05)
    slow.go.set()
    done = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(not isinstance(one, QueueFull) for one in done) == taken + 1


async def test_a_failure_belongs_to_who_asked_and_is_not_remembered(slow: Slow, queue: ScoringQueue) -> None:
    with pytest.raises(RuntimeError, match="broken"):
        await queue.score("poison")
    assert await queue.score("fine") == {"hate": 0.04}
    with pytest.raises(RuntimeError):
        await queue.score("poison")


async def test_who_leaves_takes_nobodys_answer_along(slow: Slow, queue: ScoringQueue) -> None:
    slow.go.clear()
    leaves, stays = asyncio.create_task(queue.score("both")), asyncio.create_task(queue.score("both"))
    await asyncio.sleep(0.02)
    leaves.cancel()
    slow.go.set()
    assert await stays == {"hate": 0.04}


async def test_it_forgets_the_oldest(slow: Slow, queue: ScoringQueue) -> None:
    for text in ("a", "b", "c", "d", "a"):
        await queue.score(text)
    assert sum(map(len, slow.batches)) == 5


@pytest.fixture
def patient(slow: Slow) -> Iterator[ScoringQueue]:
    one = ScoringQueue(slow, batch=3, wait=4.0)  # type: ignore[arg-type]
    yield one
    slow.go.set()
    one.close()


async def held_up(slow: Slow, queue: ScoringQueue) -> asyncio.Task[Any]:
    """One text that is being read until `slow.go` is set."""
    slow.go.clear()
    task = asyncio.create_task(queue.score("the one being read"))
    await asyncio.sleep(0)
    while queue.depth:
        await asyncio.sleep(0.001)
    return task


async def test_who_is_alone_waits_for_nobody_and_a_crowd_is_read_together(slow: Slow, patient: ScoringQueue) -> None:
    began = time.monotonic()
    await patient.score("alone")
    assert time.monotonic() - began < 3.5
    asked = [await held_up(slow, patient), *(asyncio.create_task(patient.score("a" * n)) for n in range(1, 5))]
    await asyncio.sleep(0)
    slow.go.set()
    await asyncio.gather(*asked[:4])  # the last one waits for more
    asked += [asyncio.create_task(patient.score("b" * n)) for n in (1, 2)]
    await asyncio.gather(*asked)
    assert [len(batch) for batch in slow.batches] == [1, 1, 3, 3]


async def test_a_crowd_that_has_gone_is_waited_for_once_and_not_longer_than_was_said(slow: Slow) -> None:
    queue = ScoringQueue(slow, batch=3, wait=0.05)  # type: ignore[arg-type]
    asked = [await held_up(slow, queue), *(asyncio.create_task(queue.score("a" * n)) for n in range(1, 4))]
    await asyncio.sleep(0)
    slow.go.set()
    await asyncio.gather(*asked)
    began = time.monotonic()
    await queue.score("late")
    assert time.monotonic() - began >= 0.045
    assert [len(batch) for batch in slow.batches] == [1, 3, 1]
    queue.close()
