"""A policy's own examples, and cases from files: run under the policy, with a readable account of what differs."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from proxy.policy.load import Example, Policy
from proxy.types import Action, Outcome, Verdict

Judge = Callable[[Example], Verdict | Awaitable[Verdict]]


class CaseResult(NamedTuple):
    """`difference` says what was expected and what came instead; empty if the example passed."""

    example: Example
    verdict: Verdict
    difference: str

    @property
    def passed(self) -> bool:
        return not self.difference


async def run_examples(policy: Policy, judge: Judge, cases: Iterable[Example] = ()) -> list[CaseResult]:
    """One result an example, in the order of the file, and then one a case. `judge` may be a coroutine function."""
    results = []
    for example in (*policy.examples, *cases):
        found = judge(example)
        verdict = await found if inspect.isawaitable(found) else found
        results.append(CaseResult(example, verdict, _difference(policy, example, verdict)))
    return results


def place(policy: Policy, example: Example) -> str:
    return f"{example.file or policy.source or policy.name}:{example.line}"


def _difference(policy: Policy, example: Example, verdict: Verdict) -> str:
    """The texts stay out of it: the line says which one it was."""
    if verdict.action is example.action and not verdict.unavailable and example.rule in (None, *_deciders(verdict)):
        return ""
    wanted = f"{example.action} by {example.rule}" if example.rule else str(example.action)
    lines = [
        f"{place(policy, example)}: {example.direction} {'case' if example.file else 'example'}",
        f"  expected  {wanted}",
        f"  got       {_account(verdict)}",
    ]
    return "\n".join(lines + [f"            {_said(outcome)}" for outcome in verdict.outcomes])


def _deciders(verdict: Verdict) -> list[str]:
    """The rules behind the action; where nothing was done, the rules that monitor and saw something."""
    if verdict.action is Action.PASS:
        return [o.rule for o in verdict.outcomes]
    return [o.rule for o in verdict.outcomes if o.enforced and o.action is verdict.action]


def _account(verdict: Verdict) -> str:
    if verdict.unavailable:
        return "block, because the text could not be judged: " + ", ".join(f.reason for f in verdict.not_inspected)
    by = _deciders(verdict) if verdict.action is not Action.PASS else []
    return f"{verdict.action} by {', '.join(by)}" if by else str(verdict.action)


def _said(outcome: Outcome) -> str:
    threshold = f", threshold {outcome.threshold:.3f}" if outcome.threshold is not None else ""
    mode = "" if outcome.enforced else " (monitored)"
    return f"{outcome.rule}: {outcome.action}{mode}, score {outcome.score:.3f}{threshold}"
