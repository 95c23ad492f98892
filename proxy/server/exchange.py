"""One request on its way: what belongs to it, and what has been decided of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from proxy import metrics
from proxy.policy.circumstances import Setting
from proxy.policy.load import Policy
from proxy.server.answers import Headers
from proxy.server.limits import Grant
from proxy.server.shadow import Shadow, drawn
from proxy.server.state import Matched, Snapshot
from proxy.server.trace import Read, Trace
from proxy.text.language import language_of
from proxy.text.redact import Placeholders, Restorer
from proxy.types import Action, Direction, Failure, Outcome, Step, Verdict
from proxy.wire.parts import Field, Part, Path


@dataclass(slots=True)
class Exchange:
    """One request on its way, and what has been decided of it."""

    id: str
    started: float
    snapshot: Snapshot
    matched: Matched
    body: dict[str, Any] = field(repr=False)
    grant: Grant | None = None  # what the caller's key has given for it
    action: Action = Action.PASS
    read: list[Read] = field(default_factory=list)  # what was decided
    trace: Trace = field(default_factory=Trace)
    skipped: list[Failure] = field(default_factory=list)
    placeholders: Placeholders = field(default_factory=Placeholders)
    restorer: Restorer | None = None
    caller: str = field(default="", repr=False)  # whose names are kept, where they are
    kept: bool = False
    context: str = field(default="", repr=False)
    history: str = field(default="", repr=False)  # more of it, for a judge
    lead: str = field(default="", repr=False)  # the end of the answer that this one only goes on with
    steps: list[Step] = field(default_factory=list)
    doubt: asyncio.Task[Verdict] | None = None  # a judge that comes after is still at the prompt
    shadow: Shadow | None = None
    language: str = ""  # that the user writes in, all turns together; where there is no user, anybody

    @property
    def policy(self) -> Policy:
        return self.matched.policy

    @property
    def outcomes(self) -> list[Outcome]:
        return [outcome for one in self.read for outcome in one.verdict.outcomes]

    def hold(self, key: str, fields: list[Field]) -> None:
        """Leaves of the policy those rules that hold here. `key` is the caller's."""
        policy, route = self.policy, self.matched.route.name
        model = self.body.get("model")
        shadow = self.matched.shadow
        first = next((one.text for one in fields if one.role == "user"), "")
        if shadow is not None and drawn(key, route, first) < self.matched.route.shadow_share:
            policy, shadow = shadow, policy
        audit = self.snapshot.config.audit
        recorded = audit is not None and audit.language
        if recorded or policy.polyglot or (shadow is not None and shadow.by_language):
            own = [one.text for one in fields if one.prose and one.role == "user"]
            self.language = language_of("\n".join(own or [one.text for one in fields if one.prose]))
        setting = Setting(route, key, model if isinstance(model, str) else "", self.language)
        self.matched = replace(self.matched, policy=policy.under(setting))
        self.shadow = Shadow(shadow.under(setting)) if shadow is not None else None

    @property
    def headers(self) -> Headers:
        return [
            (b"x-weir-request-id", self.id.encode()),
            (b"x-weir-route", self.matched.route.name.encode()),
            (b"x-weir-policy", self.policy.ref.encode()),
            (b"x-weir-action", str(self.action).encode()),
            *(self.grant.headers if self.grant else ()),
        ]

    def record(self, verdict: Verdict, direction: Direction, place: str) -> None:
        route = self.matched.route.name
        if verdict.outcomes:
            self.read.append(Read(direction, place, verdict))
        for outcome in verdict.outcomes:
            metrics.verdicts.labels(route, direction, outcome.rule, str(outcome.action), str(outcome.enforced).lower()).inc()
        for failure in verdict.not_inspected:
            self.skip(failure)
        self.steps += verdict.steps

    def ears(self) -> Callable[[Part], None] | None:
        """Who wants to hear what the provider says; None if nobody does."""
        shadow = self.shadow
        if not self.trace.keeps:
            return shadow.listen if shadow is not None else None
        if shadow is None:
            return self.trace.listen
        both = (self.trace.listen, shadow.listen)

        def listen(part: Part) -> None:
            for one in both:
                one(part)

        return listen

    def forget_answer(self) -> None:
        """The provider's answer came to nothing, and another one is asked."""
        self.read = [one for one in self.read if one.direction == "prompt"]
        self.trace.forget_answer()
        if self.shadow is not None:
            self.shadow.forget_answer()

    def skip(self, failure: Failure) -> None:
        self.skipped.append(failure)
        metrics.not_inspected.labels(self.matched.route.name, failure.reason[:60]).inc()


@dataclass(frozen=True, slots=True)
class Blocked:
    """The prompt may not go on."""

    verdict: Verdict
    path: Path
