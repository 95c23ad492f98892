"""Metrics over labels (0 or 1) and scores, in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]


def auprc(labels: Array, scores: Array) -> float:
    """Average precision: the sum of precision times the step in recall, ties taken together."""
    order = np.argsort(-scores, kind="stable")
    sorted_scores, hits = scores[order], labels[order]
    last = np.append(np.flatnonzero(np.diff(sorted_scores)), len(scores) - 1)
    true = np.cumsum(hits)[last]
    precision = true / (last + 1)
    recall = true / max(1.0, float(labels.sum()))
    return float(np.sum(np.diff(np.concatenate(([0.0], recall))) * precision))


def auroc(labels: Array, scores: Array) -> float:
    """The chance that a positive scores above a negative, ties counted half."""
    order = np.argsort(scores, kind="stable")
    _, inverse, counts = np.unique(scores[order], return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positive = labels[order] == 1
    many, few = int(positive.sum()), int((~positive).sum())
    return float((rank[positive].sum() - many * (many + 1) / 2) / (many * few)) if many and few else float("nan")


def f1(labels: Array, scores: Array, threshold: float) -> float:
    said = scores >= threshold
    true = float((said & (labels == 1)).sum())
    return 2 * true / max(1.0, float(said.sum() + labels.sum()))


def recall_at(labels: Array, scores: Array, rate: float) -> float:
    """Recall at the threshold that at most `rate` of the negatives reach."""
    negatives = np.sort(scores[labels == 0])[::-1]
    if not len(negatives):
        return float("nan")
    threshold = negatives[min(int(rate * len(negatives)), len(negatives) - 1)]
    return float((scores[labels == 1] > threshold).mean()) if (labels == 1).any() else float("nan")


def calibration_error(labels: Array, scores: Array, bins: int = 10) -> float:
    """Expected calibration error over equal-width bins."""
    index = np.minimum((scores * bins).astype(int), bins - 1)
    parts = [
        (abs(labels[index == b].mean() - scores[index == b].mean()), (index == b).sum())
        for b in range(bins)
        if (index == b).any()
    ]
    return float(sum(gap * count for gap, count in parts) / max(1, len(labels)))


def brier(labels: Array, scores: Array) -> float:
    """The mean squared distance of the probability from what happened."""
    return float(np.mean((scores - labels) ** 2)) if len(labels) else float("nan")


def interval(labels: Array, scores: Array, seed: int = 0, rounds: int = 200) -> tuple[float, float]:
    """Where AUPRC lies in 95 of 100 draws with replacement, positives and negatives apart."""
    rng = np.random.default_rng(seed)
    yes, no = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    found = []
    for _ in range(rounds):
        some = np.concatenate([rng.choice(yes, len(yes)), rng.choice(no, len(no))])
        found.append(auprc(labels[some], scores[some]))
    return float(np.quantile(found, 0.025)), float(np.quantile(found, 0.975))


def wilson(hits: int, total: int) -> tuple[float, float]:
    """Where the true share lies in 95 of 100 cases, by Wilson's formula; sound for few rows and for shares of 0 and 1."""
    if not total:
        return float("nan"), float("nan")
    share, z = hits / total, 1.959964
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * float(np.sqrt(share * (1 - share) / total + z * z / (4 * total * total)))
    return max(0.0, middle - half), min(1.0, middle + half)
