"""What becomes of the same texts under two versions of a policy. Pure; the verdicts come from elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from proxy.policy.data import Row
from proxy.types import Action, Verdict


class Changed(NamedTuple):
    row: Row
    before: Verdict
    after: Verdict


def changes(rows: Sequence[Row], before: Sequence[Verdict], after: Sequence[Verdict]) -> list[Changed]:
    """The texts of which something else would become: another action, other redactions, or other rules behind it."""
    triples = zip(rows, before, after, strict=True)
    return [Changed(r, a, b) for r, a, b in triples if _essence(a) != _essence(b)]


def _essence(verdict: Verdict) -> tuple[object, ...]:
    return verdict.action, verdict.redactions, frozenset(said(verdict)), verdict.unavailable


def said(verdict: Verdict) -> list[str]:
    """The rules that spoke: those that took effect, then those that only watch, in brackets."""
    enforced = [o.rule for o in verdict.outcomes if o.enforced]
    return [*enforced, *(f"({o.rule})" for o in verdict.outcomes if not o.enforced)]


def summary(found: Sequence[Changed], total: int) -> list[str]:
    """Counts: by the change of the action, then by rule."""
    lines = [f"{len(found)} of {total} texts would be treated differently"]
    moves = Counter((c.before.action, c.after.action) for c in found)
    for (old, new), count in sorted(moves.items(), key=lambda kv: (-kv[1], kv[0])):
        lines.append(f"  {count:6}  {_named(old, new)}")
    gained = Counter(r for c in found for r in set(said(c.after)) - set(said(c.before)))
    lost = Counter(r for c in found for r in set(said(c.before)) - set(said(c.after)))
    for rule in sorted(gained.keys() | lost.keys()):
        lines.append(f"  rule {rule}: +{gained[rule]} -{lost[rule]}")
    return lines


def _named(old: Action, new: Action) -> str:
    return f"{old} -> {new}" if old is not new else f"{old}, but by other rules or in other places"


def listed(change: Changed, show: bool) -> str:
    def side(verdict: Verdict) -> str:
        by = ", ".join(said(verdict))
        return f"{verdict.action}{f' by {by}' if by else ''}"

    example = change.row.example
    line = f"{example.file}:{example.line}: {side(change.before)} -> {side(change.after)}"
    if change.row.id and not change.row.id.endswith(f":{example.line}"):
        line += f"  [{change.row.id}]"
    return f"{line}\n    {example.text[:200]!r}" if show else line
