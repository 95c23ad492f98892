"""The last stage: what the classifier is not sure of, and what only words can say, goes to a judge.

Whoever decided, the verdict tells: `decided_by`, and a Step for each look.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from proxy import metrics
from proxy.judge.client import Judge
from proxy.judge.format import Question
from proxy.policy.decide import asks, decide
from proxy.policy.load import Policy, Rule
from proxy.telemetry.watch import looked
from proxy.types import Action, Failure, Finding, Opinion, Scores, Segment, Step, Verdict


@dataclass(frozen=True, slots=True)
class Seen:
    """What the cheaper stages found of a segment."""

    findings: tuple[Finding, ...]
    scores: Scores | None
    failures: tuple[Failure, ...]
    seconds: float  # that the classifier took


@dataclass(frozen=True, slots=True)
class Cascade:
    judges: Mapping[str, Judge]
    _samples: set[asyncio.Task[None]] = field(default_factory=set)

    async def judge(self, policy: Policy, segment: Segment, seen: Seen, verdict: Verdict, defer: bool) -> Verdict:
        """`verdict` is what the cheaper stages make of it. With `defer`, judges that come after are not waited for: then the
        answer is pending."""
        rules = policy.judged(segment.direction)
        looked = [
            Step("classifier" if rule.category else "examples", rule.id, score, seen.seconds)
            for rule in rules
            if rule.scored and seen.scores is not None and (score := seen.scores.get(rule.scored)) is not None
        ]
        self._sample(policy, segment, seen, rules)
        if verdict.action is Action.BLOCK:
            return replace(verdict, steps=tuple(looked))  # a cheaper stage has decided; nobody can make it any stricter
        asked = [rule for rule in rules if asks(rule, segment, seen.scores)]
        now = [rule for rule in asked if not (defer and rule.after)]
        answers: dict[str, Opinion | Failure] = {}
        for rule, (answer, seconds) in zip(now, await asyncio.gather(*(self._ask(r, segment) for r in now)), strict=True):
            answers[rule.id] = answer
            score = answer.score if isinstance(answer, Opinion) else None
            looked.append(Step(rule.judge, rule.id, score, seconds))
        if answers:
            verdict = decide(policy, segment, seen.findings, seen.scores, seen.failures, answers)
        pending = len(now) < len(asked) and verdict.action is not Action.BLOCK
        return replace(verdict, steps=tuple(looked), pending=pending)

    async def _ask(self, rule: Rule, segment: Segment) -> tuple[Opinion | Failure, float]:
        started = time.perf_counter()
        judge = self.judges.get(rule.judge)
        if judge is None:
            return Failure(rule.judge, "there is no such judge"), 0.0
        content = segment.stretch if rule.kind == "judge" and segment.stretch else segment.lead + segment.text
        earlier = content[: len(content) - len(segment.text)]
        before = segment.before.removesuffix(earlier)
        answer = await judge.ask(Question(rule.text, content, segment.role, segment.direction, before))
        failed = answer.reason if isinstance(answer, Failure) else ""
        looked("judge", segment.direction, started, rule.judge, rule.id, failed)
        return answer, time.perf_counter() - started

    # -- a share of what the classifier decides alone, to learn whether the judge would have said the same

    def _sample(self, policy: Policy, segment: Segment, seen: Seen, rules: Iterable[Rule]) -> None:
        for rule in rules:
            score = seen.scores.get(rule.scored) if rule.sample and seen.scores is not None else None
            concerned = rule.concerns(segment.direction, segment.role, segment.tool)
            if score is None or not concerned or asks(rule, segment, seen.scores):
                continue
            if _chance(rule, segment) < rule.sample:
                task = asyncio.create_task(self._compare(policy, rule, segment, score >= rule.threshold(segment.role)))
                self._samples.add(task)
                task.add_done_callback(self._samples.discard)

    async def _compare(self, policy: Policy, rule: Rule, segment: Segment, said: bool) -> None:
        answer, _ = await self._ask(rule, segment)
        if isinstance(answer, Failure):
            result = "unanswered"
        else:
            result = "agree" if answer.violates is said else "judge_stricter" if answer.violates else "judge_milder"
        metrics.judge_agreement.labels(policy.name, rule.id, result).inc()

    def warm(self) -> None:
        """Has judges that must be loaded loaded, before anybody asks."""
        for judge in self.judges.values():
            task = asyncio.create_task(judge.warm())
            self._samples.add(task)
            task.add_done_callback(self._samples.discard)

    async def close(self) -> None:
        """Waits for what is sampled, then lets the judges go."""
        await asyncio.gather(*self._samples)
        for judge in self.judges.values():
            await judge.close()


def _chance(rule: Rule, segment: Segment) -> float:
    """Evenly spread over texts, and the same for the same text."""
    digest = blake2b(f"{rule.id}\n{segment.text}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
