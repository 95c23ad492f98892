"""What policies make of a text or a conversation, side by side; with thresholds moved, and the words that mattered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import msgspec
from markupsafe import Markup
from starlette.responses import Response

from proxy.detect.scanner import PatternError
from proxy.guard import strictest
from proxy.model.explain import explain, reasons_for
from proxy.policy.load import Policy, Rule
from proxy.server.classify import texts
from proxy.server.conversation import Memory, conversation, judged
from proxy.types import Outcome, Role, Segment, Verdict
from proxy.ui.decision import weighted
from proxy.ui.desk import Loaded
from proxy.ui.marked import Mark, marked
from proxy.ui.visit import Visit
from proxy.wire.parts import BadBody, Field, decode
from proxy.yamlfile import FileError

LONGEST = 100_000  # characters
MOST = 4  # policies at a time
ROLES: tuple[Role, ...] = ("user", "assistant", "document")


@dataclass(frozen=True, slots=True)
class Heard:
    """What one rule makes of one text. `moved`: its threshold is not the one in the file."""

    rule: Rule
    score: float | None
    threshold: float | None
    outcome: Outcome | None
    moved: bool


@dataclass(frozen=True, slots=True)
class Read:
    segment: Segment
    text: Markup  # with what was found
    verdict: Verdict
    heard: list[Heard]
    words: list[tuple[str, Markup]]


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    policy: Policy | None
    problem: str
    action: str
    before: str  # under the thresholds of the file
    reads: list[Read]

    @property
    def scored(self) -> list[Rule]:
        """Whose threshold mattered here."""
        return list(
            {h.rule.id: h.rule for read in self.reads for h in read.heard if h.rule.scored and h.score is not None}.values()
        )


async def show(visit: Visit) -> Response:
    desk = visit.desk
    names = desk.names()
    asked = [name for name in visit.all("policy") if name in names][:MOST]
    running = list(desk.state.snapshot.guard.policies)
    usual = [desk.config.routes[-1].policy]
    text = visit.given("text", LONGEST)
    role: Role = next((one for one in ROLES if one == visit.given("role")), "user")
    problem, columns = "", []
    if text:
        try:
            fields = _fields(text, role)
            columns = [await _column(visit, name, fields) for name in asked or usual]
        except BadBody as wrong:
            problem = str(wrong)
    return visit.page(
        "playground.html", names=names, running=running, asked=asked or usual, text=text, role=role, roles=ROLES,
        columns=columns, problem=problem, explains=visit.given("explain") == "1", most=MOST,
    )  # fmt: skip


def _fields(text: str, role: Role) -> list[Field]:
    """A text, or the messages of a conversation as the API has them. Raises BadBody."""
    if text.lstrip()[:1] in ("[", "{"):
        try:
            body = decode(text.encode())
        except msgspec.DecodeError:
            body = None
        messages = body.get("messages") if isinstance(body, dict) else body
        if isinstance(messages, list) and messages and all(isinstance(one, dict) and "role" in one for one in messages):
            return texts(messages)
    return [Field(("input",), text, role)]


async def _column(visit: Visit, name: str, fields: Sequence[Field]) -> Column:
    try:
        loaded = await visit.desk.policy(name)
    except (FileError, PatternError) as wrong:
        return Column(name, None, str(wrong), "", "", [])
    assert loaded is not None  # it is one of the names
    policy = loaded.policy
    tried = moved(policy, _moves(visit, name, policy))
    segments = conversation(list(fields), loaded.guard.reach(policy))
    if len(segments) == 1:
        segments = [_spoken(segments[0])]
    before = await _judged(loaded, policy, segments, fields)
    after = before if tried is policy else await _judged(replace(loaded, policy=tried), tried, segments, fields)
    reads = [await _read(visit, policy, tried, s, v) for s, v in zip(segments, after, strict=True)]
    return Column(name, tried, "", str(strictest(after)), str(strictest(before)), reads)


def _spoken(segment: Segment) -> Segment:
    """What an assistant alone has said is an answer; in a conversation it is a part of the prompt."""
    return replace(segment, direction="completion") if segment.role == "assistant" else segment


async def _judged(loaded: Loaded, policy: Policy, segments: Sequence[Segment], fields: Sequence[Field]) -> list[Verdict]:
    guard = loaded.guard
    for segment in segments:
        plan = guard.plan(policy, segment.direction)
        if plan.reads and segment.text.strip():
            await guard.scores(segment, None, plan.learned)  # in full: here one wants to see what the screen spared us
    return await judged(guard, policy, [(s, f.prose) for s, f in zip(segments, fields, strict=True)], Memory())


async def _read(visit: Visit, policy: Policy, tried: Policy, segment: Segment, verdict: Verdict) -> Read:
    scores = verdict.scores or {}
    heard = []
    for before, rule in zip(policy.rules, tried.rules, strict=True):
        if not rule.concerns(segment.direction, segment.role, segment.tool):
            continue
        outcome = next((o for o in verdict.outcomes if o.rule == rule.id), None)
        threshold = rule.threshold(segment.role) if rule.scored else None
        score = scores.get(rule.scored) if rule.scored else outcome.score if outcome else None
        heard.append(Heard(rule, score, threshold, outcome, before.thresholds != rule.thresholds))
    marks = [
        Mark(*span, "found", o.rule) for o in verdict.outcomes for span in o.spans if span[1] - span[0] < len(segment.text)
    ]
    words: list[tuple[str, Markup]] = []
    if visit.given("explain") == "1" and visit.desk.queue is not None and scores:
        queue = visit.desk.queue
        known = {name: score for name, score in scores.items() if ":" not in name}
        for category in reasons_for(verdict, known):
            reason = await explain(queue.of(category).score_many, segment.text, category, segment.context)
            words.append((category, weighted(segment.text, reason)))
    return Read(segment, marked(segment.text, marks), verdict, heard, words)


# -- thresholds


def _moves(visit: Visit, name: str, policy: Policy) -> dict[str, float]:
    found = {}
    for rule in policy.rules:
        if rule.scored and visit.given(f"t:{name}:{rule.id}"):
            found[rule.id] = visit.number(f"t:{name}:{rule.id}", rule.threshold("user"), 0.0, 1.0)
    return found


def moved(policy: Policy, thresholds: Mapping[str, float]) -> Policy:
    """The policy with other thresholds. A rule that keeps its own to the third decimal is left alone: that is what a form says
    of it that was not touched."""
    rules, changed = [], 0
    for rule in policy.rules:
        wanted = thresholds.get(rule.id)
        if wanted is None or abs(wanted - rule.threshold("user")) < 0.0005:
            rules.append(rule)
            continue
        changed += 1
        fixed = MappingProxyType(dict.fromkeys(rule.thresholds, wanted))
        rules.append(replace(rule, thresholds=fixed, above=min(rule.above, wanted) if rule.above is not None else None))
    # A policy that is judged in other words is another one: what is planned for it is remembered by its hash.
    sign = "".join(f" {r.id}={r.threshold('user')}" for r in rules if r.scored)
    return replace(policy, rules=tuple(rules), sha=f"{policy.sha}{sign}") if changed else policy
