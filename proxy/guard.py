"""Judging: segments in, verdicts out. Patterns at once, the classifier through its queue, a judge where it is unsure, the
policy decides.

A `Guard` is one immutable snapshot of everything that a reload may change. Requests keep the snapshot they began with,
so no request is judged by two versions of a policy.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from proxy.detect.scanner import Scanner, Selection
from proxy.judge.cascade import Cascade, Seen
from proxy.model.classifier import Found
from proxy.model.network import Unavailable
from proxy.model.queue import QueueFull, ScoringQueue
from proxy.policy.decide import decide
from proxy.policy.load import Policy, Rule
from proxy.stream.cut import STRIDE
from proxy.telemetry.drift import Drift
from proxy.telemetry.watch import looked
from proxy.text.normalize import classifier_texts
from proxy.types import Action, Direction, Failure, Finding, Outcome, Scan, Scores, Segment, Verdict

CONTEXT = 120  # characters of the conversation before a text that the classifier reads with it
SHORT = 3  # words that a text needs to have a topic
REACH = 2000  # and that a judge reads with it


@dataclass(frozen=True, slots=True)
class PolicyText:
    """One policy's pattern rules as pure functions of text: `stream.channel.TextRules`."""

    policy: Policy
    selection: Selection
    asks_model: bool  # or a judge
    role: str = "assistant"
    direction: Direction = "completion"
    stride: int = 0
    reach: int = 0
    tool: str | None = None

    def scan(self, text: str, before: str, final: bool) -> Scan:
        return self.selection.scan(text, before, final)

    def decide(self, text: str, findings: tuple[Finding, ...]) -> Verdict:
        return decide(self.policy, Segment(text, self.role, self.direction, tool=self.tool), findings, None, ())

    def of(self, tool: str | None) -> PolicyText:
        return replace(self, tool=tool)


class _Plan(NamedTuple):
    """What a policy wants of the detectors in one direction; worked out once."""

    selection: Selection
    reads: bool  # the classifier is asked
    learned: tuple[Rule, ...]  # that go by its embeddings
    sifts: bool  # the screen may answer for it
    judged: bool  # a judge may be asked
    stride: int  # how much of an answer a judge reads at a time; 0: no rule waits for one on every piece
    reach: int  # how much of what came before it is told


@dataclass(frozen=True, slots=True)
class Guard:
    policies: Mapping[str, Policy]
    scanner: Scanner
    queue: ScoringQueue | None
    timeout: float = 10.0
    cascade: Cascade = field(default_factory=lambda: Cascade({}))
    drift: Drift | None = None
    _plans: dict[tuple[str, int, str], _Plan] = field(default_factory=dict)

    @property
    def classifier(self) -> str:
        """The hash of the model that decides; empty without one."""
        return self.queue.classifier.artefact.sha256 if self.queue is not None else ""

    def plan(self, policy: Policy, direction: Direction) -> _Plan:
        key = (policy.sha, policy.variant, direction)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = self._planned(policy, direction)
        return plan

    def _planned(self, policy: Policy, direction: Direction) -> _Plan:
        judged, learned = policy.judged(direction), policy.learned(direction)
        waits = any(r.kind == "judge" and not r.after for r in judged)
        return _Plan(
            self.scanner.select(policy.pattern_ids(direction)),
            bool(learned or policy.categories(direction)),
            learned,
            not learned and self._may_sift(policy, direction),
            bool(judged),
            STRIDE if waits else 0,
            REACH if judged else 0,
        )

    def _may_sift(self, policy: Policy, direction: Direction) -> bool:
        """Whether the screen may answer for the classifier: no rule's threshold is lower than those it was made for."""
        screen = self.queue.classifier.screen if self.queue is not None else None
        if screen is None:
            return False
        asked = [r for r in policy.rules if r.category and direction in r.on]
        return all(not r.sample and r.lowest >= screen.floor.get(r.category, 2.0) for r in asked)

    def selection(self, policy: Policy, direction: Direction) -> Selection:
        return self.plan(policy, direction).selection

    def reach(self, policy: Policy) -> int:
        """How much of the conversation a judge of this policy is told; 0 if it asks none."""
        return max(self.plan(policy, "prompt").reach, self.plan(policy, "completion").reach)

    def text_rules(self, policy: Policy, direction: Direction = "completion", role: str = "assistant") -> PolicyText:
        plan = self.plan(policy, direction)
        return PolicyText(policy, plan.selection, plan.reads or plan.judged, role, direction, plan.stride, plan.reach)

    async def judge(
        self, policy: Policy, segment: Segment, *, patterns: bool = True, prose: bool = True, defer: bool = False
    ) -> Verdict:
        """The verdict on one segment. Never raises for a detector's sake: a failure is part of the verdict.

        With `defer`, rules whose judge comes after are left open: the verdict holds for now, and is `pending`. To ask again
        without it costs no more than the judge: all else is remembered.
        """
        plan = self.plan(policy, segment.direction)
        findings: tuple[Finding, ...] = ()
        started = time.perf_counter()
        if patterns:
            findings = plan.selection.scan(segment.text).findings
            looked("patterns", segment.direction, started)
        if not prose or not (plan.reads or plan.judged) or not segment.text.strip():
            return decide(policy, segment, findings, None, ())
        scores: Scores | None = None
        failures: tuple[Failure, ...] = ()
        started = time.perf_counter()
        if plan.reads:
            scores, failures = await self.scores(segment, plan.sifts, plan.learned)
        verdict = decide(policy, segment, findings, scores, failures)
        if not plan.judged:
            return verdict
        seen = Seen(findings, scores, failures, time.perf_counter() - started)
        return await self.cascade.judge(policy, segment, seen, verdict, defer)

    async def scores(
        self, segment: Segment, sift: bool = False, learned: tuple[Rule, ...] = ()
    ) -> tuple[Scores | None, tuple[Failure, ...]]:
        """A category that is missing from the scores is surely below its threshold: the screen excluded it. One reading
        serves the categories and all that is `learned` from examples."""
        if self.queue is None:
            return None, (Failure("safeguard", "no model is loaded"),)
        text = segment.lead + segment.text
        items = [(text, segment.context), *((extra, segment.context) for extra in classifier_texts(text))]
        started, failed = time.perf_counter(), ""
        found: list[Found] = []
        try:
            async with asyncio.timeout(self.timeout):
                found = await self.queue.score_many(items, sift, bool(learned))
        except TimeoutError:
            failed = "timed out"
        except QueueFull:
            failed = "too busy"
        except Unavailable as problem:
            failed = str(problem)
        except Exception as error:  # the queue must answer for whatever the runtime throws; it becomes a value here
            failed = type(error).__name__
        looked("classifier" if failed or any(found) else "screen", segment.direction, started, failed=failed)
        if failed:
            return None, (Failure("safeguard", failed),)
        read = [scores for scores in found if scores]
        scores = {category: max(scores[category] for scores in read) for category in read[0]} if read else {}
        if self.drift is not None and not found[0].weighed:  # a text that comes again is no news
            found[0].weighed = True
            self.drift.saw(scores)
        for rule in learned:
            if (score := _likeness(rule, segment, read)) is not None:
                scores[rule.scored] = score
        return scores, ()


def _likeness(rule: Rule, segment: Segment, read: Sequence[Found]) -> float | None:
    """How much the most suspicious part of the text is like the rule's examples. In the inverted sense, how little the text
    itself is like them; a word or two have no topic."""
    if rule.head is None or not read or read[0].embeddings is None:
        return None
    if rule.inverted:
        own = float(rule.head.scores(read[0].embeddings).mean())
        return 1 - own if len(segment.text.split(None, SHORT)) >= SHORT else 0.0
    return max(float(rule.head.scores(one.embeddings).max()) for one in read if one.embeddings is not None)


def strictest(verdicts: Sequence[Verdict]) -> Action:
    return max((v.action for v in verdicts), default=Action.PASS)


def first_block(verdicts: Sequence[Verdict]) -> Outcome | None:
    return next((v.blocking for v in verdicts if v.action is Action.BLOCK and v.blocking), None)
