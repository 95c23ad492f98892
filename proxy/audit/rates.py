"""What the decision log adds up to, counted by the database itself: no record is read into this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    JSON,
    ColumnElement,
    Float,
    Integer,
    Select,
    Subquery,
    Text,
    case,
    cast,
    distinct,
    func,
    literal_column,
    select,
    true,
)

from proxy.audit.schema import records
from proxy.audit.store import Query, Record, Store
from proxy.types import Action

# Upper ends, in milliseconds, of the classes that times are counted in; a percentile is read off between two of them.
LADDER = (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000, 2000, 5000)


class Window(NamedTuple):
    """From `since` on, in so many `steps` of `width` seconds each. `route`: of one alone."""

    since: float
    width: float
    steps: int
    route: str | None = None

    @property
    def until(self) -> float:
        return self.since + self.width * self.steps


class Count(NamedTuple):
    """Requests of one step that are alike. `action` is the stricter of what was done to the prompt and to the answer."""

    step: int
    route: str
    language: str
    action: str
    missed: bool  # something of them was not inspected
    requests: int


class Spoken(NamedTuple):
    step: int
    rule: str
    enforced: bool
    requests: int


class Delay(NamedTuple):
    step: int
    half: float  # milliseconds that half of the requests waited at most
    most: float  # and 95 of 100
    requests: int


class Differing(NamedTuple):
    """How often a shadow would have done so. `change`: `gained` or `lost` for a rule, empty for an action."""

    policy: str
    shadow: str
    direction: str
    before: str
    after: str
    requests: int


def counts(store: Store, window: Window) -> list[Count]:
    tools = _Tools(store)
    missed = tools.text("not_inspected") != literal_column("'[]'")
    each = _once(
        tools.step(window).label("step"), records.c.route, tools.text("language").label("language"), records.c.action,
        records.c.answer, case((missed, literal_column("1")), else_=literal_column("0")).label("missed"), window=window,
    )  # fmt: skip
    chosen: Any = select(*each.c, func.count()).group_by(*each.c)
    found: dict[tuple[int, str, str, str, bool], int] = {}
    for step, route, language, action, answer, unread, requests in store.rows_of(chosen):
        one = (int(step), route or "", language or "", _stricter(action, answer), bool(unread))
        found[one] = found.get(one, 0) + requests
    return [Count(*one, requests) for one, requests in sorted(found.items())]


def spoken(store: Store, window: Window) -> list[Spoken]:
    tools = _Tools(store)
    rules = tools.each("rules")
    columns = (tools.step(window), tools.of(rules, "rule"), tools.of(rules, "enforced"))
    chosen = select(*columns, func.count(distinct(records.c.seq))).select_from(records).join(rules, true())
    rows = store.rows_of(_within(chosen, window).group_by(*columns))
    return [Spoken(int(step), str(rule), str(enforced) in ("1", "true"), n) for step, rule, enforced, n in rows]


def delays(store: Store, window: Window, part: str = "prompt") -> list[Delay]:
    """What Weir's own work took: on the prompt before anything was sent on, or on a whole answer (`completion`)."""
    tools = _Tools(store)
    each = _once(tools.step(window).label("step"), cast(tools.text("ms", part), Float).label("ms"), window=window)
    ms = each.c.ms
    rungs: Any = ((ms <= literal_column(repr(float(top))), literal_column(str(index))) for index, top in enumerate(LADDER))
    rung = case(*rungs, else_=literal_column(str(len(LADDER)))).label("rung")
    chosen = select(each.c.step, rung, func.count()).where(ms.is_not(None)).group_by(each.c.step, rung)
    steps: dict[int, dict[int, int]] = {}
    for at, index, requests in store.rows_of(chosen):
        steps.setdefault(int(at), {})[int(index)] = requests
    return [
        Delay(at, percentile(classes, 0.5), percentile(classes, 0.95), sum(classes.values()))
        for at, classes in sorted(steps.items())
    ]


def percentile(classes: dict[int, int], share: float) -> float:
    """Between the two ends of the class in which it lies, as if it were evenly filled."""
    wanted, seen = share * sum(classes.values()), 0.0
    for index, n in sorted(classes.items()):
        if seen + n >= wanted:
            low = LADDER[index - 1] if index else 0.0
            high = LADDER[index] if index < len(LADDER) else LADDER[-1] * 2
            return low + (high - low) * (wanted - seen) / n
        seen += n
    return 0.0


def compared(store: Store, window: Window) -> dict[tuple[str, str], int]:
    """Requests that a policy and its shadow have both judged."""
    tools = _Tools(store)
    shadow = tools.each("shadow")
    name = tools.of(shadow, "policy")
    chosen = select(records.c.policy, name, func.count(distinct(records.c.seq))).select_from(records).join(shadow, true())
    rows = store.rows_of(_within(chosen, window).group_by(records.c.policy, name))
    return {(live or "", str(other)): n for live, other, n in rows}


def differing(store: Store, window: Window) -> list[Differing]:
    tools = _Tools(store)
    shadow = tools.each("shadow")
    columns = (records.c.policy, *(tools.of(shadow, name) for name in ("policy", "direction", "action", "shadow")))
    chosen = select(*columns, func.count(distinct(records.c.seq))).select_from(records).join(shadow, true())
    chosen = _within(chosen, window).where(columns[3] != columns[4]).group_by(*columns)
    rows = store.rows_of(chosen)
    return [Differing(live or "", other, way, before, after, requests) for live, other, way, before, after, requests in rows]


def differences(store: Store, window: Window, limit: int) -> list[Record]:
    """The newest requests of which a shadow would have made something else, by another action or by other rules."""
    tools = _Tools(store)
    shadow = tools.each("shadow")
    action, other, gained, lost = (tools.of(shadow, name) for name in ("action", "shadow", "gained", "lost"))
    chosen: Any = select(records.c.id).select_from(records).join(shadow, true()).order_by(records.c.seq.desc())
    chosen = _within(chosen, window).where((action != other) | (gained != "[]") | (lost != "[]")).limit(2 * limit)
    ids = list(dict.fromkeys(row[0] for row in store.rows_of(chosen)))[:limit]  # two directions of one are one
    return [record for id in ids for record in store.read(Query(kind="request", id=id))]


def _once(*columns: ColumnElement[Any], window: Window) -> Subquery:
    """What is taken out of a record's JSON, taken out once: the offset keeps databases from writing it wherever it is used."""
    chosen: Select[Any] = _within(select(*columns), window)
    return chosen.offset(0).subquery()


def _stricter(*actions: str | None) -> str:
    known = [Action[one.upper()] for one in actions if one]
    return str(max(known)) if known else "refused"


def _within(chosen: Any, window: Window) -> Any:
    chosen = chosen.where(records.c.kind == "request", records.c.at >= window.since, records.c.at < window.until)
    return chosen.where(records.c.route == window.route) if window.route is not None else chosen


class _Tools:
    """JSON in the two dialects. PostgreSQL reads no JSON with an escaped NUL in it, as a caller's name of a model may have one;
    what is asked for here has none. What is constant is written out: PostgreSQL would not see that two parameters of SELECT
    and GROUP BY are the same."""

    def __init__(self, store: Store) -> None:
        self._lite = store.dialect == "sqlite"

    def step(self, window: Window) -> ColumnElement[Any]:
        part = (records.c.at - literal_column(repr(float(window.since)))) / literal_column(repr(float(window.width)))
        return cast(part if self._lite else func.floor(part), Integer)  # SQLite's cast truncates

    def text(self, *path: str) -> ColumnElement[Any]:
        return self._read(records.c.facts, *path)

    def each(self, name: str) -> Any:
        if self._lite:
            return func.json_each(records.c.facts, f"$.{name}").table_valued("value")
        listed = func.json_extract_path(self._json(records.c.facts), name)
        return func.json_array_elements(listed).table_valued("value").lateral()

    def of(self, each: Any, name: str) -> ColumnElement[Any]:
        return self._read(each.c.value, name)

    def _read(self, column: ColumnElement[Any], *path: str) -> ColumnElement[Any]:
        if self._lite:
            return func.json_extract(column, literal_column(f"'$.{'.'.join(path)}'"))
        return func.json_extract_path_text(self._json(column), *(literal_column(f"'{name}'") for name in path))

    @staticmethod
    def _json(column: ColumnElement[Any]) -> ColumnElement[Any]:
        return cast(func.replace(cast(column, Text), literal_column(r"'\u0000'"), literal_column("''")), JSON)


def shares(found: Sequence[Count], by: str) -> Iterator[tuple[str, dict[str, int], list[int]]]:
    """For each value of `by` (`route` or `language`), the most frequent first: requests by action, and by step."""
    names: dict[str, tuple[dict[str, int], dict[int, int]]] = {}
    for one in found:
        actions, steps = names.setdefault(getattr(one, by), ({}, {}))
        actions[one.action] = actions.get(one.action, 0) + one.requests
        steps[one.step] = steps.get(one.step, 0) + one.requests
    for name, (actions, steps) in sorted(names.items(), key=lambda pair: -sum(pair[1][0].values())):
        yield name, actions, [steps.get(step, 0) for step in range(max(steps) + 1)]
