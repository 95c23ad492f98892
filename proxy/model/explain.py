"""Which words carried a decision: a text is judged again with parts of it left out, and what is missed most weighs most.

Coarse first: a long text is read in overlapping stretches, and only the one that decided is looked into. There, runs of
words are left out, then single words of the runs that mattered. Never more than `CALLS` texts are read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proxy.types import Span, Verdict

CALLS = 96
STRETCH = 64  # words of a stretch; half of it is shared with the next
STRETCHES = 40
RUNS = 20
_WORD = re.compile(r"\S+")

Score = Callable[[Sequence[tuple[str, str]]], Awaitable[Sequence[Mapping[str, float]]]]


@dataclass(frozen=True, slots=True)
class Weight:
    """`weight`: by how many logits the category's score falls without this part of the text."""

    span: Span
    weight: float


@dataclass(frozen=True, slots=True)
class Explanation:
    category: str
    weights: tuple[Weight, ...]  # heaviest first; none overlaps another
    calls: int


async def explain(score: Score, text: str, category: str, context: str = "", top: int = 8) -> Explanation:
    """The words of `text` that make it what `category` says. Deterministic."""
    words = [Span(*match.span()) for match in _WORD.finditer(text)]
    calls = 0

    async def logits(texts: Sequence[str]) -> list[float]:
        nonlocal calls
        calls += len(texts)
        return [_logit(found.get(category, 0.0)) for found in await score([(one, context) for one in texts])]

    if len(words) > STRETCH:
        stretches = _stretches(len(words))
        found = await logits([_of(text, words[a:b]) for a, b in stretches])
        best, _ = max(zip(stretches, found, strict=True), key=lambda pair: pair[1])
        words = words[slice(*best)]
    if not words:
        return Explanation(category, (), calls)
    whole = Span(words[0].start, words[-1].end)
    stretch = text[whole.start : whole.end]

    async def without(parts: Sequence[Span]) -> list[Weight]:
        left = [_without(stretch, part, whole.start) for part in parts]
        full, *found = await logits([stretch, *left])
        return [Weight(part, full - one) for part, one in zip(parts, found, strict=True)]

    weights = await without(_runs(words))
    room = CALLS - calls - 1
    single: list[Span] = []
    for run in sorted(weights, key=lambda w: -w.weight):
        inside = [word for word in words if run.span.start <= word.start < run.span.end]
        if run.weight <= 0 or len(inside) == 1 or len(single) + len(inside) > room:
            continue
        single += inside
    if single:
        finer = await without(single)
        weights = [w for w in weights if not any(_within(s, w.span) for s in single)] + finer
    weights = sorted((w for w in weights if w.weight > 0), key=lambda w: (-w.weight, w.span))
    return Explanation(category, tuple(weights[:top]), calls)


def reasons_for(verdict: Verdict, scores: Mapping[str, float]) -> list[str]:
    """The categories worth explaining: those whose rules took effect, else the highest."""
    decided = [o.label for o in verdict.outcomes if o.decided_by == "classifier"]
    return list(dict.fromkeys(decided)) or ([max(scores, key=lambda c: scores[c])] if scores else [])


def reason_json(reason: Explanation) -> dict[str, Any]:
    words = [{"span": list(w.span), "weight": round(w.weight, 2)} for w in reason.weights]
    return {"category": reason.category, "words": words}


def _stretches(count: int) -> list[tuple[int, int]]:
    """Overlapping ranges of words that cover all of them, `STRETCHES` at most."""
    length = max(STRETCH, math.ceil(2 * count / (STRETCHES + 1)))
    return [(start, min(start + length, count)) for start in range(0, max(1, count - length // 2), length // 2)]


def _runs(words: Sequence[Span]) -> list[Span]:
    size = math.ceil(len(words) / RUNS)
    return [Span(words[i].start, words[min(i + size, len(words)) - 1].end) for i in range(0, len(words), size)]


def _of(text: str, words: Sequence[Span]) -> str:
    return text[words[0].start : words[-1].end]


def _without(stretch: str, part: Span, offset: int) -> str:
    return f"{stretch[: part.start - offset]} {stretch[part.end - offset :]}".strip()


def _within(inner: Span, outer: Span) -> bool:
    return outer.start <= inner.start and inner.end <= outer.end


def _logit(p: float) -> float:
    p = min(max(p, 1e-6), 1 - 1e-6)
    return math.log(p / (1 - p))
