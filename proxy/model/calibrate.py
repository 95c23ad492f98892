"""What a model's scores mean: probabilities from labelled rows, thresholds from ordinary text. Pure numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

RATES = (0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002)
ENOUGH = 20  # labelled rows of each kind without which the probabilities are left alone
VOICES = ("user", "assistant", "document")


def platt(logits: Any, labels: Any) -> tuple[float, float]:
    """(scale, shift) such that sigmoid(scale * logit + shift) is as often right as it says. Logistic regression, a little
    drawn to (1, 0); the scale stays positive, so that no order changes."""
    if min((labels == 1).sum(), (labels == 0).sum()) < ENOUGH:
        return 1.0, 0.0
    x = np.stack([logits, np.ones_like(logits)], axis=1)
    start = np.array([1.0, 0.0])
    weights = start.copy()
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        slope = x.T @ (p - labels) + (weights - start)
        bend = (x * (p * (1 - p))[:, None]).T @ x + np.eye(2)
        step = np.linalg.solve(bend, slope)
        weights -= np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-8:
            break
    return max(0.2, float(weights[0])), float(weights[1])


def thresholds(probabilities: Any, roles: Sequence[str]) -> dict[str, dict[str, float]]:
    """Role -> false-positive rate -> the probability that at most that share of these harmless texts reaches. A role with few
    texts of its own has no line of its own; a rate that the texts are too few for is left out."""
    said = np.array(roles)
    voices = {"any": np.ones(len(said), dtype=bool), **{voice: said == voice for voice in VOICES}}
    return {
        voice: {
            str(rate): round(float(np.quantile(probabilities[mask], 1 - rate, method="higher")) + 1e-6, 6)
            for rate in RATES
            if mask.sum() * rate >= 1
        }
        for voice, mask in voices.items()
        if voice == "any" or mask.sum() >= 200
    }
