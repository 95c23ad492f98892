"""From findings to a verdict. Pure: no clock, no I/O, the same answer for the same values.

Each rule, in the order of the file, gives at most one outcome. The strictest enforced action wins, so the order never
changes what happens, only whose label a redaction carries where two overlap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from proxy.policy.load import Policy, Rule
from proxy.types import Action, Failure, Finding, Opinion, Outcome, Segment, Span, Verdict

NO_ANSWERS: Mapping[str, Opinion | Failure] = MappingProxyType({})


def decide(
    policy: Policy,
    segment: Segment,
    findings: Sequence[Finding],
    scores: Mapping[str, float] | None,
    failures: Sequence[Failure],
    answers: Mapping[str, Opinion | Failure] = NO_ANSWERS,
) -> Verdict:
    """The verdict on one segment.

    `answers` are those of the judges that were asked, by the rule. A rule whose judge was not asked has nothing to say.

    `scores` is None where no classifier was asked, or none could answer. `failures` says who could not, and each category
    rule that needed it follows its `on_error`. A rule that only monitors never blocks, not for a failure either.
    """
    outcomes: list[Outcome] = []
    redactions: list[_Redaction] = []
    missed: list[Failure] = []
    unavailable = False
    for order, rule in enumerate(policy.rules):
        if not rule.concerns(segment.direction, segment.role, segment.tool):
            continue
        if rule.kind != "patterns":
            outcome = _by_score(rule, segment, scores) if rule.scored else None
            missing = [f for f in failures if f.concerns(rule.category)] if outcome is None and rule.scored else []
            if rule.judge and outcome is None:
                answer = answers.get(rule.id)
                if isinstance(answer, Failure):
                    missing.append(answer)
                elif answer is not None:
                    outcome = _by_judge(rule, segment, scores, answer)
            if missing:
                missed += missing
                unavailable |= rule.enforced and (rule.on_error or policy.on_error) == "block"
            labelled = [(span, rule.label) for span in outcome.spans] if outcome else []
        else:
            own = [f for f in findings if f.source in rule.sources]
            outcome = _by_findings(rule, own)
            labelled = [(f.span, f.label or rule.label) for f in own]
        if outcome is None:
            continue
        outcomes.append(outcome)
        if rule.enforced and rule.action is Action.REDACT:
            redactions += (_Redaction(span.start, span.end, order, label) for span, label in labelled)
    action = max((o.action for o in outcomes if o.enforced), default=Action.PASS)
    return Verdict(
        action=Action.BLOCK if unavailable else action,
        outcomes=tuple(outcomes),
        redactions=_merged(redactions, len(segment.text)),
        not_inspected=tuple(dict.fromkeys(missed)),
        unavailable=unavailable and action is not Action.BLOCK,
        scores=scores,
    )


def _by_score(rule: Rule, segment: Segment, scores: Mapping[str, float] | None) -> Outcome | None:
    score = scores.get(rule.scored) if scores is not None else None
    threshold = rule.threshold(segment.role)
    if score is None or score < threshold:
        return None
    # The classifier judges a text as a whole; it has no span of its own.
    spans = (Span(0, len(segment.text)),) if rule.action is Action.REDACT else ()
    by = "classifier" if rule.category else "examples"
    return Outcome(rule.id, rule.action, rule.enforced, rule.category or rule.id, score, threshold, spans, by)


def _by_judge(rule: Rule, segment: Segment, scores: Mapping[str, float] | None, answer: Opinion) -> Outcome | None:
    if not answer.violates or (rule.codes and answer.codes and not rule.codes.intersection(answer.codes)):
        return None
    spans = (Span(0, len(segment.text)),) if rule.action is Action.REDACT else ()
    label, score = rule.id, answer.score
    if rule.scored and scores is not None:
        label, score = rule.category or rule.id, scores.get(rule.scored, 0.0)
    return Outcome(
        rule.id, rule.action, rule.enforced, label, score, rule.above, spans, "judge", answer.codes, answer.rationale
    )


def asks(rule: Rule, segment: Segment, scores: Mapping[str, float] | None) -> bool:
    """Whether the rule's judge must be asked about the segment."""
    if not rule.judge or not rule.concerns(segment.direction, segment.role, segment.tool):
        return False
    if rule.kind == "judge":
        return segment.stretch != ""
    score = scores.get(rule.scored) if scores is not None else None
    return score is not None and rule.above is not None and rule.above <= score < rule.threshold(segment.role)


def _by_findings(rule: Rule, found: Sequence[Finding]) -> Outcome | None:
    if not found:
        return None
    spans = tuple(sorted({f.span for f in found}))
    return Outcome(rule.id, rule.action, rule.enforced, rule.id, max(f.score for f in found), None, spans)


class _Redaction(NamedTuple):
    start: int
    end: int
    order: int  # of its rule
    label: str


def _merged(redactions: Iterable[_Redaction], length: int) -> tuple[tuple[Span, str], ...]:
    """Sorted and disjoint: what overlaps becomes one, under the label of the rule that comes first in the file."""
    merged: list[_Redaction] = []
    for one in sorted(r._replace(start=max(0, r.start), end=min(length, r.end)) for r in redactions):
        if one.start >= one.end:
            continue
        last = merged[-1] if merged else None
        if last is None or one.start >= last.end:
            merged.append(one)
            continue
        order, label = min((last.order, last.label), (one.order, one.label), key=lambda pair: pair[0])
        merged[-1] = _Redaction(last.start, max(last.end, one.end), order, label)
    return tuple((Span(r.start, r.end), r.label) for r in merged)
