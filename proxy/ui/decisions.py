"""The list of decisions, newest first; it goes on by itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from starlette.responses import Response

from proxy.audit.store import Query, Record
from proxy.types import Action
from proxy.ui.visit import Visit, now

PAGE = 50
ACTIONS = tuple(str(action) for action in Action)
SINCE = {"1h": 3600, "1d": 86400, "7d": 7 * 86400, "30d": 30 * 86400}


@dataclass(frozen=True, slots=True)
class Line:
    """One decision, as the list has it."""

    record: Record
    action: str  # on the prompt; "refused" where no policy came to speak
    answer: str  # on the answer, where it is another
    rules: tuple[tuple[str, bool], ...]  # with whether it took effect
    error: str

    @classmethod
    def of(cls, record: Record) -> Line:
        facts = record.facts
        action, answer = facts.get("action") or "refused", facts.get("answer") or "pass"
        rules: dict[str, bool] = {}
        for one in facts.get("rules") or ():
            rules[one["rule"]] = rules.get(one["rule"], False) or one["enforced"]
        return cls(
            record, action, answer if answer not in ("pass", action) else "", tuple(rules.items()),
            facts.get("error") or "",
        )  # fmt: skip


def query_of(visit: Visit) -> tuple[Query, dict[str, str]]:
    """The filters, and how they stand in an address."""
    names = ("action", "route", "rule", "key", "policy", "language", "id", "since")
    chosen = {name: given for name in names if (given := visit.given(name))}
    if chosen.get("action") not in ACTIONS:
        chosen.pop("action", None)
    if chosen.get("since") not in SINCE:
        chosen.pop("since", None)
    fields: dict[str, Any] = {name: value for name, value in chosen.items() if name != "since"}
    since = now() - SINCE[chosen["since"]] if "since" in chosen else None
    return Query(kind="request", since=since, limit=PAGE, newest=True, **fields), chosen


async def show(visit: Visit) -> Response:
    query, chosen = query_of(visit)
    before = int(visit.number("before", 0, 0, 2**62)) or None
    found = await visit.desk.log(lambda store: list(store.read(replace(query, before=before))))
    config, guard = visit.desk.config, visit.desk.state.snapshot.guard
    return visit.page(
        "decisions.html",
        lines=[Line.of(record) for record in found], chosen=chosen, before=before,
        last=found[0].seq if found else 0, older=found[-1].seq if len(found) == PAGE else None,
        routes=[route.name for route in config.routes], keys=[key.name for key in config.keys],
        policies=list(dict.fromkeys(policy.name for policy in guard.policies.values())),
        rules=sorted({rule.id for policy in guard.policies.values() for rule in policy.rules}),
        actions=ACTIONS, spans=tuple(SINCE),
    )  # fmt: skip


async def rows(visit: Visit) -> Response:
    """What has come since, as rows; 204 where nothing has."""
    query, _ = query_of(visit)
    after = int(visit.number("after", 0, 0, 2**62))
    found = await visit.desk.log(lambda store: list(store.read(replace(query, after=after))))
    if not found:
        return Response(status_code=204)
    response = visit.page("rows.html", lines=[Line.of(record) for record in found])
    response.headers["x-weir-last"] = str(found[0].seq)
    response.headers["x-weir-count"] = str(len(found))
    return response
