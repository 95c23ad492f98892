"""Whether scores still lie as they did on the ordinary texts that the thresholds were made on.

What a model's manifest says of those texts is enough: a threshold for 1 % of false positives is the score that one ordinary
text in a hundred reached, so the thresholds of a category are the edges of a histogram, and their rates say how much of the
background lies above each. Of the newest texts it is counted how many lie between the same edges; the population stability
index says how far the two are apart. A text that the screen kept from the classifier counts as below all edges, so edges below
what the screen was made for are left out.
"""

from __future__ import annotations

import bisect
import logging
import math
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from prometheus_client import Metric

from proxy import metrics
from proxy.config import Drift as Settings
from proxy.model.artefact import Artefact
from proxy.types import Scores

log = logging.getLogger("weir")
SLICES = 12  # of a window: it slides by one of them
LOOK = 60.0  # seconds between two looks at it


class Drift:
    """Counted in the event loop alone. `floor`: for each category the lowest score that the screen lets through; empty
    without one."""

    def __init__(self, artefact: Artefact, floor: Mapping[str, float], settings: Settings) -> None:
        self._settings = settings
        found = {category: _edges(artefact, category, floor.get(category, 0.0)) for category in artefact.labels}
        self._edges = {category: edges for category, edges in found.items() if edges}
        self._counts = [_Slice(self._edges) for _ in range(SLICES)]
        self._gauges = {
            category: [metrics.drift_texts.labels(category, f"{rate:g}") for rate in (1.0, *(rate for rate, _ in edges))]
            for category, edges in self._edges.items()
        }
        self._told: set[str] = set()  # categories that are known to have drifted
        self._next = 0.0

    def saw(self, scores: Scores, now: float | None = None) -> None:
        """The scores of one text; what is missing is low."""
        part = self._part(time.time() if now is None else now)
        part.texts += 1
        for category, edges in self._edges.items():
            if (score := scores.get(category, 0.0)) >= edges[0][1]:
                part.above[category][bisect.bisect_right(edges, score, key=_score) - 1] += 1

    def _part(self, now: float) -> _Slice:
        number = int(now / (self._settings.window / SLICES))
        part = self._counts[number % SLICES]
        if part.number != number:
            part.clear(number)
        return part

    def publish(self, now: float | None = None) -> None:
        """What has been counted, as metrics."""
        newest = self._part(time.time() if now is None else now).number
        parts = [part for part in self._counts if part.number > newest - SLICES]
        texts = sum(part.texts for part in parts)
        for category, gauges in self._gauges.items():
            higher = [sum(some) for some in zip(*(part.above[category] for part in parts), strict=True)]
            for gauge, count in zip(gauges, (texts - sum(higher), *higher), strict=True):
                gauge.set(count)

    def look(self, families: Iterable[Metric], aloud: bool) -> None:
        """Of all workers: `families` are what their metrics add up to. `aloud`: says so in the log, once, when a category
        comes to differ."""
        for category, index in indices(families, self._settings.texts).items():
            metrics.drift_psi.labels(category).set(round(index, 5))
            over = index >= self._settings.threshold
            if aloud and over and category not in self._told:
                fields = {"category": category, "psi": round(index, 4), "threshold": self._settings.threshold}
                log.warning("scores are not as they were when the thresholds were made", extra={"fields": fields})
            if aloud:
                (self._told.add if over else self._told.discard)(category)

    def tick(self) -> None:
        """To be called every now and then: looks when it is time to."""
        if (now := time.monotonic()) >= self._next:
            self._next = now + min(LOOK, self._settings.window / SLICES)
            self.publish()
            self.look(metrics.collected(), _speaks_for_all())


class _Slice:
    def __init__(self, edges: Mapping[str, Sequence[_Edge]]) -> None:
        self.number, self.texts = -1, 0
        self.above = {category: [0] * len(own) for category, own in edges.items()}

    def clear(self, number: int) -> None:
        self.number, self.texts = number, 0
        for counts in self.above.values():
            counts[:] = [0] * len(counts)


_Edge = tuple[float, float]  # the share of the background that lies above, and the score; by rising scores


def _score(edge: _Edge) -> float:
    return edge[1]


def _edges(artefact: Artefact, category: str, floor: float) -> list[_Edge]:
    edges = artefact.table.get(category, {}).get("any", [])
    return sorted((edge for edge in edges if edge[1] >= floor * (1 - 1e-9)), key=_score)  # the floor is one of them


def psi(counts: Sequence[float], expected: Sequence[float]) -> float:
    """Population stability index. Half a text more in each place, so that none is empty."""
    total = sum(counts) + len(counts) / 2
    shares = [(count + 0.5) / total for count in counts]
    return sum((share - wanted) * math.log(share / wanted) for share, wanted in zip(shares, expected, strict=True))


def indices(families: Iterable[Metric], least: int) -> dict[str, float]:
    """category -> index, of those with at least so many texts."""
    counts: dict[str, dict[float, float]] = {}
    for family in families:
        if family.name == "weir_drift_texts":
            for sample in family.samples:
                counts.setdefault(sample.labels["category"], {})[float(sample.labels["above"])] = sample.value
    found = {}
    for category, by_rate in counts.items():
        rates = sorted(by_rate, reverse=True)
        if sum(by_rate.values()) >= least:
            shares = [rate - lower for rate, lower in zip(rates, (*rates[1:], 0.0), strict=True)]
            found[category] = psi([by_rate[rate] for rate in rates], shares)
    return found


def _speaks_for_all() -> bool:
    """Of several workers the one with the lowest number. The process that they are forked from has such a file too."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder is None:
        return True
    pids = [int(found[1]) for path in Path(folder).iterdir() if (found := re.fullmatch(r"gauge_livesum_(\d+)\.db", path.name))]
    return os.getpid() == min((pid for pid in pids if pid != os.getppid()), default=os.getpid())
