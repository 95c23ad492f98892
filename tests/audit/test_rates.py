"""What the log adds up to, in both databases, against plain counting."""

from __future__ import annotations

import pytest

from proxy.audit.entry import Entry
from proxy.audit.rates import (
    LADDER,
    Count,
    Spoken,
    Window,
    compared,
    counts,
    delays,
    differences,
    differing,
    percentile,
    shares,
    spoken,
)
from proxy.audit.store import Query, Store

WINDOW = Window(1000.0, 10.0, 3)


def entry(number: int, at: float, action: str = "pass", answer: str = "pass", **facts: object) -> Entry:
    own = {"route": "r", "policy": "p@1", "status": 200, "action": action, "answer": answer, "language": "en", "rules": [],
           "not_inspected": [], "ms": {"prompt": 1.2, "total": 9.0}, "shadow": []}  # fmt: skip
    return Entry("request", f"{number:032x}", at, {**own, **facts})


def said(rule: str, enforced: bool = True) -> dict[str, object]:
    return {"rule": rule, "direction": "prompt", "action": "block", "enforced": enforced, "score": 0.5, "label": rule}


def beside(action: str, shadow: str, gained: list[str] | None = None) -> dict[str, object]:
    return {"policy": "q@2", "direction": "prompt", "action": action, "shadow": shadow, "gained": gained or [], "lost": []}


@pytest.fixture
def full(store: Store) -> Store:
    odd = "\x00 \"quote\" 'n' %_"
    store.append([
        entry(1, 999.9, "block"),  # before
        entry(2, 1000.0, "block", rules=[said("hate"), said("hate"), said("watched", False)], shadow=[beside("block", "block")]),
        entry(3, 1009.9, language="fr", not_inspected=["safeguard: timed out"], shadow=[beside("pass", "block", ["new"])]),
        entry(4, 1010.0, "pass", "redact", route="other", rules=[said("hate")], model=odd),
        entry(5, 1029.9, ms={"prompt": 40.0, "completion": 3.0, "total": 50.0}, shadow=[beside("pass", "pass")]),
        Entry("request", "e" * 32, 1015.0, {"status": 401, "error": "invalid_api_key", "ms": {"total": 0.1}}),
        Entry("feedback", "f" * 32, 1015.0, {"mark": "right"}, about=f"{2:032x}"),
        entry(6, 1030.0, "block"),  # after
    ])  # fmt: skip
    return store


def test_counts(full: Store) -> None:
    assert counts(full, WINDOW) == [
        Count(0, "r", "en", "block", False, 1),
        Count(0, "r", "fr", "pass", True, 1),
        Count(1, "", "", "refused", False, 1),
        Count(1, "other", "en", "redact", False, 1),
        Count(2, "r", "en", "pass", False, 1),
    ]
    assert [c.step for c in counts(full, WINDOW._replace(route="other"))] == [1]
    by = list(shares(counts(full, WINDOW), "language"))
    assert [(name, sum(actions.values())) for name, actions, _ in by] == [("en", 3), ("fr", 1), ("", 1)]
    assert by[0][2] == [1, 1, 1]


def test_rules_count_once_a_request(full: Store) -> None:
    assert sorted(spoken(full, WINDOW)) == [
        Spoken(0, "hate", True, 1),
        Spoken(0, "watched", False, 1),
        Spoken(1, "hate", True, 1),
    ]


def test_delays(full: Store) -> None:
    found = delays(full, WINDOW)
    assert [(d.step, d.requests) for d in found] == [(0, 2), (1, 1), (2, 1)]
    assert 1.0 <= found[0].half <= 1.5 and 30 <= found[2].most <= 50
    assert [d.step for d in delays(full, WINDOW, "completion")] == [2]


def test_shadows(full: Store) -> None:
    assert compared(full, WINDOW) == {("p@1", "q@2"): 3}
    (one,) = differing(full, WINDOW)
    assert (one.policy, one.shadow, one.before, one.after, one.requests) == ("p@1", "q@2", "pass", "block", 1)
    assert [r.seq for r in differences(full, WINDOW, 5)] == [3]


def test_percentiles() -> None:
    assert percentile({0: 100}, 0.5) == pytest.approx(LADDER[0] / 2)
    assert percentile({3: 99, 10: 1}, 0.99) == LADDER[3]
    assert percentile({len(LADDER): 1}, 1) == LADDER[-1] * 2
    assert percentile({}, 0.5) == 0.0


def test_more_questions(full: Store) -> None:
    def seqs(query: Query) -> list[int]:
        return [r.seq for r in full.read(query)]

    assert seqs(Query(kind="request", id="0" * 31)) == [1, 2, 3, 4, 5, 8]
    assert seqs(Query(kind="request", id=f"{2:032x}")) == [2]
    assert seqs(Query(kind="request", action="pass")) == [3, 5]  # nothing was done, neither to the prompt nor to the answer
    assert seqs(Query(kind="request", action="redact")) == [4]
    assert seqs(Query(kind="request", before=3)) == [1, 2]
    assert seqs(Query(kind="request", language="fr")) == [3]
    assert seqs(Query(kind="request", language='fr"%')) == []


def test_places_in_the_chain(full: Store) -> None:
    place = full.place(3)
    assert place is not None and (place.seq, place.last, place.holds) == (3, 8, True)
    assert full.place(99) is None
    full.prune(1005.0)
    assert full.place(2) is None
    assert (first := full.place(3)) is not None and first.holds
    with full._writing.begin() as connection:
        connection.exec_driver_sql("UPDATE records SET facts = '{}' WHERE seq = 4")
    assert (changed := full.place(4)) is not None and not changed.holds
