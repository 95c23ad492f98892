"""The decision log on SQLite and on a real PostgreSQL: both alike."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, delete, insert, select, update

from proxy.audit import AuditError
from proxy.audit.schema import ends, metadata, records
from proxy.audit.store import Query, Store
from proxy.audit.verify import checkpoints, signed_by, verify
from tests.audit.conftest import KEY, entry


def engine_of(url: str) -> Any:
    return create_engine(url.replace("postgresql:", "postgresql+psycopg:"))


def tampered(url: str, *statements: Any) -> None:
    """By somebody who can write to the database, and has not the key."""
    engine = engine_of(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(statement)
    engine.dispose()


def test_what_is_appended_is_read(store: Store) -> None:
    store.append([entry(n) for n in range(10)])
    store.append([entry(n) for n in range(10, 12)])
    read = list(store.read())
    assert [r.seq for r in read] == list(range(1, 13))
    assert read[3].facts["status"] == 200 and read[3].facts["rules"][0]["score"] == 0.9
    assert verify(store) == (12, [])


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        (Query(route="route-1"), [1, 4, 7]),
        (Query(action="block", limit=2), [1, 3]),
        (Query(rule="hate", newest=True, limit=1), [7]),
        (Query(policy="p"), list(range(9))),
        (Query(policy="p@12345678", after=8), [8]),
        (Query(policy="q"), []),
        (Query(since=1_000_003.0, until=1_000_005.0), [3, 4]),
        (Query(kind="feedback"), []),
    ],
)
def test_queries(store: Store, query: Query, numbers: list[int]) -> None:
    store.append([entry(n) for n in range(9)])
    assert [int(r.id, 16) for r in store.read(query)] == numbers


def test_a_batch_that_may_have_come_through(store: Store) -> None:
    store.append([entry(1), entry(2)])
    store.append([entry(2), entry(3)], again=True)
    assert [int(r.id, 16) for r in store.read()] == [1, 2, 3]


def test_a_record_by_the_beginning_of_its_id(store: Store) -> None:
    store.append([entry(0xABC << 112), entry(5)])
    assert [r.id for r in store.get("0abc")] == [f"{0xABC << 112:032x}"]
    assert store.get("%") == store.get("0_bc") == []  # a wildcard is none


TAMPERINGS = {
    "facts": (
        [update(records).where(records.c.seq == 3).values(facts='{"kind":"request"}')],
        "record 3: changed",
    ),
    "a column": ([update(records).where(records.c.seq == 4).values(action="block")], "record 4: the column action was changed"),
    "the time": ([update(records).where(records.c.seq == 4).values(at=5.0)], "record 4: the column at was changed"),
    "missing": ([delete(records).where(records.c.seq == 3)], "missing: 3"),
    "several missing": ([delete(records).where(records.c.seq.in_([3, 4]))], "missing: 3 to 4"),
    "the first missing": ([delete(records).where(records.c.seq == 1)], "missing: 1"),
    "the last missing": ([delete(records).where(records.c.seq == 6)], "the chain ends at 5, and should end at 6"),
    "reordered": (
        [
            update(records).where(records.c.seq == 2).values(seq=100),
            update(records).where(records.c.seq == 3).values(seq=2),
            update(records).where(records.c.seq == 100).values(seq=3),
        ],
        "record 2: changed, or not the one that was written there",
    ),
    "a private part taken out": (
        [update(records).where(records.c.seq == 6).values(private=None)],
        "record 6: its private part is gone, and no erasure says why",
    ),
    "a private part of its own": (
        [update(records).where(records.c.seq == 6).values(private=b"x")],
        "its private part was changed",
    ),
    "whom it is about": ([update(records).where(records.c.seq == 6).values(subject="x")], "the column subject was changed"),
    "the end moved": (
        [delete(records).where(records.c.seq == 6), update(ends).where(ends.c.name == "last").values(seq=5)],
        "the end of the chain was moved",
    ),
    "the beginning moved": (
        [delete(records).where(records.c.seq == 1), update(ends).where(ends.c.name == "first").values(seq=1)],
        "the beginning of the chain was moved",
    ),
    "everything gone": ([delete(records)], "the chain ends at 0, and should end at 6"),
}


@pytest.mark.parametrize("what", TAMPERINGS)
def test_tampering_is_found(store: Store, url: str, what: str) -> None:
    store.append([*(entry(n) for n in range(1, 6)), entry(6, person="joe", text="hello")])
    assert verify(store) == (6, [])
    statements, told = TAMPERINGS[what]
    tampered(url, *statements)
    assert any(told in problem for problem in verify(store).problems), verify(store)


def test_an_added_record_is_found(store: Store, url: str) -> None:
    store.append([entry(1), entry(2)])
    engine = engine_of(url)
    with engine.begin() as connection:
        row = dict(connection.execute(select(records).where(records.c.seq == 2)).one()._mapping)
        connection.execute(insert(records), [{**row, "seq": 3}])
    engine.dispose()
    assert any("record 3" in problem for problem in verify(store).problems)


def test_what_is_private_is_sealed(store: Store, url: str) -> None:
    store.append([entry(1, person="joe@example.com", text="a canary sings")])
    (record,) = store.read()
    assert record.sealed is not None and b"canary" not in record.sealed
    assert "canary" not in str(record.facts) and "joe" not in str(record)
    assert store.opened(record)["texts"][0]["text"] == "a canary sings"
    other = Store(engine_of(url), type(store.keys)(b"another secret, as long as it needs"))
    assert other.opened(record) == {}
    other.close()


def test_erasure_takes_out_a_person_and_keeps_the_chain(store: Store) -> None:
    store.append([entry(1, person="joe", text="I am Joe"), entry(2, person="ann", text="I am Ann"), entry(3, person="joe")])
    assert store.erase("nobody") == 0
    assert store.erase("joe") == 2
    one, two, three, erasure = store.read()
    assert (one.sealed, one.subject, three.sealed, three.subject) == (None, None, None, None)
    assert store.opened(two)["texts"][0]["text"] == "I am Ann"
    assert erasure.facts["erased"] == [1, 3]
    assert one.facts["rules"]  # what was decided stays
    assert verify(store) == (4, [])
    assert store.erase("joe") == 0


def test_retention_deletes_the_oldest_and_says_so(store: Store, url: str) -> None:
    store.append([entry(n) for n in range(1, 8)])
    assert store.prune(1_000_004.0) == 3
    assert [r.seq for r in store.read()] == [4, 5, 6, 7, 8]
    assert verify(store) == (5, [])
    assert store.prune(1_000_004.0) == 0
    tampered(url, delete(records).where(records.c.seq == 4))
    assert verify(store).problems == ["missing: 4"]


def test_all_may_be_too_old(store: Store) -> None:
    store.append([entry(1), entry(2)])
    assert store.prune(9e9) == 2
    assert [r.kind for r in store.read()] == ["retention"]
    store.append([entry(3)])
    assert verify(store) == (2, [])


def test_many_writers_make_one_chain(url: str) -> None:
    stores = [Store.open(url, KEY) for _ in range(4)]

    def write(number: int) -> None:
        for batch in range(10):
            stores[number].append([entry(number * 1000 + batch * 10 + n) for n in range(3)])

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verify(stores[0]) == (120, [])
    assert len({r.id for r in stores[0].read()}) == 120
    for store in stores:
        store.close()


def test_another_key_neither_opens_nor_writes(store: Store, url: str) -> None:
    with pytest.raises(AuditError, match="this key is not the one"):
        Store.open(url, "quite another secret than that one")


def test_a_log_that_was_put_back_is_found_by_its_checkpoint(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'weir.db'}"
    store = Store.open(url, KEY)
    store.append([entry(n, at=86400.0 * n) for n in range(1, 4)])
    before = [(dict(r._mapping), store.end("last")[0]) for r in store.rows()]
    engine = engine_of(url)
    with engine.begin() as connection:
        kept = [dict(row._mapping) for row in connection.execute(select(ends))]
    store.append([entry(4, at=86400.0 * 3 + 5), entry(5, at=86400.0 * 4)])
    points = list(checkpoints(store))
    assert [p["seq"] for p in points] == [1, 2, 4, 5]
    assert len({signed_by(p) for p in points}) == 1 and None not in {signed_by(p) for p in points}
    assert signed_by({**points[0], "seq": 9}) is None
    assert verify(store, points) == (5, [])
    with engine.begin() as connection:  # all as it was: whole in itself
        connection.execute(delete(records).where(records.c.seq > 3))
        for end in kept:
            connection.execute(update(ends).where(ends.c.name == end["name"]).values(**end))
    engine.dispose()
    assert verify(store) == (len(before), [])
    assert [p.split(",")[0] for p in verify(store, points).problems] == ["missing: 4", "missing: 5"]
    store.close()


def test_the_tables_are_those_of_the_migrations(store: Store, url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    engine = engine_of(url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_policies_are_remembered_by_their_hash(store: Store) -> None:
    for _ in range(2):
        store.remember("ab" * 32, "support", "version: 1\n")
    assert store.policy("ab" * 32) == "version: 1\n"
    assert store.policy("cd" * 32) is None


def test_the_key_beside_a_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'weir.db'}"
    store = Store.open(url)
    store.append([entry(1, person="joe")])
    store.close()
    key = tmp_path / "weir.db.key"
    assert key.stat().st_mode & 0o777 == 0o600
    again = Store.open(url, create=False)
    assert verify(again) == (1, [])
    again.close()
    key.write_text("0" * 64)
    with pytest.raises(AuditError, match="this key is not the one"):
        Store.open(url)


def test_errors_say_what_to_do_and_no_password(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="needs a key"):
        Store.open("postgresql://weir:hidden@127.0.0.1:1/x")
    with pytest.raises(AuditError) as told:
        Store.open("postgresql://weir:hidden@127.0.0.1:1/x", KEY)
    assert "cannot be opened" in str(told.value) and "hidden" not in str(told.value)
    with pytest.raises(AuditError, match="there is no decision log"):
        Store.open(f"sqlite:///{tmp_path / 'none.db'}", create=False)
    assert not list(tmp_path.iterdir())
