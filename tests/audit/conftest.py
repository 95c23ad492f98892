from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.audit.entry import Entry
from proxy.audit.store import Store
from tests.audit import postgres

KEY = "a secret of at least sixteen characters"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with postgres.running(tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'weir.db'}"
    import psycopg

    name = f"weir_{uuid.uuid4().hex}"
    server = request.getfixturevalue("server")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return str(server).replace("/postgres", f"/{name}")


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    made = Store.open(url, KEY)
    yield made
    made.close()


def entry(number: int, *, person: str | None = None, at: float | None = None, text: str | None = None) -> Entry:
    rules = [{"rule": "hate", "direction": "prompt", "place": "messages[0].content", "action": "block", "enforced": True,
              "label": "hate", "score": 0.9, "threshold": 0.5, "spans": [], "by": "classifier"}] if number % 2 else []  # fmt: skip
    facts = {"route": f"route-{number % 3}", "policy": "p@12345678", "status": 200, "action": "block" if rules else "pass",
             "answer": "pass", "rules": rules}  # fmt: skip
    said = [{"direction": "prompt", "place": "messages[0].content", "role": "user", "text": text}] if text else None
    private = {"texts": said} if said else None
    return Entry("request", f"{number:032x}", at if at is not None else 1_000_000.0 + number, facts, private, person)
