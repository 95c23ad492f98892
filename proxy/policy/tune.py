"""Thresholds from labelled data: for each category rule the one that keeps a promise, with how sure that is, written into
the file's own text so that its comments stay.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import yaml

ENOUGH = 20  # positives, or negatives, without which nothing is said of a rule
_Z = 1.96  # for intervals of 95 %
_STEPS = 10_000  # of a threshold, from 0 to 1
_FINEST = 1 / _STEPS


class Share(NamedTuple):
    """`hits` of `total`, and where the true share lies with 95 % confidence."""

    hits: int
    total: int
    low: float
    high: float

    def __str__(self) -> str:
        value = self.hits / self.total if self.total else 0.0
        return f"{value:.2%} ({self.hits}/{self.total}; {self.low:.2%} to {self.high:.2%})"


@dataclass(frozen=True, slots=True)
class Tuned:
    rule: str
    threshold: float
    before: Share  # of the harmless texts, under the present threshold
    false_alarms: Share
    recall: Share


def share(hits: int, total: int) -> Share:
    """Wilson's interval: honest for small numbers too."""
    if not total:
        return Share(0, 0, 0.0, 1.0)
    p, z = hits / total, _Z
    centre = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return Share(hits, total, max(0.0, centre - half), min(1.0, centre + half))


def at_rate(negatives: Sequence[float], fpr: float) -> float:
    """The lowest threshold that at most `fpr` of the negatives reach."""
    falling = sorted(negatives, reverse=True)
    allowed = int(fpr * len(falling))
    if allowed >= len(falling):
        return _FINEST
    # Just above the first score that may not be hit; ties with it are not hit either.
    return min(1.0, (_step(falling[allowed]) + 1) / _STEPS)


def at_cost(positives: Sequence[float], negatives: Sequence[float], ratio: float) -> float:
    """The threshold with the least cost, where a miss costs `ratio` times a false alarm. Of equal ones the highest."""
    candidates = sorted({_floor(s) for s in (*positives, *negatives)} | {1.0}, reverse=True)
    scored = sorted([(s, 1) for s in positives] + [(s, 0) for s in negatives], reverse=True)
    best, best_cost, at, missed, alarms = 1.0, math.inf, 0, len(positives), 0
    for threshold in candidates:
        while at < len(scored) and scored[at][0] >= threshold:
            missed, alarms, at = missed - scored[at][1], alarms + 1 - scored[at][1], at + 1
        cost = missed * ratio + alarms
        if cost < best_cost:
            best, best_cost = threshold, cost
    return best


def _floor(score: float) -> float:
    return max(_FINEST, _step(score) / _STEPS)


def _step(score: float) -> int:
    step = round(score * _STEPS)
    return step - (step / _STEPS > score)


def measured(rule: str, threshold: float, present: float, positives: Sequence[float], negatives: Sequence[float]) -> Tuned:
    def over(scores: Sequence[float], least: float) -> Share:
        return share(sum(s >= least for s in scores), len(scores))

    threshold = round(threshold, 4)
    return Tuned(rule, threshold, over(negatives, present), over(negatives, threshold), over(positives, threshold))


# -- into the file


def rewritten(text: str, thresholds: dict[str, float]) -> str:
    """The policy's text with the thresholds of these rules; not a character else changes."""
    edits: list[tuple[int, int, str]] = []
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    for rule in _get(root, "rules").value:
        name = _get(rule, "id").value
        if name in thresholds:
            edits.append(_edit(text, _get(rule, "detect"), f"{thresholds[name]:.4f}"))
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _edit(text: str, detect: Any, value: str) -> tuple[int, int, str]:
    for key, old in detect.value:
        if key.value in ("fpr", "threshold", "below"):
            name = "below" if key.value == "below" else "threshold"
            return key.start_mark.index, old.end_mark.index, f"{name}: {value}"
    key, last = next((k, v) for k, v in detect.value if k.value == "category")
    end = last.end_mark.index
    if detect.flow_style:
        return end, end, f", threshold: {value}"
    line_end = text.find("\n", end)
    line_end = len(text) if line_end < 0 else line_end
    return line_end, line_end, f"\n{' ' * key.start_mark.column}threshold: {value}"


def _get(node: Any, name: str) -> Any:
    return next(value for key, value in node.value if key.value == name)


def patch(before: str, after: str, file: str) -> str:
    lines = difflib.unified_diff(before.splitlines(True), after.splitlines(True), f"a/{file}", f"b/{file}")
    return "".join(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines)
