"""A category learnt from a few examples: a regularised logistic regression over the encoder's embeddings. numpy alone.

What is harmless is known from a background of ordinary texts that comes with the model, besides what the team allows. The
background also gives the table from a false-positive rate to a threshold, by scores of models that had not seen the text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
PENALTY = 3e-4  # of the squared weights, for embeddings of unit length
ALLOWED = 2.0  # what all the allowed examples weigh together, where the violating ones weigh 1 and the background 1
FOLDS = 5
STEPS = 12
MOST = 0.7  # of ordinary texts: what is less like a topic than these is off it, however much the examples differ
_TAIL = 0.1  # the part of the background from which rates beyond its size are reckoned


@dataclass(frozen=True, slots=True)
class Head:
    """`weights @ embedding + bias` is the log-odds. `calm`: those of background texts that a model had not seen, falling;
    `own`: those of the examples themselves, the violating ones first, by models that had not seen them."""

    weights: NDArray[np.float32]
    bias: float
    calm: tuple[float, ...]
    own: tuple[float, ...]
    violating: int  # how many of `own`

    def scores(self, embeddings: NDArray[np.float16]) -> NDArray[np.float32]:
        """A probability a row."""
        logits = embeddings.astype(np.float32) @ self.weights + self.bias
        scores: NDArray[np.float32] = 1 / (1 + np.exp(-logits))
        return scores

    def threshold(self, fpr: float) -> float:
        """The score that a share `fpr` of ordinary texts reaches; where they are too few to say, by how their scores fall."""
        count = len(self.calm)
        place = fpr * count
        if place >= 1:
            low = min(int(place), count - 1)
            return sigmoid(self.calm[low] + 1e-6)
        tail = max(5, int(_TAIL * count))
        ranks = np.log((np.arange(tail) + 0.5) / count)
        slope, start = np.polyfit(ranks, np.array(self.calm[:tail]), 1)
        return sigmoid(max(self.calm[0] + 1e-6, float(start + slope * math.log(fpr))))

    def threshold_of_topic(self, fpr: float) -> float:
        """For the inverted sense: the score below which a share `fpr` of texts on the topic lies, taken to be spread as the
        examples are. What is less like the topic than most ordinary texts are is off it in any case."""
        own = np.array(self.own[: self.violating])
        spread = float(own.mean() - NormalDist().inv_cdf(1 - fpr) * max(float(own.std()), 0.3))
        return sigmoid(max(spread, float(np.quantile(self.calm, MOST))))


def fit(violates: Array, allows: Array, background: Array) -> Head:
    """Rows of unit length. `violates` has one at least."""
    rows = np.concatenate([violates, allows, background])
    label = np.zeros(len(rows))
    label[: len(violates)] = 1
    shares = [(len(violates), 1.0), (len(allows), ALLOWED), (len(background), 1.0)]
    weight = np.concatenate([np.full(n, share / n) if n else np.zeros(0) for n, share in shares])
    unseen = np.zeros(len(rows))
    # Counted in each part by itself, so that every fold has some of each.
    fold = np.concatenate([np.arange(n) % FOLDS for n, _ in shares])
    whole = _newton(rows, label, weight, None)
    for number in range(FOLDS):
        out = fold == number
        if len(violates) == 1:
            out[0] = False
        if out.any():
            unseen[out] = rows[out] @ (part := _newton(rows[~out], label[~out], weight[~out], whole))[:-1] + part[-1]
    if len(violates) == 1:
        unseen[0] = rows[0] @ whole[:-1] + whole[-1]
    known = len(violates) + len(allows)
    calm = tuple(sorted(map(float, unseen[known:]), reverse=True))
    return Head(whole[:-1].astype(np.float32), float(whole[-1]), calm, tuple(map(float, unseen[:known])), len(violates))


def _newton(rows: Array, label: Array, weight: Array, start: Array | None) -> Array:
    """Weights and bias. The problem is convex; from `start` near the answer a few steps do."""
    weight = weight / weight.sum()
    found = np.zeros(rows.shape[1] + 1) if start is None else start.copy()
    design = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
    ridge = np.full(design.shape[1], PENALTY)
    ridge[-1] = 1e-6
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-(design @ found)))
        slope = design.T @ (weight * (chance - label)) + ridge * found
        if float(np.abs(slope).max()) < 1e-6:
            break
        bend = (design * (weight * chance * (1 - chance))[:, None]).T @ design
        bend[np.diag_indices_from(bend)] += ridge
        found = found - np.linalg.solve(bend, slope)
    return found


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, value))))
