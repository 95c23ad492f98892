"""The store itself: SQLite in WAL mode, or PostgreSQL. Several processes may write; each batch is one transaction, and the
chain is one."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    ClauseElement,
    Column,
    ColumnElement,
    Connection,
    CursorResult,
    Engine,
    Row,
    Select,
    and_,
    bindparam,
    create_engine,
    delete,
    event,
    func,
    insert,
    inspect,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool

from proxy.audit import AuditError
from proxy.audit.chain import START, digest, link, tag
from proxy.audit.entry import Entry
from proxy.audit.keyring import Keyring, beside
from proxy.audit.schema import VERSION, ends, policies, records
from proxy.types import Action

COLUMNS = ("route", "key", "policy", "action", "answer", "status")  # of the facts
_LOCK = 0x57454952  # PostgreSQL's advisory lock while the tables are made
_WHOLE = 32  # characters of an id
_ERASED = 1000  # records that one erasure names


class End(NamedTuple):
    seq: int
    code: bytes


@dataclass(frozen=True)
class Query:
    """Which records. `since` and `until` are seconds since 1970; `rule` one that spoke."""

    kind: str | None = None
    since: float | None = None
    until: float | None = None
    after: int | None = None  # of a higher number
    before: int | None = None  # of a lower one
    id: str | None = None  # that begins so
    route: str | None = None
    key: str | None = None
    policy: str | None = None
    action: str | None = None  # of the prompt or of the answer
    rule: str | None = None
    language: str | None = None
    about: str | None = None
    subject: str | None = None  # as `Keyring.subject` has it
    limit: int | None = None
    newest: bool = False


class Record(NamedTuple):
    seq: int
    id: str
    at: float
    kind: str
    about: str | None
    subject: str | None
    facts: dict[str, Any]
    sealed: bytes | None


class Place(NamedTuple):
    """Of a record in the chain. `holds`: its code fits its facts and the record before it."""

    seq: int
    last: int
    code: bytes
    holds: bool


class Compiled(NamedTuple):
    """A statement as the driver wants it. `names`: its parameters in order, where they have an order."""

    sql: str
    names: Sequence[str] | None

    @classmethod
    def of(cls, statement: ClauseElement, engine: Engine) -> Compiled:
        made = statement.compile(engine)
        return cls(str(made), getattr(made, "positiontup", None))

    def run(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> CursorResult[Any]:
        names = self.names
        given: Any = [tuple(row[name] for name in names) for row in rows] if names is not None else list(rows)
        return connection.exec_driver_sql(self.sql, given if len(given) > 1 else given[0])


class Store:
    def __init__(self, engine: Engine, keys: Keyring) -> None:
        self._engine, self._writing, self.keys = engine, engine.execution_options(write=True), keys
        # What every batch says, compiled once: SQLAlchemy would take longer to look each up than the database to do it.
        self._find, self._insert, self._set = (
            Compiled.of(one, engine)
            for one in (
                select(ends.c.seq, ends.c.code, ends.c.tag).where(ends.c.name == bindparam("end")).with_for_update(),
                insert(records),
                update(ends)
                .where(ends.c.name == bindparam("end"))
                .values(seq=bindparam("to"), code=bindparam("by"), tag=bindparam("signed")),
            )
        )

    @classmethod
    def open(
        cls, url: str, secret: str | None = None, *, durable: bool = False, create: bool = True, kept: bool = False
    ) -> Store:
        """Makes or migrates the tables. `durable`: what is committed survives a loss of power too. `kept`: whoever writes all
        day keeps the file open, for to close SQLite's is to tidy it up. Raises AuditError."""
        engine, keys = _engine(url, durable, kept), _keyring(url, secret, create)
        shown = make_url(url).render_as_string(hide_password=True)
        store = cls(engine, keys)
        try:
            if not create and not inspect(engine).has_table("records"):
                raise AuditError(f"{shown} has no decision log; `weir serve` with this `audit: {{url: …}}` makes one")
            store._prepare()
        except AuditError:
            store.close()
            raise
        except SQLAlchemyError as problem:
            store.close()
            reason = str(getattr(problem, "orig", None) or type(problem).__name__).splitlines()[0]
            raise AuditError(f"the decision log at {shown} cannot be opened: {reason}") from None
        return store

    def close(self) -> None:
        self._engine.dispose()

    # -- writing

    def append(self, entries: Sequence[Entry], again: bool = False) -> None:
        """`again`: an earlier try may have come through, so those that are there already are left out."""
        with self._locked() as (connection, last):
            if again:
                known = select(records.c.id, records.c.kind).where(records.c.id.in_([e.id for e in entries]))
                there = {tuple(row) for row in connection.execute(known)}
                entries = [e for e in entries if (e.id, e.kind) not in there]
            self._append(connection, last, entries)

    def _append(self, connection: Connection, last: End, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        seq, code = last
        rows = []
        for entry in entries:
            seq += 1
            row = self._row(entry, seq)
            code = row["code"] = link(self.keys.chain, code, seq, row["facts"].encode())
            rows.append(row)
        self._insert.run(connection, rows)
        self._move(connection, "last", End(seq, code))

    def _row(self, entry: Entry, seq: int) -> dict[str, Any]:
        subject = self.keys.subject(entry.person) if entry.person is not None else entry.subject
        private = {**(entry.private or {}), "subject": subject} if subject is not None else entry.private
        sealed = self.keys.sealed(private) if private is not None else None
        own = {"id": entry.id, "at": round(entry.at, 6), "kind": entry.kind, "about": entry.about}
        facts = {**own, **entry.facts, **({"private": digest(sealed)} if sealed is not None else {})}
        return {
            "seq": seq, **own, "subject": subject, **{name: facts.get(name) for name in COLUMNS},
            "facts": msgspec.json.encode(facts).decode(), "private": sealed,
        }  # fmt: skip

    def remember(self, sha: str, name: str, source: str) -> None:
        """A policy's text, for whoever asks later what was in force."""
        with self._writing.begin() as connection:
            if connection.execute(select(policies.c.sha).where(policies.c.sha == sha)).first() is None:
                connection.execute(insert(policies), [{"sha": sha, "name": name, "text": source}])

    # -- taking out

    def erase(self, person: str) -> int:
        """Takes out all that is private about a person; that it was done is recorded. Answers of how many records."""
        subject = self.keys.subject(person)
        with self._locked() as (connection, last):
            found = list(connection.execute(select(records.c.seq).where(records.c.subject == subject)).scalars())
            connection.execute(update(records).where(records.c.subject == subject).values(private=None, subject=None))
            parts = [found[at : at + _ERASED] for at in range(0, len(found), _ERASED)]
            self._append(connection, last, [_note("erasure", {"erased": part}) for part in parts])
        return len(found)

    def prune(self, before: float) -> int:
        """Deletes what is older; the chain then begins later, and says so. Answers how many records went."""
        with self._locked() as (connection, last):
            first = connection.execute(select(func.min(records.c.seq)).where(records.c.at >= before)).scalar()
            edge = first - 1 if first is not None else last.seq
            kept = connection.execute(select(records.c.code).where(records.c.seq == edge)).scalar()
            if kept is None:
                return 0
            gone = connection.execute(delete(records).where(records.c.seq <= edge)).rowcount
            self._move(connection, "first", End(edge, kept))
            self._append(connection, last, [_note("retention", {"deleted": gone, "to": edge, "before": round(before, 3)})])
        return int(gone)

    # -- reading

    def read(self, query: Query = Query()) -> Iterator[Record]:
        with self._engine.connect() as connection:
            for row in connection.execution_options(yield_per=500).execute(_selected(query)):
                yield _record(row)

    def get(self, id: str) -> list[Record]:
        """All that is known of a request: what began, how it ended, and what was said of it since. `id` may be its start."""
        own, about = (_begins(column, id) for column in (records.c.id, records.c.about))
        chosen = select(records).where(own | about).order_by(records.c.seq).limit(100)
        with self._engine.connect() as connection:
            return [_record(row) for row in connection.execute(chosen)]

    def opened(self, record: Record) -> dict[str, Any]:
        """What is private in it; empty where nothing was kept, or it was erased."""
        return (self.keys.opened(record.sealed) or {}) if record.sealed is not None else {}

    def policy(self, sha: str) -> str | None:
        with self._engine.connect() as connection:
            return connection.execute(select(policies.c.text).where(policies.c.sha == sha)).scalar()

    def rows_of(self, chosen: Select[Any]) -> list[Any]:
        """What some other question finds, as rows."""
        with self._engine.connect() as connection:
            return list(connection.execute(chosen))

    @property
    def dialect(self) -> str:
        return self._engine.dialect.name

    def place(self, seq: int) -> Place | None:
        """Where a record stands in the chain, as far as it and the one before it can tell. None if it is not there."""
        near = select(records.c.seq, records.c.facts, records.c.code).where(records.c.seq.in_((seq - 1, seq)))
        with self._engine.connect() as connection:
            rows = {row.seq: row for row in connection.execute(near)}
            (first, _), (last, _) = (self._end(connection, name) for name in ("first", "last"))
        if seq not in rows:
            return None
        before = rows[seq - 1].code if seq - 1 in rows else first.code if first.seq == seq - 1 else b""
        own = rows[seq]
        return Place(seq, last.seq, own.code, own.code == link(self.keys.chain, before, seq, own.facts.encode()))

    def rows(self) -> Iterator[Row[Any]]:
        """As they are stored, in order."""
        with self._engine.connect() as connection:
            yield from connection.execution_options(yield_per=500).execute(select(records).order_by(records.c.seq))

    def end(self, name: str) -> tuple[End, bool]:
        """Of the chain, and whether it is where somebody with the key has put it."""
        with self._engine.connect() as connection:
            return self._end(connection, name)

    # -- small parts

    @contextmanager
    def _locked(self) -> Iterator[tuple[Connection, End]]:
        """A transaction in which nobody else appends; with the end of the chain. Raises AuditError for a wrong key."""
        with self._writing.begin() as connection:
            last, genuine = self._end(connection, "last", lock=True)
            if not genuine:
                raise AuditError("this key is not the one that the decision log was written with, or its end was moved")
            yield connection, last

    def _end(self, connection: Connection, name: str, lock: bool = False) -> tuple[End, bool]:
        if lock:
            row = self._find.run(connection, [{"end": name}]).one()
        else:
            row = connection.execute(select(ends).where(ends.c.name == name)).one()
        return End(row.seq, row.code), row.tag == tag(self.keys.chain, name, row.seq, row.code)

    def _move(self, connection: Connection, name: str, end: End) -> None:
        signed = tag(self.keys.chain, name, end.seq, end.code)
        self._set.run(connection, [{"end": name, "to": end.seq, "by": end.code, "signed": signed}])

    def _prepare(self) -> None:
        with self._writing.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            if _version(connection) != VERSION:
                _migrate(connection)
            if connection.execute(select(func.count()).select_from(ends)).scalar() == 0:
                names = ("first", "last")
                rows = [{"name": n, "seq": 0, "code": START, "tag": tag(self.keys.chain, n, 0, START)} for n in names]
                connection.execute(insert(ends), rows)
        with self._locked():
            pass


def _engine(url: str, durable: bool, kept: bool) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise AuditError('the "url" of the audit is not one: "sqlite:///weir.db" or "postgresql://user@host/name"') from None
    if parsed.get_backend_name() == "postgresql":
        return create_engine(parsed.set(drivername="postgresql+psycopg"), pool_size=2, pool_pre_ping=True)
    pool = QueuePool if kept else NullPool
    engine = create_engine(parsed, poolclass=pool, connect_args={"timeout": 30, "isolation_level": None})

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        # A batch takes its place at once: a reader that became a writer midway could be turned down.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("write") else "BEGIN")

    return engine


def _keyring(url: str, secret: str | None, create: bool) -> Keyring:
    if secret:
        return Keyring(secret.encode())
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        raise AuditError('a decision log in PostgreSQL needs a key: audit: {key: "${WEIR_AUDIT_KEY}"}')
    path = Path(parsed.database)
    if not create and not path.exists():
        raise AuditError(f"there is no decision log at {path}; name another with --url")
    try:
        return beside(path)
    except OSError as problem:
        raise AuditError(f"the key of {path} cannot be kept beside it: {problem.strerror}") from None


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _migrate(connection: Connection) -> None:
    from alembic import command  # only who finds old tables, or none, needs it
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _selected(query: Query) -> Select[Any]:
    found = select(records)
    same: Mapping[Any, Any] = {
        records.c.kind: query.kind, records.c.route: query.route, records.c.key: query.key, records.c.about: query.about,
        records.c.subject: query.subject,
    }  # fmt: skip
    for column, value in same.items():
        if value is not None:
            found = found.where(column == value)
    if query.since is not None:
        found = found.where(records.c.at >= query.since)
    if query.until is not None:
        found = found.where(records.c.at < query.until)
    if query.after is not None:
        found = found.where(records.c.seq > query.after)
    if query.before is not None:
        found = found.where(records.c.seq < query.before)
    if query.id is not None:
        found = found.where(_begins(records.c.id, query.id))
    if query.language is not None:
        found = found.where(records.c.facts.contains(f'"language":"{query.language}"', autoescape=True))
    if query.policy is not None:
        version = records.c.policy.startswith(query.policy + "@", autoescape=True)
        found = found.where((records.c.policy == query.policy) | version)
    if query.action is not None:
        both = (records.c.action == query.action, records.c.answer == query.action)
        # Something was done if either says so; nothing was done if both do.
        found = found.where(and_(*both) if query.action == str(Action.PASS) else or_(*both))
    if query.rule is not None:
        named = msgspec.json.encode(query.rule).decode()
        found = found.where(records.c.facts.contains(f'"rule":{named}', autoescape=True))
    found = found.order_by(records.c.seq.desc() if query.newest else records.c.seq)
    return found.limit(query.limit) if query.limit is not None else found


def _begins(column: Column[Any], id: str) -> ColumnElement[bool]:
    """A whole id is found by the index; its beginning takes a look at all of them."""
    return column == id if len(id) == _WHOLE else column.startswith(id, autoescape=True)


def _record(row: Row[Any]) -> Record:
    return Record(row.seq, row.id, row.at, row.kind, row.about, row.subject, msgspec.json.decode(row.facts), row.private)


def _note(kind: str, facts: dict[str, Any]) -> Entry:
    return Entry(kind, uuid.uuid4().hex, time.time(), facts)
