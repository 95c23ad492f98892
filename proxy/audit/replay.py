"""What another policy would have made of recorded traffic: from the texts where they were kept, else from the scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from proxy.audit.store import Record
from proxy.policy.circumstances import Setting
from proxy.policy.load import Policy, Rule
from proxy.types import Action, Direction, Segment, Verdict

Judge = Callable[[Policy, Segment], Awaitable[Verdict]]
_DIRECTIONS: tuple[tuple[Direction, str], ...] = (("prompt", "user"), ("completion", "assistant"))


class Change(NamedTuple):
    """Of one direction of one request. `basis`: what it is judged from."""

    id: str
    direction: str
    before: str
    after: str
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    basis: str  # text, scores, shadow

    def __str__(self) -> str:
        rules = [*(f"+{rule}" for rule in self.gained), *(f"-{rule}" for rule in self.lost)]
        return f"{self.id}  {self.direction}: {self.before} -> {self.after}  {' '.join(rules)}  by {self.basis}"


async def replayed(record: Record, private: Mapping[str, Any], policy: Policy, judge: Judge) -> list[Change]:
    """Under `policy`, against what was decided then."""
    found = []
    for direction, (now, basis) in (await _enforced(record, private, policy, judge)).items():
        said = [one for one in _said(record, direction) if one["by"] != "policy"]
        before: dict[str, Action] = {}
        for one in said:
            before[one["rule"]] = max(Action[one["action"].upper()], before.get(one["rule"], Action.PASS))
        if (change := _change(record.id, direction, before, now, basis)) is not None:
            found.append(change)
    return found


async def between(record: Record, private: Mapping[str, Any], old: Policy, new: Policy, judge: Judge) -> list[Change]:
    """Under `new`, against what `old` would make of the same: whatever else has changed since then is left out."""
    before = await _enforced(record, private, old, judge)
    after = await _enforced(record, private, new, judge)
    found = (_change(record.id, way, before[way][0], now, basis) for way, (now, basis) in after.items())
    return [change for change in found if change is not None]


async def _enforced(
    record: Record, private: Mapping[str, Any], policy: Policy, judge: Judge
) -> dict[str, tuple[dict[str, Action], str]]:
    """Direction -> the rules that would take effect with what they ask for, and what that is judged from."""
    facts = record.facts
    setting = Setting(
        facts.get("route") or "", facts.get("key") or "", facts.get("model") or "", facts.get("language") or ""
    )  # fmt: skip
    held, texts = policy.under(setting), private.get("texts")
    found: dict[str, tuple[dict[str, Action], str]] = {}
    for direction, role in _DIRECTIONS:
        if texts:
            own = [t for t in texts if t["direction"] == direction]
            verdicts = [await judge(held, Segment(t["text"], t["role"], direction, tool=t.get("tool"))) for t in own]
            now = {o.rule: o.action for v in verdicts for o in v.outcomes if o.enforced}
        else:
            said, scores = _said(record, direction), facts.get("scores", {}).get(direction, {})
            now = {r.id: r.action for r in held.rules if r.enforced and _speaks(r, direction, role, scores, said)}
        found[direction] = now, "text" if texts else "scores"
    return found


def _said(record: Record, direction: str) -> list[Mapping[str, Any]]:
    return [rule for rule in record.facts.get("rules", ()) if rule["direction"] == direction and rule["enforced"]]


def _speaks(
    rule: Rule, direction: Direction, role: str, scores: Mapping[str, float], said: Iterable[Mapping[str, Any]]
) -> bool:
    """By what was recorded: a category by its score, any other rule if it spoke then. What the screen excluded has no score
    and is below any threshold."""
    if not rule.concerns(direction, role, ""):
        return False
    if rule.category and not rule.judge and not rule.tools:
        return scores.get(rule.category, 0.0) >= rule.threshold(role)
    return any(one["rule"] == rule.id for one in said)


def _change(id: str, direction: str, old: Mapping[str, Action], new: Mapping[str, Action], basis: str) -> Change | None:
    before, after = (max(rules.values(), default=Action.PASS) for rules in (old, new))
    if before is after and set(old) == set(new):
        return None
    gained, lost = tuple(sorted(set(new) - set(old))), tuple(sorted(set(old) - set(new)))
    return Change(id, direction, str(before), str(after), gained, lost, basis)


def shadowed(records: Iterable[Record], live: str, candidate: str) -> tuple[int, list[Change]]:
    """How many requests both have judged, and where the candidate differed, as it was recorded then."""
    compared, found = 0, []
    for record in records:
        both = [one for one in record.facts.get("shadow", ()) if one["policy"] == candidate]
        if record.facts.get("policy") != live or not both:
            continue
        compared += 1
        for one in both:
            if one["gained"] or one["lost"] or one["action"] != one["shadow"]:
                rules = tuple(one["gained"]), tuple(one["lost"])
                found.append(Change(record.id, one["direction"], one["action"], one["shadow"], *rules, "shadow"))
    return compared, found


def summary(found: Sequence[Change], total: int) -> list[str]:
    lines = [f"{len({change.id for change in found})} of {total} requests would be treated differently"]
    moves = Counter((c.direction, c.before, c.after) for c in found)
    lines += (f"  {count:6}  {way}: {old} -> {new}" for (way, old, new), count in moves.most_common())
    gained = Counter(rule for c in found for rule in c.gained)
    lost = Counter(rule for c in found for rule in c.lost)
    lines += (f"  rule {rule}: +{gained[rule]} -{lost[rule]}" for rule in sorted(gained.keys() | lost.keys()))
    return lines
