"""From what was noted of a request to its record."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from proxy.audit.entry import Entry
from proxy.server.shadow import Difference
from proxy.server.trace import Read, person_of, rounded
from proxy.telemetry.watch import current
from proxy.text.redact import masked
from proxy.types import Action, Outcome, Step, Verdict

if TYPE_CHECKING:
    from proxy.server.exchange import Exchange

Texts = Literal["never", "redacted", "full"]


def bare(id: str, api: str, status: int, error: str, seconds: float, **more: Any) -> Entry:
    """Of what was turned away before it was known which policy it is under, and of what no policy acts on."""
    watch = current.get()
    facts = {"api": api, "status": status, "ended": _bare_ending(status, error), "error": error, "ms": {"total": _ms(seconds)}}
    return Entry("request", id, time.time(), {**facts, "trace_id": (watch.trace_id if watch else "") or None, **more})


def _bare_ending(status: int, error: str) -> str:
    if status == 499:
        return "disconnected"
    own = error and not error.startswith("upstream_")
    return "done" if status < 400 else "refused" if own or status < 500 else "error"


def begun(exchange: Exchange, api: str) -> Entry:
    """That a request was judged, and is now sent on or refused."""
    facts = {**_whose(exchange, api), "action": str(exchange.action), "rules": _rules(exchange.read)}
    return Entry("begun", exchange.id, time.time(), facts)


def ended(exchange: Exchange, api: str, status: int, seconds: float, texts: Texts, differences: Iterable[Difference]) -> Entry:
    trace, watch = exchange.trace, current.get()
    answer = max((r.verdict.action for r in exchange.read if r.direction == "completion"), default=Action.PASS)
    facts: dict[str, Any] = {
        **_whose(exchange, api),
        "action": str(exchange.action),
        "answer": str(answer),
        "status": status,
        "ended": ending(exchange, status),
        "error": trace.error,
        "rules": _rules(exchange.read),
        "steps": [step_json(step) for step in exchange.steps],
        "looked": {stage: [texts, _ms(seconds)] for stage, (texts, seconds) in watch.stages.items()} if watch else {},
        "not_inspected": [f"{f.detector}: {f.reason}" for f in exchange.skipped],
        "scores": rounded(trace.scores),
        "chars": {"prompt": trace.prompt.json, "completion": trace.completion.json},
        "ms": {**{name: _ms(value) for name, value in trace.ms.items()}, "total": _ms(seconds)},
        "usage": trace.usage._asdict() if trace.usage is not None else None,
        "shadow": [_difference(exchange, one) for one in differences],
    }
    return Entry("request", exchange.id, time.time(), facts, _private(exchange, texts), person_of(exchange.body))


def _whose(exchange: Exchange, api: str) -> dict[str, Any]:
    route, policy, asked = exchange.matched.route, exchange.policy, exchange.body.get("model")
    watch = current.get()
    return {
        "api": api,
        "stream": exchange.trace.streamed,
        "route": route.name,
        "key": exchange.trace.key or None,
        "provider": (watch.provider if watch is not None else "") or route.provider,
        "model": asked[:100].encode("utf-8", "replace").decode() if isinstance(asked, str) else None,
        "sent": route.model,
        "policy": policy.ref,
        "sha": policy.sha,
        "classifier": exchange.snapshot.guard.classifier,
        "language": exchange.language,
        "trace_id": exchange.trace.trace_id or None,
    }


def ending(exchange: Exchange, status: int) -> str:
    """done, blocked, refused, error or disconnected."""
    if exchange.trace.ended:
        return exchange.trace.ended
    if status == 499:
        return "disconnected"
    if exchange.action is Action.BLOCK:
        return "blocked"
    if exchange.trace.error and status < 500:
        return "refused"  # by Weir itself; what the provider refuses has no code of ours
    return "done" if status == 200 else "error"


def _rules(read: Iterable[Read]) -> list[dict[str, Any]]:
    return [
        {"direction": r.direction, "place": r.place, **outcome_json(o, r.verdict)} for r in read for o in r.verdict.outcomes
    ]


def outcome_json(o: Outcome, verdict: Verdict) -> dict[str, Any]:
    labels = dict(verdict.redactions)
    return {
        "rule": o.rule, "action": str(o.action), "enforced": o.enforced, "label": o.label, "score": round(o.score, 4),
        "threshold": round(o.threshold, 4) if o.threshold is not None else None,
        "spans": [[s.start, s.end, labels.get(s, o.label)] for s in o.spans], "by": o.decided_by,
        **({"codes": list(o.codes)} if o.codes else {}),
    }  # fmt: skip


def step_json(step: Step) -> dict[str, Any]:
    return {
        "by": step.detector, "rule": step.rule, "score": step.score if step.score is None else round(step.score, 4),
        "ms": _ms(step.seconds),
    }  # fmt: skip


def _private(exchange: Exchange, texts: Texts) -> dict[str, Any] | None:
    """What people wrote, and what a judge said of it, as far as it is to be kept."""
    if texts == "never":
        return None
    guard, policy = exchange.snapshot.guard, exchange.policy

    def kept(text: str) -> str:
        """Without whatever the patterns of any rule find in it: of blocked text nobody has looked at the rest."""
        if texts == "full":
            return text
        both = (guard.selection(policy, direction) for direction in ("prompt", "completion"))
        return masked(text, ((f.span, f.label) for selection in both for f in selection.scan(text).findings))

    said = [t._replace(text=kept(t.text))._asdict() for t in exchange.trace.texts]
    why = [{"rule": o.rule, "rationale": kept(o.rationale)} for o in exchange.outcomes if o.rationale]
    return {"texts": said, "kept": texts, **({"rationales": why} if why else {})}


def _difference(exchange: Exchange, one: Difference) -> dict[str, Any]:
    assert exchange.shadow is not None
    return {
        "policy": exchange.shadow.policy.ref, "direction": one.direction, "action": str(one.action),
        "shadow": str(one.shadow), "gained": one.gained, "lost": one.lost,
    }  # fmt: skip


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 2)
