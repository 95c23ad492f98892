"""From files to a Guard: every policy that a route names, one scanner for all their patterns."""

from __future__ import annotations

from typing import Protocol

from proxy.config import Config
from proxy.detect.scanner import Scanner
from proxy.guard import Guard
from proxy.model.queue import ScoringQueue
from proxy.policy.load import Policy, load_policy
from proxy.types import Pattern


class Calibration(Protocol):
    def threshold(self, category: str, fpr: float, role: str = "any") -> float: ...


def load_guard(config: Config, queue: ScoringQueue | None) -> Guard:
    """Raises FileError."""
    calibration = queue.classifier.artefact if queue is not None else None
    policies: dict[str, Policy] = {}
    for route in config.routes:
        if route.policy not in policies:
            policies[route.policy] = load_policy(config.policy_path(route.policy), calibration)
    patterns: dict[str, Pattern] = {p.id: p for policy in policies.values() for rule in policy.rules for p in rule.patterns}
    guard = Guard(policies, Scanner(patterns.values()), queue)
    for policy in policies.values():  # warm: the first request should not pay for a lazy automaton
        for direction in ("prompt", "completion"):
            guard.selection(policy, direction).scan("warm up 1", "", False)
    return guard
