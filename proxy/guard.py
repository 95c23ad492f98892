"""Judging: segments in, verdicts out. Patterns at once, the classifier through its queue, the policy decides.

A `Guard` is one immutable snapshot of everything that a reload may change. Requests keep the snapshot they began with,
so no request is judged by two versions of a policy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from proxy.detect.scanner import Scanner, Selection
from proxy.model.queue import QueueFull, ScoringQueue
from proxy.policy.decide import decide
from proxy.policy.load import Policy
from proxy.text.normalize import classifier_texts
from proxy.types import Action, Direction, Failure, Finding, Outcome, Scan, Scores, Segment, Verdict

CONTEXT = 120  # characters of the conversation before a text that the classifier reads with it


@dataclass(frozen=True, slots=True)
class PolicyText:
    """One policy's pattern rules as pure functions of text: `stream.channel.TextRules`."""

    policy: Policy
    selection: Selection
    asks_model: bool
    role: str = "assistant"
    direction: Direction = "completion"

    def scan(self, text: str, before: str, final: bool) -> Scan:
        return self.selection.scan(text, before, final)

    def decide(self, text: str, findings: tuple[Finding, ...]) -> Verdict:
        return decide(self.policy, Segment(text, self.role, self.direction), findings, None, ())


@dataclass(frozen=True, slots=True)
class Guard:
    policies: Mapping[str, Policy]
    scanner: Scanner
    queue: ScoringQueue | None
    timeout: float = 10.0
    _selections: dict[tuple[str, str], Selection] = field(default_factory=dict)
    _sifts: dict[tuple[str, str], bool] = field(default_factory=dict)

    def selection(self, policy: Policy, direction: Direction) -> Selection:
        key = (policy.sha, direction)
        if key not in self._selections:
            self._selections[key] = self.scanner.select(policy.pattern_ids(direction))
        return self._selections[key]

    def asks_model(self, policy: Policy, direction: Direction) -> bool:
        return bool(policy.categories(direction))

    def text_rules(self, policy: Policy, direction: Direction = "completion", role: str = "assistant") -> PolicyText:
        return PolicyText(policy, self.selection(policy, direction), self.asks_model(policy, direction), role, direction)

    async def judge(self, policy: Policy, segment: Segment, *, patterns: bool = True, prose: bool = True) -> Verdict:
        """The verdict on one segment. Never raises for a detector's sake: a failure is part of the verdict."""
        findings: Sequence[Finding] = ()
        if patterns:
            findings = self.selection(policy, segment.direction).scan(segment.text).findings
        scores: Scores | None = None
        failures: tuple[Failure, ...] = ()
        if prose and segment.text.strip() and self.asks_model(policy, segment.direction):
            scores, failures = await self.scores(segment, self.may_sift(policy, segment.direction))
        return decide(policy, segment, findings, scores, failures)

    def may_sift(self, policy: Policy, direction: Direction) -> bool:
        """Whether the screen may answer for the classifier: no rule's threshold is lower than those it was made for."""
        screen = self.queue.classifier.screen if self.queue is not None else None
        if screen is None:
            return False
        key = (policy.sha, direction)
        if key not in self._sifts:
            asked = (r for r in policy.rules if r.category and direction in r.on)
            self._sifts[key] = all(min(r.thresholds.values()) >= screen.floor.get(r.category, 2.0) for r in asked)
        return self._sifts[key]

    async def scores(self, segment: Segment, sift: bool = False) -> tuple[Scores | None, tuple[Failure, ...]]:
        """A category that is missing from the scores is surely below its threshold: the screen excluded it."""
        if self.queue is None:
            return None, (Failure("safeguard", "no model is loaded"),)
        text = segment.lead + segment.text
        items = [(text, segment.context), *((extra, segment.context) for extra in classifier_texts(text))]
        try:
            async with asyncio.timeout(self.timeout):
                found = await self.queue.score_many(items, sift)
        except TimeoutError:
            return None, (Failure("safeguard", "timed out"),)
        except QueueFull:
            return None, (Failure("safeguard", "too busy"),)
        except Exception as error:  # the queue must answer for whatever the runtime throws; it becomes a value here
            return None, (Failure("safeguard", type(error).__name__),)
        read = [scores for scores in found if scores]
        return {category: max(scores[category] for scores in read) for category in read[0]} if read else {}, ()


def strictest(verdicts: Sequence[Verdict]) -> Action:
    return max((v.action for v in verdicts), default=Action.PASS)


def first_block(verdicts: Sequence[Verdict]) -> Outcome | None:
    return next((v.blocking for v in verdicts if v.action is Action.BLOCK and v.blocking), None)
