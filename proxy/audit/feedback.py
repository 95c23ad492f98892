"""What people say of decisions: recorded beside them, and turned into labelled texts."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from proxy import yamlfile
from proxy.audit import AuditError
from proxy.audit.entry import Entry
from proxy.audit.store import Query, Record, Store
from proxy.types import CATEGORIES

Mark = Literal["right", "wrong_block", "missed"]
MARKS: tuple[Mark, ...] = ("right", "wrong_block", "missed")


def given(store: Store, id: str, mark: Mark, rule: str = "", comment: str = "", by: str = "") -> Entry:
    """A mark on the request `id`, or on the one that begins so. `rule` is the rule or category that it is about; `by` the name
    of the key that gives it. Raises AuditError."""
    found = [record for record in store.get(id) if record.kind == "request"]
    if len({record.id for record in found}) != 1:
        raise AuditError(f"there is no single request {id!r} in the decision log; `weir audit tail` lists them")
    target = found[-1]
    facts = {"mark": mark, "rule": rule or None, "by": by or None}
    private = {"comment": comment} if comment else None
    return Entry("feedback", uuid.uuid4().hex, time.time(), facts, private, subject=target.subject, about=target.id)


def labelled(store: Store, query: Query) -> Iterator[dict[str, Any]]:
    """Rows for `weir policy test --cases`, `weir policy tune` and `weir eval`: one for each mark whose text was kept. A later
    mark on the same request and rule replaces an earlier one."""
    marks: dict[tuple[str, str], Record] = {}
    for record in store.read(query):
        marks[str(record.about), record.facts.get("rule") or ""] = record
    categories: dict[str, Mapping[str, str]] = {}
    for (id, _), mark in marks.items():
        target = next((r for r in store.get(id) if r.kind == "request"), None)
        if target is None:
            continue
        sha = target.facts.get("sha")
        if sha and sha not in categories:
            categories[sha] = _categories(store.policy(sha))
        row = _row(mark.facts, target.facts, store.opened(target).get("texts", ()), categories.get(str(sha), {}))
        if row is not None:
            yield {"id": mark.id, **row, "mark": mark.facts["mark"], "source": "feedback"}


def _categories(policy: str | None) -> Mapping[str, str]:
    """Rule -> what it asks the classifier for, in a policy as it was."""
    try:
        data, _ = yamlfile.load(policy or "", "policy")
    except yamlfile.FileError:
        return {}
    rules = data.get("rules") if isinstance(data, dict) else None
    found = {}
    for rule in rules or ():
        if isinstance(rule, dict) and isinstance(detect := rule.get("detect"), dict) and detect.get("category"):
            found[str(rule.get("id"))] = str(detect["category"])
    return found


def _row(mark: Mapping[str, Any], facts: Mapping[str, Any], texts: Any, categories: Mapping[str, str]) -> dict[str, Any] | None:
    outcome = _outcome(mark, facts)
    text = _text(outcome, texts)
    if text is None:
        return None
    rule = mark.get("rule") or (outcome["rule"] if outcome else None)
    label = outcome["label"] if outcome else categories.get(str(rule), rule)
    wrong = mark["mark"] == "wrong_block"
    fine = wrong or (mark["mark"] == "right" and outcome is None)
    action = "pass" if fine else outcome["action"] if outcome else "block"
    # A rule that is named by its category only says nothing of which rule should have spoken.
    named = {"rule": rule} if rule and not fine and rule not in CATEGORIES else {}
    return {
        "text": text["text"],
        "role": text["role"],
        "lang": facts.get("language") or "",
        "labels": {label: 0 if fine else 1} if label in CATEGORIES else {},
        "expect": {"action": action, **named},
        **({"about": rule} if rule else {}),
    }


def _outcome(mark: Mapping[str, Any], facts: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What the mark is about: the rule that it names, else the one that decided."""
    spoken = [one for one in facts.get("rules", ()) if not mark.get("rule") or mark["rule"] in (one["rule"], one["label"])]
    order = {"flag": 1, "redact": 2, "block": 3}
    return max(spoken, key=lambda one: (one["enforced"], order.get(one["action"], 0)), default=None)


def _text(outcome: Mapping[str, Any] | None, texts: Any) -> Mapping[str, Any] | None:
    if outcome is not None:
        at = (outcome["direction"], outcome["place"])
        return next((t for t in texts if (t["direction"], t["place"]) == at), None)
    own = [t for t in texts if t["role"] == "user"]
    return own[-1] if own else None
