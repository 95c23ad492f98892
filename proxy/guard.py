"""Judging: segments in, verdicts out. Patterns at once, the classifier through its queue, a judge where it is unsure, the
policy decides.

A `Guard` is one immutable snapshot of everything that a reload may change. Requests keep the snapshot they began with,
so no request is judged by two versions of a policy.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
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


class Reader(NamedTuple):
    """A classifier that is asked, and what for."""

    name: str
    queue: ScoringQueue
    categories: frozenset[str] | None  # None: it is the only one
    timeout: float
    sifts: bool = False  # its screen may answer for it

    def failed(self, reason: str) -> Failure:
        return Failure(self.name, reason, self.categories)


class _Plan(NamedTuple):
    """What a policy wants of the detectors in one direction; worked out once."""

    selection: Selection
    reads: bool  # a classifier is asked
    readers: tuple[Reader, ...]
    learned: tuple[Rule, ...]  # that go by the first one's embeddings
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
        """The hash of the model that decides, or of all of them; empty without one."""
        return self.queue.sha256 if self.queue is not None else ""

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
            tuple(self._readers(policy, direction)),
            learned,
            bool(judged),
            STRIDE if waits else 0,
            REACH if judged else 0,
        )

    def _everybody(self) -> tuple[Reader, ...]:
        if self.queue is None:
            return ()
        beside = self.queue.beside
        own = self.queue.categories | {""} if beside else None
        main = Reader("safeguard", self.queue, own, self.timeout)
        return (main, *(Reader(one.name, one.queue, one.categories, one.timeout) for one in beside))

    def _readers(self, policy: Policy, direction: Direction) -> Iterator[Reader]:
        """Those that the policy has rules for; where a screen may answer for one, with that."""
        learned = policy.learned(direction)
        for index, reader in enumerate(self._everybody()):
            asked = [r for r in policy.rules if r.category and direction in r.on]
            asked = [r for r in asked if reader.categories is None or r.category in reader.categories]
            embeds = index == 0 and bool(learned)
            if asked or embeds:
                yield reader._replace(sifts=not embeds and _may_sift(reader, asked))

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
            scores, failures = await self.scores(segment, plan.readers, plan.learned)
        verdict = decide(policy, segment, findings, scores, failures)
        if not plan.judged:
            return verdict
        seen = Seen(findings, scores, failures, time.perf_counter() - started)
        return await self.cascade.judge(policy, segment, seen, verdict, defer)

    async def scores(
        self, segment: Segment, readers: tuple[Reader, ...] | None = None, learned: tuple[Rule, ...] = ()
    ) -> tuple[Scores | None, tuple[Failure, ...]]:
        """By `readers`, else by every classifier. None if nobody could answer. A category that is missing from the scores is
        surely below its threshold (the screen excluded it), or concerned by a failure. One reading serves the categories and
        all that is `learned` from examples."""
        if self.queue is None:
            return None, (Failure("safeguard", "no model is loaded"),)
        text = segment.lead + segment.text
        items = [(text, segment.context), *((extra, segment.context) for extra in classifier_texts(text))]
        asked = self._everybody() if readers is None else readers
        if len(asked) == 1:
            answers = [await _read(asked[0], items, bool(learned), segment)]
        else:
            embeds = [bool(learned) and reader.queue is self.queue for reader in asked]
            each = zip(asked, embeds, strict=True)
            answers = await asyncio.gather(*(_read(reader, items, embed, segment) for reader, embed in each))
        scores: dict[str, float] = {}
        for reader, answer in zip(asked, answers, strict=True):
            if isinstance(answer, Failure):
                continue
            read = [found for found in answer if found]
            own = {
                category: max(found[category] for found in read)
                for category in (read[0] if read else ())
                if reader.categories is None or category in reader.categories
            }
            scores |= own
            if reader.queue is not self.queue:
                continue
            if self.drift is not None and not segment.seam and not answer[0].weighed:  # a text that comes again is no news
                answer[0].weighed = True
                self.drift.saw(own)
            for rule in learned:
                if (score := _likeness(rule, segment, read)) is not None:
                    scores[rule.scored] = score
        failures = tuple(answer for answer in answers if isinstance(answer, Failure))
        return (None if failures and len(failures) == len(answers) else scores), failures


async def _read(reader: Reader, items: Sequence[tuple[str, str]], embed: bool, segment: Segment) -> list[Found] | Failure:
    started, failed = time.perf_counter(), ""
    found: list[Found] = []
    try:
        seen = reader.queue.glance(*items[0], len(segment.lead)) if reader.sifts and len(items) == 1 else None
        if seen is not None:
            found = [seen]
        else:
            async with asyncio.timeout(reader.timeout):
                found = await reader.queue.score_many(items, reader.sifts, embed)
    except TimeoutError:
        failed = "timed out"
    except QueueFull:
        failed = "too busy"
    except Unavailable as problem:
        failed = str(problem)
    except Exception as error:  # the queue must answer for whatever the runtime throws; it becomes a value here
        failed = type(error).__name__
    looked("classifier" if failed or any(found) else "screen", segment.direction, started, failed=failed)
    return reader.failed(failed) if failed else found


def _may_sift(reader: Reader, asked: Sequence[Rule]) -> bool:
    """Whether its screen may answer for the classifier: no rule's threshold is lower than those it was made for."""
    screen = reader.queue.classifier.screen
    return screen is not None and all(not r.sample and r.lowest >= screen.floor.get(r.category, 2.0) for r in asked)


def _likeness(rule: Rule, segment: Segment, read: Sequence[Found]) -> float | None:
    """How much the most suspicious part of the text is like the rule's examples. In the inverted sense, how little the text
    itself is like them; a word or two have no topic, and thanks after an answer are no topic either."""
    if rule.head is None or not read or read[0].embeddings is None:
        return None
    if rule.inverted:
        own = float(rule.head.scores(read[0].embeddings).mean())
        return 1 - own if len(segment.text.split(None, SHORT)) >= SHORT and not segment.seam else 0.0
    return max(float(rule.head.scores(one.embeddings).max()) for one in read if one.embeddings is not None)


def strictest(verdicts: Sequence[Verdict]) -> Action:
    return max((v.action for v in verdicts), default=Action.PASS)


def first_block(verdicts: Sequence[Verdict]) -> Outcome | None:
    return next((v.blocking for v in verdicts if v.action is Action.BLOCK and v.blocking), None)
