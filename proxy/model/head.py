"""From what a network says to our categories: its labels may be others, and exclude each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

Kind = Literal["sigmoid", "softmax"]


def categories(raw: Any, kind: Kind, columns: Sequence[Sequence[int]]) -> Any:
    """(rows, categories) log-odds from (rows, labels) logits. `columns`: the labels that each category is made of.

    Of labels that exclude each other (softmax) the chances add up; of independent ones (sigmoid) the surest counts.
    """
    if kind == "sigmoid":
        return np.stack([raw[:, list(own)].max(axis=1) for own in columns], axis=1)
    found = []
    for own in columns:
        rest = [i for i in range(raw.shape[1]) if i not in own]
        found.append(_log_sum(raw[:, list(own)]) - _log_sum(raw[:, rest]))
    return np.stack(found, axis=1)


def _log_sum(logits: Any) -> Any:
    top = logits.max(axis=1, keepdims=True)
    return (top + np.log(np.exp(logits - top).sum(axis=1, keepdims=True)))[:, 0]
