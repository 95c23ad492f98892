"""A second policy on the same traffic. It decides nothing and nobody waits for it: when a request is over, what it would have
made of the same texts is compared with what was done."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

from proxy import metrics
from proxy.guard import Guard
from proxy.policy.load import Policy
from proxy.server import whole
from proxy.server.conversation import Memory, judged
from proxy.server.trace import Read
from proxy.stream.channel import Channel, Kind
from proxy.text.redact import Placeholders
from proxy.types import Action, Outcome, Segment
from proxy.wire.parts import Part

log = logging.getLogger("weir")


class Difference(NamedTuple):
    """Of one direction. `gained` and `lost` are rules that only the shadow, or only the policy in force, would enforce."""

    direction: str
    action: Action
    shadow: Action
    gained: tuple[str, ...]
    lost: tuple[str, ...]


class _Heard(NamedTuple):
    kind: Kind
    prose: bool
    text: list[str]
    tool: str | None


@dataclass(slots=True)
class Shadow:
    """What the second policy will be shown of one request."""

    policy: Policy
    prompt: Sequence[tuple[Segment, bool]] | None = field(default=None, repr=False)  # with whether it is prose; None: not read
    _answer: dict[Hashable, _Heard] = field(default_factory=dict, repr=False)

    def listen(self, part: Part) -> None:
        """The provider has said this."""
        self._answer.setdefault(part.channel, _Heard(part.kind, part.prose, [], part.tool)).text.append(part.text)

    def forget_answer(self) -> None:
        self._answer.clear()

    async def compare(self, guard: Guard, done: Sequence[Read], context: str, history: str) -> list[Difference]:
        """`done`: what the policy in force decided. One entry for each direction that both have read."""
        found = []
        if self.prompt is not None:
            verdicts = await judged(guard, self.policy, self.prompt, Memory())
            found.append(_difference("prompt", done, [o for v in verdicts for o in v.outcomes]))
        if self._answer:
            rules, outcomes = guard.text_rules(self.policy), []
            for heard in self._answer.values():
                channel = Channel(rules, Placeholders(), "buffer", 0, heard.kind, heard.prose, tool=heard.tool)
                await whole.inspect(guard, self.policy, channel, "".join(heard.text), context, history)
                outcomes += [o for v in channel.verdicts for o in v.outcomes]
            found.append(_difference("completion", done, outcomes))
        return found


def _difference(direction: str, done: Sequence[Read], shadow: Sequence[Outcome]) -> Difference:
    # What the policy itself says of media or unknown fields is no rule's doing.
    said = [o for r in done if r.direction == direction for o in r.verdict.outcomes]
    before = [o for o in said if o.enforced and o.decided_by != "policy"]
    after = [o for o in shadow if o.enforced]
    old, new = {o.rule for o in before}, {o.rule for o in after}
    return Difference(direction, _strictest(before), _strictest(after), tuple(sorted(new - old)), tuple(sorted(old - new)))


def _strictest(outcomes: Iterable[Outcome]) -> Action:
    return max((o.action for o in outcomes), default=Action.PASS)


def count(request: str, route: str, policy: Policy, shadow: Policy, found: Iterable[Difference]) -> None:
    for one in found:
        metrics.shadow.labels(route, one.direction, str(one.action), str(one.shadow)).inc()
        for change, rules in (("gained", one.gained), ("lost", one.lost)):
            for rule in rules:
                metrics.shadow_rules.labels(route, rule, change).inc()
        if one.gained or one.lost or one.action is not one.shadow:
            fields = {
                "id": request, "route": route, "policy": policy.ref, "shadow": shadow.ref, "direction": one.direction,
                "action": str(one.action), "shadow_action": str(one.shadow), "gained": one.gained, "lost": one.lost,
            }  # fmt: skip
            log.info("shadow differs", extra={"fields": fields})


def drawn(key: str, route: str, first: str) -> float:
    """From 0 to 1, evenly spread over conversations; all turns of one conversation draw the same."""
    digest = blake2b(f"{key}\n{route}\n{first}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
