"""The queue before the store."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from proxy import metrics
from proxy.audit import AuditError, writer
from proxy.audit.store import Store
from proxy.audit.verify import verify
from proxy.audit.writer import Writer
from tests.audit.conftest import KEY, entry


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'weir.db'}"


def counted(url: str) -> int:
    store = Store.open(url, KEY)
    report = verify(store)
    store.close()
    assert report.problems == []
    return report.records


def dropped() -> float:
    return float(metrics.audit_dropped._value.get())


class Held:
    """Opens the store only when it is let."""

    def __init__(self, url: str) -> None:
        self.url, self.free = url, threading.Event()

    def __call__(self) -> Store:
        if not self.free.wait(20):
            raise AssertionError("never let")
        return Store.open(self.url, KEY)


def test_what_was_put_is_written_before_it_closes(url: str) -> None:
    one = Writer(lambda: Store.open(url, KEY), 5000, None, False)
    assert all(one.put(entry(n)) for n in range(1200))
    one.close()
    assert counted(url) == 1200


def test_what_finds_no_room_is_dropped_and_counted(url: str) -> None:
    held, before = Held(url), dropped()
    one = Writer(held, 3, None, False)
    assert [one.put(entry(n)) for n in range(5)] == [True, True, True, False, False]
    assert dropped() - before == 2
    held.free.set()
    one.close()
    assert counted(url) == 3


async def test_with_patience_requests_wait_and_nothing_is_dropped(url: str) -> None:
    held, before = Held(url), dropped()
    one = Writer(held, 3, None, True)
    assert await one.room(1)
    assert all(one.put(entry(n)) for n in range(4))  # those in flight still find a place
    assert not await one.room(0.05)
    held.free.set()
    assert await one.room(20)
    one.close()
    assert (counted(url), dropped()) == (4, before)


async def test_committed_means_that_it_is_there(url: str) -> None:
    one = Writer(lambda: Store.open(url, KEY), 10, None, False)
    assert await one.committed(entry(1), 20)
    assert counted(url) == 1  # while the writer still runs
    one.close()
    held = Held(url)
    two = Writer(held, 10, None, False)
    assert not await two.committed(entry(2), 0.05)
    held.free.set()
    two.close()


def test_a_store_that_comes_back(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "RETRY", 0.01)
    tries = []

    def opened() -> Store:
        tries.append(1)
        if len(tries) < 4:
            raise AuditError("not yet")
        return Store.open(url, KEY)

    one = Writer(opened, 10, None, False)
    one.put(entry(1))
    until = time.monotonic() + 20
    while one.waiting and time.monotonic() < until:
        time.sleep(0.01)
    one.close()
    assert (len(tries), counted(url)) == (4, 1)


def test_a_store_that_never_comes_back_is_given_up_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "RETRY", 0.01)
    monkeypatch.setattr(writer, "GIVE_UP", 0.1)
    before = dropped()

    def opened() -> Store:
        raise AuditError("never")

    one = Writer(opened, 10, None, False)
    one.put(entry(1))
    one.close()
    assert dropped() - before == 1


def test_what_is_too_old_goes(url: str) -> None:
    store = Store.open(url, KEY)
    store.append([entry(1, at=time.time() - 100), entry(2, at=time.time())])
    store.close()
    one = Writer(lambda: Store.open(url, KEY), 10, 50.0, False)
    one.put(entry(3))
    one.close()
    store = Store.open(url, KEY)
    assert [r.kind for r in store.read()] == ["request", "retention", "request"]
    assert verify(store).problems == []
    store.close()
