"""One set of examples for both places where is counted: this process, and a real Redis."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from proxy.server.answers import Refusal
from proxy.server.counters import PAUSE, Bucket, Counters, InProcess, Lease, Shared

from .conftest import free_port


class Redis:
    """A redis-server process."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port, self.url = port, f"redis://127.0.0.1:{port}/0"
        command = ["redis-server", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(folder)]
        with (folder / "redis.log").open("ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out)

    def wait(self) -> None:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("redis-server did not start")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


def start_redis(folder: Path, port: int | None = None) -> Redis:
    """Skips on a machine without one, but not in CI."""
    if shutil.which("redis-server") is None:
        if os.environ.get("WEIR_CI"):
            pytest.fail("there is no redis-server; .ci/run installs it")
        pytest.skip("there is no redis-server here")
    server = Redis(folder, port or free_port())
    server.wait()
    return server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    found = start_redis(tmp_path_factory.mktemp("redis"))
    yield found
    found.stop()


@pytest.fixture(params=["in process", "redis"])
async def counters(request: pytest.FixtureRequest) -> AsyncIterator[Counters]:
    made: Counters = (
        InProcess() if request.param == "in process" else Shared(request.getfixturevalue("server").url, on_error="deny")
    )
    yield made
    await made.close()


def named(*buckets: Bucket) -> list[Bucket]:
    """Under names that no other test has."""
    run = uuid.uuid4().hex
    return [b._replace(name=f"{b.name}:{run}") for b in buckets]


async def test_a_bucket_is_filled_to_the_brim_and_leaks(counters: Counters) -> None:
    (bucket,) = named(Bucket("requests", 3, 2.0, 1))
    levels = [await counters.take([bucket]) for _ in range(4)]
    assert [t.refused for t in levels if t] == [None, None, None, 0]
    assert [round(t.levels[0]) for t in levels if t] == [1, 2, 3, 3]
    await asyncio.sleep(0.6)  # 1.2 have leaked: room for one, not for two
    assert [t.refused for t in [await counters.take([bucket]) for _ in range(2)] if t] == [None, 0]


async def test_all_is_taken_or_nothing(counters: Counters) -> None:
    requests, tokens = named(Bucket("requests", 10, 0.0, 1), Bucket("tokens", 100, 0.0, 60))
    first, second = [await counters.take([requests, tokens]) for _ in range(2)]
    assert first and second
    assert (first.refused, second.refused) == (None, 1)
    assert second.levels == [1, 60]
    again = await counters.take([requests])
    assert again and again.levels == [2]


async def test_an_estimate_is_corrected_either_way(counters: Counters) -> None:
    (tokens,) = named(Bucket("tokens", 100, 0.0, 50))
    await counters.take([tokens])
    await counters.correct([tokens._replace(amount=-20.5)])
    taken = await counters.take([tokens])
    assert taken and taken.levels == [79.5]
    await counters.correct([tokens._replace(amount=500)])
    taken = await counters.take([tokens._replace(amount=0)])
    assert taken and taken == ([579.5], 0)  # a debt, over the limit
    await counters.correct([tokens._replace(amount=-5000)])
    taken = await counters.take([tokens])
    assert taken and taken == ([50], None)  # what is given back makes no credit


async def test_leases_are_held_until_they_are_given_back(counters: Counters) -> None:
    (name,) = (b.name for b in named(Bucket("streams", 0, 0, 0)))
    one, two, three = (Lease(name, 2, holder) for holder in "abc")
    (bucket,) = named(Bucket("requests", 5, 0.0, 1))
    found = [await counters.take([bucket], lease) for lease in (one, two, three)]
    assert [t.refused for t in found if t] == [None, None, 1]
    await counters.renew(one)
    await counters.renew(three)  # nobody's: it does not come to be by that
    await counters.correct([], one)
    again = await counters.take([bucket], three)
    assert again and again == ([3], None)


async def test_a_lease_that_is_not_renewed_runs_out(counters: Counters, monkeypatch: pytest.MonkeyPatch) -> None:
    (name,) = (b.name for b in named(Bucket("streams", 0, 0, 0)))
    monkeypatch.setattr("proxy.server.counters.LEASE", 1)
    await counters.take([], Lease(name, 1, "gone"))
    full = await counters.take([], Lease(name, 1, "next"))
    await asyncio.sleep(1.1)
    free = await counters.take([], Lease(name, 1, "next"))
    assert full and free and (full.refused, free.refused) == (0, None)


async def test_both_places_count_alike(server: Redis) -> None:
    rng = random.Random(7)
    here, there = InProcess(), Shared(server.url, on_error="deny")
    buckets = named(Bucket("a", 40, 0.0, 0), Bucket("b", 300, 0.0, 0))
    lease = named(Bucket("l", 0, 0, 0))[0].name
    for step in range(300):
        asked = [b._replace(amount=rng.randrange(1, 30)) for b in buckets]
        held = Lease(lease, 3, str(rng.randrange(6))) if rng.random() < 0.5 else None
        if rng.random() < 0.45:
            back = [b._replace(amount=-b.amount) for b in asked]
            await here.correct(back, held)
            await there.correct(back, held)
        else:
            assert await here.take(asked, held) == await there.take(asked, held), step
    await there.close()


async def test_together_they_take_no_more_than_there_is(server: Redis) -> None:
    (bucket,) = named(Bucket("requests", 50, 0.0, 1))
    weirs = [Shared(server.url, on_error="deny") for _ in range(3)]
    found = await asyncio.gather(*(weirs[i % 3].take([bucket]) for i in range(120)))
    assert sum(t is not None and t.refused is None for t in found) == 50
    for weir in weirs:
        await weir.close()


@pytest.mark.parametrize("on_error", ["local", "allow", "deny"])
async def test_a_redis_that_is_away(on_error: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (bucket,) = named(Bucket("requests", 2, 0.0, 1))
    shared = Shared(f"redis://:hunter2@127.0.0.1:{free_port()}/0", on_error)  # type: ignore[arg-type]
    found: list[object] = []
    for _ in range(3):
        try:
            taken = await shared.take([bucket])
            found.append(taken.refused if taken else "not counted")
        except Refusal as refusal:
            found.append((refusal.status, refusal.code))
        await shared.correct([])
    expected = {
        "local": [None, None, 0],
        "allow": ["not counted"] * 3,
        "deny": [(503, "limits_unavailable")] * 3,
    }
    assert found == expected[on_error]
    said = [r for r in caplog.records if "does not answer" in r.message]
    assert len(said) == 1  # once, not at every request
    assert "hunter2" not in str([r.__dict__ for r in caplog.records])
    await shared.close()


async def test_a_redis_that_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.server.counters.PAUSE", 0.05)
    assert PAUSE > 0.05
    first = start_redis(tmp_path)
    shared = Shared(first.url, on_error="local")
    (bucket,) = named(Bucket("requests", 100, 0.0, 1))
    for _ in range(10):
        await shared.take([bucket])
    first.stop()
    away = [await shared.take([bucket]) for _ in range(3)]
    assert [t.levels for t in away if t] == [[1], [2], [3]]  # this process begins from nothing
    second = start_redis(tmp_path, first.port)
    await asyncio.sleep(0.1)
    back = await shared.take([bucket])
    assert back and back.levels == [1]  # and so does this Redis, which kept nothing on disk
    await shared.close()
    second.stop()
