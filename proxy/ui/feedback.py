"""What people say of decisions, and what becomes of it: labelled texts, and more examples for a rule."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from starlette.responses import Response

from proxy.audit import AuditError
from proxy.audit.entry import Entry
from proxy.audit.feedback import MARKS, given, labelled
from proxy.audit.store import Query, Record, Store
from proxy.detect.scanner import PatternError
from proxy.policy.data import Row, row_of
from proxy.policy.learn import learnt
from proxy.policy.tune import patch as difference
from proxy.ui.visit import Visit
from proxy.yamlfile import FileError

LONGEST = 2000  # characters of a comment
_LISTED = 200


async def give(visit: Visit) -> Response:
    id, mark = visit.request.path_params["id"], visit.given("mark")
    if mark not in MARKS:
        return visit.page("message.html", 400, title=visit.say("Which?"), text=visit.say("Say whether it was right or wrong."))
    rule, comment = visit.given("rule", 64), visit.given("comment", LONGEST)
    by = visit.session.name

    def marked_by(store: Store) -> Entry:
        return given(store, id, mark, rule, comment, by)

    try:
        entry = await visit.desk.log(marked_by)
    except AuditError:
        return visit.missing(visit.say("The decision log has no such request."))
    writer = visit.desk.state.audit
    if writer is None or not await writer.committed(entry):
        text = visit.say("The decision log did not take it. Please try again in a moment.")
        return visit.page("message.html", 503, title=visit.say("Not recorded"), text=text)
    return visit.elsewhere(f"decisions/{entry.about}", given="1")


async def show(visit: Visit) -> Response:
    before = int(visit.number("before", 0, 0, 2**62)) or None

    def found(store: Store) -> list[tuple[Record, dict[str, Any], Record | None]]:
        marks = list(store.read(Query(kind="feedback", newest=True, limit=_LISTED, before=before)))
        return [(one, store.opened(one), _target(store, one)) for one in marks]

    marks = await visit.desk.log(found)
    learning = []
    for name in visit.desk.names():
        try:
            loaded = await visit.desk.policy(name)
        except (FileError, PatternError):
            continue
        if loaded is not None:
            learning += [(name, rule.id) for rule in loaded.policy.rules if rule.kind == "examples"]
    return visit.page(
        "feedback.html", marks=marks, learning=learning, older=marks[-1][0].seq if len(marks) == _LISTED else None
    )


def _target(store: Store, mark: Record) -> Record | None:
    return next((one for one in store.get(str(mark.about)) if one.kind == "request"), None)


async def marked(visit: Visit) -> Response:
    """What `weir audit export --feedback` writes."""
    rows = await visit.desk.log(lambda store: list(labelled(store, Query(kind="feedback"))))
    body = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    headers = {"content-disposition": 'attachment; filename="marked.jsonl"'}
    return Response(body, 200, headers, "application/x-ndjson")


async def patch(visit: Visit) -> Response:
    """Marked texts as more examples of a rule, for whoever keeps the file."""
    name, rule = visit.given("policy"), visit.given("rule")
    loaded = await visit.desk.policy(name)
    if loaded is None:
        return visit.missing(visit.say("There is no such policy."))
    policy = loaded.policy
    rows = await visit.desk.log(lambda store: list(_rows(store)))
    found = await visit.desk.aside(lambda: learnt(policy.text, rows, rule))
    return visit.page(
        "patch.html", policy=name, rule=rule, added=len(found.added), left=found.left,
        patch=difference(policy.text, found.text, f"{name}.yaml"), file=f"{name}.yaml",
    )  # fmt: skip


def _rows(store: Store) -> Iterator[Row]:
    for line, row in enumerate(labelled(store, Query(kind="feedback")), 1):
        yield row_of(row, "marked", line)
