"""From files to a Guard: every policy that a route names, one scanner for all their patterns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from proxy.config import Config, LocalJudge
from proxy.detect.scanner import Scanner
from proxy.guard import Guard
from proxy.judge.cascade import Cascade
from proxy.judge.client import Judge, Settings
from proxy.judge.local import Local
from proxy.model.learner import Learner
from proxy.model.queue import ScoringQueue
from proxy.policy.load import Detectors, Policy, load_policy
from proxy.telemetry.drift import Drift
from proxy.text.language import language_of
from proxy.types import Pattern


class Calibration(Protocol):
    def threshold(self, category: str, fpr: float, role: str = "any") -> float: ...


def load_judges(config: Config, before: Mapping[str, Judge] | None = None) -> dict[str, Judge]:
    """One client a judge; those whose settings did not change keep theirs, with its connections and what it remembers."""
    kept = {name: judge for name, judge in (before or {}).items() if config.judges.get(name) == judge.settings}
    return {name: kept.get(name) or _judge(name, settings, config) for name, settings in config.judges.items()}


def _judge(name: str, settings: Settings, config: Config) -> Judge:
    local = Local(settings, config.judge_folder(settings)) if isinstance(settings, LocalJudge) else None
    return Judge(name, settings, local)


def detectors(config: Config, judges: Mapping[str, Judge] | None, learner: Learner | None) -> Detectors:
    """What rules may name. `judges` is None where it is not known which config will be run."""
    if judges is None:
        return Detectors(learner=learner)
    routes = [route.name for route in config.routes] if config.is_own else None
    keys = [key.name for key in config.keys] or None
    return Detectors({n: judge.needs_text for n, judge in judges.items()}, learner, routes, keys)


def observed(config: Config, queue: ScoringQueue | None) -> Drift | None:
    if queue is None:
        return None
    screen = queue.classifier.screen
    return Drift(queue.classifier.artefact, screen.floor if screen is not None else {}, config.drift)


def load_guard(config: Config, queue: ScoringQueue | None, before: Guard | None = None) -> Guard:
    """Raises FileError. `before` is the guard that this one replaces: what did not change is taken over."""
    judges = load_judges(config, before.cascade.judges if before is not None else None)
    asked = detectors(config, judges, queue.learner if queue is not None else None)
    policies: dict[str, Policy] = {}
    for route in config.routes:
        if route.policy not in policies:
            policies[route.policy] = load_policy(config.policy_path(route.policy), queue, asked)
        if route.shadow is not None and route.shadow not in policies:
            policies[route.shadow] = load_policy(config.shadow_path(route.shadow), queue, asked)
    patterns: dict[str, Pattern] = {p.id: p for policy in policies.values() for rule in policy.rules for p in rule.patterns}
    drift = before.drift if before is not None else observed(config, queue)
    guard = Guard(policies, Scanner(patterns.values()), queue, config.safeguard.timeout, Cascade(judges), drift)
    recorded = config.audit is not None and config.audit.language
    if recorded or any(policy.polyglot for policy in policies.values()):
        language_of("Warm up.")
    for policy in policies.values():  # warm: the first request should not pay for a lazy automaton
        for direction in ("prompt", "completion"):
            guard.selection(policy, direction).scan("warm up 1", "", False)
    return guard
