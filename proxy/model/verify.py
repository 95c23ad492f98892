"""Is an export what its source is, and what do its scores mean? The comparison, and the table that `fpr:` reads."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from proxy.evaluate import metrics
from proxy.model import calibrate, head
from proxy.model.artefact import Artefact
from proxy.model.classifier import Classifier
from proxy.model.export import source_logits

LARGEST_SHIFT = {"fp32": 0.01, "fp16": 0.03, "int8": 0.25}  # of a probability, on one text
MEAN_SHIFT = {"fp32": 0.001, "fp16": 0.005, "int8": 0.05}

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Parity:
    texts: int
    largest: float  # shift of a probability
    mean: float
    flips: float  # share of the texts where a category crosses one half
    auprc: dict[str, tuple[float, float]]  # source and export, of the categories that the rows label
    fine: bool

    def lines(self) -> str:
        areas = (f"  {category:14} AUPRC {before:.3f} -> {after:.3f}" for category, (before, after) in self.auprc.items())
        moved = f"  probabilities move by {self.mean:.4f} in the mean, {self.largest:.4f} at most"
        return "\n".join([moved, f"  {self.flips:.2%} of {self.texts} texts cross one half", *areas])


def parity(classifier: Classifier, source: str, rows: Sequence[Row]) -> Parity:
    """On texts that fit into one window, so that both read the same. Raises ModelError."""
    artefact = classifier.artefact
    some = [r for r in rows if len(classifier.windows(r["text"], "")) == 1]
    raw = np.array(source_logits(source, [r["text"] for r in some], artefact.max_tokens))
    kind, columns = artefact.head or ("sigmoid", tuple((i,) for i in range(len(artefact.labels))))
    return _compared(
        artefact, some, _chance(head.categories(raw, kind, columns)), _chances(classifier, some), artefact.precision
    )


def half_of(classifier: Classifier) -> Classifier | None:
    """The folder's network for a GPU, run on the CPU."""
    artefact = classifier.artefact.for_gpu()
    return Classifier(artefact, os.cpu_count() or 1) if artefact.file != classifier.artefact.file else None


def nearness(classifier: Classifier, half: Classifier, rows: Sequence[Row]) -> Parity:
    """Of the two networks of a folder. As far as the less exact of the two explains."""
    some = [r for r in rows if len(classifier.windows(r["text"], "")) == 1]
    artefact = classifier.artefact
    return _compared(artefact, some, _chances(classifier, some), _chances(half, some), artefact.precision)


def _chances(classifier: Classifier, rows: Sequence[Row]) -> Any:
    return _chance(np.concatenate([classifier.logits([classifier.windows(r["text"], "")[0]]) for r in rows]))


def _compared(artefact: Artefact, some: Sequence[Row], expected: Any, found: Any, precision: str) -> Parity:
    shift = np.abs(found - expected)
    areas = {}
    for column, category in enumerate(artefact.labels):
        known = [i for i, r in enumerate(some) if r["labels"].get(category) is not None]
        labels = np.array([float(some[i]["labels"][category]) for i in known])
        if 0 < labels.sum() < len(labels):
            areas[category] = (metrics.auprc(labels, expected[known, column]), metrics.auprc(labels, found[known, column]))
    largest, mean = float(shift.max()), float(shift.mean())
    fine = largest <= LARGEST_SHIFT[precision] and mean <= MEAN_SHIFT[precision]
    return Parity(len(some), largest, mean, float(((found >= 0.5) != (expected >= 0.5)).any(1).mean()), areas, fine)


def calibration(classifier: Classifier, rows: Sequence[Row], tick: Callable[[int], None]) -> dict[str, Any]:
    """What the manifest holds: probabilities from the labelled rows, thresholds from those where nothing is wrong."""
    artefact = classifier.artefact
    found = np.full((len(rows), len(artefact.labels)), -np.inf)
    for number, row in enumerate(rows):
        for window in classifier.windows(row["text"], ""):
            np.maximum(found[number], classifier.logits([window])[0], out=found[number])
        tick(1)
    roles = [str(r.get("role", "user")) for r in rows]
    platt, tables = {}, {}
    for column, category in enumerate(artefact.labels):
        known = [i for i, r in enumerate(rows) if r["labels"].get(category) is not None]
        labels = np.array([float(rows[i]["labels"][category]) for i in known])
        scale, shift = calibrate.platt(found[known, column], labels)
        calm = [i for i in known if not rows[i]["labels"][category]]
        platt[category] = [scale, shift]
        if calm:
            chances = _chance(found[calm, column] * scale + shift)
            tables[category] = calibrate.thresholds(chances, [roles[i] for i in calm])
    return {"platt": platt, "thresholds": tables}


def write(classifier: Classifier, found: dict[str, Any], half: dict[str, Any] | None = None) -> None:
    manifest = dict(classifier.artefact.manifest, calibration=found, **({"half": {"calibration": half}} if half else {}))
    file = classifier.artefact.folder / "manifest.json"
    file.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def _chance(logits: Any) -> Any:
    return 1 / (1 + np.exp(-np.clip(logits, -60, 60)))
