"""The pool as arrays: which rows are learnt from, how often each is drawn, which are kept for calibration."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proxy.types import CATEGORIES

UNKNOWN = -1.0  # a label that the source says nothing about: masked in the loss, never read as 0
SOURCE_POWER = 0.7  # a source of n rows is drawn in proportion to n ** SOURCE_POWER: big ones do not drown small ones
RARE = 2500  # positives of a category beyond which none is drawn more often for being rare
# What the encoder's vocabulary can read. The pool has a little of others, nearly all of it harmful: from that a model learns
# that a script is a crime.
LANGUAGES = frozenset("en fr de es it pt nl".split())
TEMPLATED = 0.4  # weight of rows that were made from templates, against collected ones


def read(folder: Path) -> Iterator[dict[str, Any]]:
    """Rows `{id, text, role, lang, labels, source}` of every `*.jsonl.gz`, in the order of the file names."""
    for file in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def _draw(row: dict[str, Any]) -> int:
    return int.from_bytes(hashlib.blake2b(row["id"].encode(), digest_size=4).digest(), "big") % 20


def is_held(row: dict[str, Any]) -> bool:
    """A tenth of `train` that the model never learns from."""
    return _draw(row) in (0, 10)


def is_untouched(row: dict[str, Any]) -> bool:
    """Half of the held tenth: no weight, threshold, cut or choice of ours ever looks at it. The other half calibrates."""
    return _draw(row) == 10


def labels_of(row: dict[str, Any]) -> list[float]:
    return [UNKNOWN if (value := row["labels"].get(category)) is None else float(value) for category in CATEGORIES]


@dataclass(frozen=True, slots=True)
class Pool:
    """Rows to learn from. `labels`: float32 (rows, categories) of 0, 1 or UNKNOWN; `chance`: how often each row is drawn."""

    texts: list[str]
    roles: list[str]
    langs: list[str]
    labels: NDArray[np.float32]
    chance: NDArray[np.float64]
    calm: NDArray[np.int64]  # rows where every category is known to be 0

    @classmethod
    def load(
        cls, folder: Path, made: Sequence[dict[str, Any]] = (), shares: Mapping[str, float] = MappingProxyType({}),
        without: Collection[str] = (),
    ) -> Pool:  # fmt: skip
        """`made`: further rows, and by their source the share of the draws that each source of them has. `without`: sources
        that are left out."""
        known = (row for row in read(folder) if row["source"] not in without)
        rows = [*(row for row in known if row["lang"] in LANGUAGES and not is_held(row)), *made]
        labels = np.array([labels_of(row) for row in rows], dtype=np.float32)
        by_source: dict[str, list[int]] = defaultdict(list)
        for index, row in enumerate(rows):
            by_source[row["source"]].append(index)
        chance = np.zeros(len(rows))
        for source, members in by_source.items():
            chance[members] = len(members) ** (SOURCE_POWER - 1) * (TEMPLATED if source.startswith("synthetic") else 1.0)
        positives = (labels == 1).sum(0)
        rarity = np.clip(np.sqrt(RARE / np.maximum(positives, 1)), 0.7, 4.0)
        chance *= np.where((labels == 1).any(1), 1.3 * np.where(labels == 1, rarity, 0).max(1), 1.0)
        calm = np.flatnonzero((labels == 0).all(1))
        chance[len(rows) - len(made) :] = 0
        chance *= (1 - sum(shares.values())) / chance.sum()
        for source, share in shares.items():
            chance[by_source[source]] = share / len(by_source[source])
        return cls(
            [r["text"] for r in rows], [r["role"] for r in rows], [r["lang"] for r in rows], labels, chance / chance.sum(), calm
        )
