"""One decision in full: every rule in its order, the text as far as it was kept, who decided, its place in the chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from starlette.responses import Response

from proxy.audit.feedback import MARKS
from proxy.audit.store import Place, Record, Store
from proxy.model.explain import Explanation, explain
from proxy.policy.circumstances import Setting
from proxy.policy.load import Policy, Rule
from proxy.types import CATEGORIES
from proxy.ui.decisions import Line
from proxy.ui.marked import LONGEST, Mark, marked
from proxy.ui.visit import Visit

DIRECTIONS = ("prompt", "completion")
_ROLE = {"prompt": "user", "completion": "assistant"}
_WEIGHTS = 5  # shades of a word


@dataclass(frozen=True, slots=True)
class Known:
    """All that the log has of a request."""

    record: Record
    private: Mapping[str, Any]
    marks: Sequence[tuple[Record, Mapping[str, Any]]]  # with what is private of them
    policy: str | None
    place: Place | None


@dataclass(frozen=True, slots=True)
class Told:
    """What one rule of the policy said, in one direction. `outcome` is what was recorded, if it spoke."""

    rule: str
    direction: str
    kind: str
    score: float | None
    threshold: float | None
    outcome: Mapping[str, Any] | None
    places: int = 1


@dataclass(frozen=True, slots=True)
class Shown:
    """One text that was kept."""

    number: int
    direction: str
    place: str
    role: str
    text: Markup
    more: int  # characters that are left out
    explains: bool  # the classifier decided on it


def read(store: Store, id: str) -> Known | None:
    found = store.get(id)
    record = next((one for one in found if one.kind == "request" and one.id == id), None)
    if record is None:
        return None
    marks = [(one, store.opened(one)) for one in found if one.kind == "feedback" and one.about == id]
    sha = record.facts.get("sha")
    return Known(record, store.opened(record), marks, store.policy(sha) if sha else None, store.place(record.seq))


async def show(visit: Visit) -> Response:
    id = visit.request.path_params["id"]
    known = await visit.desk.log(lambda store: read(store, id))
    if known is None:
        return visit.missing(visit.say("The decision log has no such request."))
    facts = known.record.facts
    policy = None
    if known.policy is not None:
        text, name = known.policy, str(facts.get("policy"))
        policy = await visit.desk.aside(lambda: visit.desk.past(text, name))
    texts = shown(visit, known)
    return visit.page(
        "decision.html",
        known=known, facts=facts, line=Line.of(known.record), told=told(facts, policy), texts=texts,
        words=decisive(visit, facts), same_model=facts.get("classifier") == visit.desk.classifier,
        rationales=known.private.get("rationales") or (), kept=known.private.get("kept") or "",
        rules=_rules(facts, policy), marks=MARKS, given=visit.given("given") == "1",
    )  # fmt: skip


def told(facts: Mapping[str, Any], policy: Policy | None) -> list[Told]:
    """In the order of the file. Rules that spoke and are not in it, such as what a policy says of media, come last."""
    outcomes = facts.get("rules") or ()
    listed: list[Told] = []
    held = policy.under(_setting(facts)).rules if policy is not None else ()
    for direction in DIRECTIONS:
        scores = (facts.get("scores") or {}).get(direction) or {}
        said = [one for one in outcomes if one["direction"] == direction]
        if not said and not scores and not ((facts.get("chars") or {}).get(direction) or {}).get("inspected"):
            continue
        for rule in held:
            if direction in rule.on:
                listed.append(_told(rule, direction, scores, [one for one in said if one["rule"] == rule.id]))
        ids = {rule.id for rule in held if direction in rule.on}
        for name in dict.fromkeys(one["rule"] for one in said if one["rule"] not in ids):
            own = [one for one in said if one["rule"] == name]
            first = _highest(own)
            listed.append(Told(name, direction, first["by"], first["score"], first["threshold"], first, len(own)))
    return listed


def _told(rule: Rule, direction: str, scores: Mapping[str, float], said: Sequence[Mapping[str, Any]]) -> Told:
    if said:
        one = _highest(said)
        return Told(rule.id, direction, rule.kind, one["score"], one["threshold"], one, len(said))
    if not rule.scored:
        return Told(rule.id, direction, rule.kind, None, None, None)
    threshold = rule.threshold(_ROLE[direction])
    return Told(rule.id, direction, rule.kind, scores.get(rule.scored), threshold if threshold <= 1 else None, None)


def _highest(said: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return max(said, key=lambda one: one["score"])


def _setting(facts: Mapping[str, Any]) -> Setting:
    return Setting(*(facts.get(name) or "" for name in ("route", "key", "model", "language")))


def _rules(facts: Mapping[str, Any], policy: Policy | None) -> list[str]:
    """What a mark may be about: a rule, or a category that no rule asked for."""
    said = [one["rule"] for one in facts.get("rules") or ()]
    own = [rule.id for rule in policy.rules] if policy is not None else []
    return list(dict.fromkeys([*said, *own, *CATEGORIES]))


def decisive(visit: Visit, facts: Mapping[str, Any]) -> str:
    """Why, in one sentence: the rule that decided, by whom, with what."""
    order = {"flag": 1, "redact": 2, "block": 3}
    said = [one for one in facts.get("rules") or () if one["enforced"]]
    if not said:
        return ""
    one = max(said, key=lambda o: (order.get(o["action"], 0), o["score"]))
    by = visit.named(one["by"])
    if one["threshold"] is None:
        return visit.say("by rule {rule} ({by})", rule=one["rule"], by=by)
    return visit.say(
        "by rule {rule} ({by}: {score} against {threshold})",
        rule=one["rule"], by=by, score=visit.numbered(one["score"]), threshold=visit.numbered(one["threshold"]),
    )  # fmt: skip


# -- the text, as far as it was kept


def shown(visit: Visit, known: Known) -> list[Shown]:
    # Spans count the characters of the text as it was: in one without what was found they would point at the wrong words.
    exact = known.private.get("kept") == "full"
    found = []
    for number, one in enumerate(known.private.get("texts") or ()):
        said = [
            o for o in known.record.facts.get("rules") or () if (o["direction"], o["place"]) == (one["direction"], one["place"])
        ]
        marks = [
            Mark(start, end, "found", f"{o['rule']}: {label}")
            for o in said if exact
            for start, end, label in o["spans"] if end - start < len(one["text"])
        ]  # fmt: skip
        explains = any(o["by"] == "classifier" for o in said)
        more = max(0, len(one["text"]) - LONGEST)
        found.append(Shown(number, one["direction"], one["place"], one["role"], marked(one["text"], marks), more, explains))
    return found


async def words(visit: Visit) -> Response:
    """The words that carried the classifier's decision, for one of the texts; read again under the model that runs now."""
    id, number = visit.request.path_params["id"], int(visit.number("text", 0, 0, 10_000))
    known = await visit.desk.log(lambda store: read(store, id))
    texts = known.private.get("texts") or () if known is not None else ()
    queue = visit.desk.queue
    if known is None or number >= len(texts) or queue is None:
        return visit.missing(visit.say("There is no such text."))
    text = texts[number]
    said = [
        o for o in known.record.facts.get("rules") or ()
        if o["by"] == "classifier" and (o["direction"], o["place"]) == (text["direction"], text["place"])
    ]  # fmt: skip
    labels = list(dict.fromkeys(str(o["label"]) for o in said))
    reasons = [await explain(queue.of(label).score_many, text["text"], label) for label in labels]
    return visit.page("words.html", reasons=[(reason.category, weighted(text["text"], reason)) for reason in reasons], back=id)


def weighted(text: str, reason: Explanation) -> Markup:
    """The heavier a word, the stronger its shade."""
    top = max((one.weight for one in reason.weights), default=1.0)
    marks = []
    for one in reason.weights:
        shade = max(1, round(one.weight / top * _WEIGHTS))
        marks.append(Mark(one.span.start, one.span.end, f"w{shade}", f"{reason.category} +{one.weight:.2f}"))
    return marked(text, marks)
