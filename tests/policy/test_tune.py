"""Thresholds that keep what was asked of them, written without touching anything else."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.policy.load import parse_policy
from proxy.policy.tune import at_cost, at_rate, measured, patch, rewritten, share
from tests.policy.scripted import TABLE

scores = st.lists(st.floats(0.0002, 0.9998), min_size=1, max_size=80)


@given(scores, st.floats(0.001, 0.5))
def test_no_more_than_the_rate(negatives: list[float], fpr: float) -> None:
    threshold = at_rate(negatives, fpr)
    assert sum(s >= threshold for s in negatives) <= fpr * len(negatives)
    lower = threshold - 2e-4
    if lower > 1e-4 and len(set(negatives)) == len(negatives):
        assert sum(s >= lower for s in negatives) >= int(fpr * len(negatives))


@given(scores, scores, st.floats(0.1, 50))
@example([0.03], [0.5], 2.0)  # 300 steps of 1e-4 are more than 0.03 in floating point
def test_no_threshold_costs_less(positives: list[float], negatives: list[float], ratio: float) -> None:
    def cost(threshold: float) -> float:
        return ratio * sum(s < threshold for s in positives) + sum(s >= threshold for s in negatives)

    best = cost(at_cost(positives, negatives, ratio))
    assert all(best <= cost(i / 50) + 1e-6 for i in range(1, 51))


def test_a_higher_price_of_misses_lowers_the_threshold() -> None:
    rng = random.Random(1)
    yes, no = [rng.betavariate(4, 2) for _ in range(300)], [rng.betavariate(2, 4) for _ in range(300)]
    assert at_cost(yes, no, 0.1) > at_cost(yes, no, 1) > at_cost(yes, no, 10)


def test_how_sure_it_is() -> None:
    found = share(0, 100)
    assert (found.low, round(found.high, 3)) == (0.0, 0.037)
    assert share(50, 100).low == pytest.approx(0.404, abs=0.001)
    assert str(share(1, 4)) == "25.00% (1/4; 4.56% to 69.94%)"
    tuned = measured("r", 0.5, 0.4, [0.6, 0.3], [0.45, 0.1])
    assert (tuned.recall.hits, tuned.false_alarms.hits, tuned.before.hits) == (1, 0, 1)


FILE = """\
# Mine, with comments.
version: 1
rules:
  - id: hate   # the first
    detect: {category: hate, fpr: 0.005}   # from the table
    action: block
  - id: bare
    detect: {category: violence}
    action: block
  - id: banded
    detect:
      category: self_harm   # a block
      above: 0.2
      below: 0.9   # high edge
      confirm: judge
    text: "é # Words"
    action: flag
  - id: lines
    detect:
      category: sexual
    action: block
  - id: other
    detect: {keywords: ["fpr: 0.1"]}
    action: flag
"""


def test_the_file_keeps_every_other_character() -> None:
    changed = rewritten(FILE, {"hate": 0.4312, "bare": 0.5, "banded": 0.77777, "lines": 0.25})
    expected = (
        FILE.replace("fpr: 0.005", "threshold: 0.4312")
        .replace("{category: violence}", "{category: violence, threshold: 0.5000}")
        .replace("below: 0.9", "below: 0.7778")
        .replace("category: sexual\n", "category: sexual\n      threshold: 0.2500\n")
    )
    assert changed == expected
    rules = {r.id: r for r in parse_policy(changed, TABLE, "p", "p").rules}
    assert rules["hate"].thresholds["user"] == 0.4312
    assert rules["banded"].thresholds["user"] == 0.7778
    assert rules["lines"].thresholds["user"] == 0.25


def test_the_patch_is_one_that_patch_takes() -> None:
    found = patch("a\nb\n", "a\nc\n", "p.yaml")
    assert found == "--- a/p.yaml\n+++ b/p.yaml\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n"
    assert patch("a\n", "a\n", "p.yaml") == ""
    assert "No newline at end of file" in patch("a", "b", "p.yaml")
