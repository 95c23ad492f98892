"""A policy's examples are its tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from proxy.policy.load import Policy
from proxy.policy.schema import Example
from proxy.types import Direction, Segment, Verdict

Judge = Callable[[Policy, Segment], Awaitable[Verdict]]


@dataclass(frozen=True, slots=True)
class CaseResult:
    number: int
    example: Example
    verdict: Verdict

    @property
    def passed(self) -> bool:
        expect = self.example.expect
        rules = {o.rule for o in self.verdict.outcomes}
        return str(self.verdict.action) == expect.action and (expect.rule is None or expect.rule in rules)

    def explain(self) -> str:
        expect = self.example.expect
        wanted = expect.action + (f" by {expect.rule}" if expect.rule else "")
        got = ", ".join(f"{o.rule} ({o.action}, {o.score:.3f})" for o in self.verdict.outcomes) or "no rule"
        return f"example {self.number}: expected {wanted}, got {self.verdict.action} from {got}"


async def run_examples(policy: Policy, judge: Judge) -> list[CaseResult]:
    results = []
    for number, example in enumerate(policy.examples, 1):
        results.append(CaseResult(number, example, await judge(policy, _segment(example))))
    return results


def _segment(example: Example) -> Segment:
    direction: Direction = "completion" if example.completion is not None else "prompt"
    role = "document" if example.document is not None else "assistant" if example.completion is not None else "user"
    return Segment(example.prompt or example.completion or example.document or "", role, direction)
