"""From a fine-tuned folder to the shipped one: ONNX, int8, calibration, manifest."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from onnxruntime.quantization import QuantType, quantize_dynamic
from optimum.exporters.onnx import main_export
from sklearn.linear_model import LogisticRegression

from proxy.model.artefact import Artefact
from proxy.model.classifier import Classifier
from proxy.types import CATEGORIES

RATES = (0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002)


def read(folder: Path) -> Iterator[dict[str, Any]]:
    for file in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def is_held(row: dict[str, Any]) -> bool:
    """A tenth of `train` that training never sees: for calibration."""
    return int.from_bytes(hashlib.blake2b(row["id"].encode(), digest_size=4).digest(), "big") % 10 == 0


def export(trained: Path, work: Path, out: Path) -> None:
    exported = work / "onnx"
    main_export(str(trained), exported, task="text-classification", do_validation=False)
    out.mkdir(parents=True, exist_ok=True)
    quantize_dynamic(exported / "model.onnx", out / "model.onnx", weight_type=QuantType.QInt8, per_channel=True)
    tokenizer = json.loads((trained / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["truncation"] = tokenizer["padding"] = None
    (out / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")


def manifest(out: Path, name: str, calibration: dict[str, Any], note: str) -> None:
    digests = {f: hashlib.sha256((out / f).read_bytes()).hexdigest() for f in ("model.onnx", "tokenizer.json")}
    body = {
        "format": 1, "name": name, "labels": list(CATEGORIES), "max_tokens": 128, "precision": "int8",
        "sha256": digests, "note": note, "calibration": calibration,
    }  # fmt: skip
    (out / "manifest.json").write_text(json.dumps(body, indent=1) + "\n")


def logits(classifier: Classifier, rows: list[dict[str, Any]], what: str) -> np.ndarray[Any, Any]:
    """With the identity as calibration, the probability is the sigmoid of the logit."""
    found: list[list[float]] = []
    for at in range(0, len(rows), 64):
        scores = classifier.score([(r["text"][:1500], "") for r in rows[at : at + 64]])
        found += [[s[c] for c in CATEGORIES] for s in scores]
        if at % 2048 == 0:
            print(f"{what} {at}/{len(rows)}", file=sys.stderr, flush=True)
    p = np.clip(np.array(found), 1e-7, 1 - 1e-7)
    return np.log(p / (1 - p))


def calibrate(data: Path, out: Path, sample: int) -> dict[str, Any]:
    """Platt's scaling on the held tenth; thresholds on ordinary text of other sources."""
    classifier = Classifier(Artefact.load(out), threads=2)
    rng = np.random.default_rng(7)
    held = [r for r in read(data / "train") if is_held(r)]
    held = [held[i] for i in rng.permutation(len(held))[:sample]]
    calm = list(read(data / "calibration"))
    calm = [calm[i] for i in rng.permutation(len(calm))[: sample * 2]]
    held_logits, calm_logits = logits(classifier, held, "held"), logits(classifier, calm, "calm")
    platt, thresholds = {}, {}
    roles = np.array([r["role"] for r in calm])
    for index, category in enumerate(CATEGORIES):
        known = [i for i, r in enumerate(held) if r["labels"].get(category) is not None]
        labels = np.array([held[i]["labels"][category] for i in known])
        if labels.sum() >= 10:
            fit = LogisticRegression(C=1.0).fit(held_logits[known, index : index + 1], labels)
            scale, shift = max(0.2, float(fit.coef_[0, 0])), float(fit.intercept_[0])
        else:
            scale, shift = 1.0, 0.0
        platt[category] = [scale, shift]
        calm_p = 1 / (1 + np.exp(-(calm_logits[:, index] * scale + shift)))
        thresholds[category] = {
            role: {str(rate): round(float(np.quantile(calm_p[mask], 1 - rate, method="higher")) + 1e-6, 6) for rate in RATES}
            for role, mask in {"any": roles != "", **{r: roles == r for r in ("user", "assistant", "document")}}.items()
        }
    return {"platt": platt, "thresholds": thresholds}


def ship(data: Path, trained: Path, work: Path, out: Path, name: str, note: str, sample: int = 12_000) -> None:
    export(trained, work, out)
    identity = {"platt": {c: [1.0, 0.0] for c in CATEGORIES}, "thresholds": {c: {"any": {"0.01": 0.5}} for c in CATEGORIES}}
    manifest(out, name, identity, note)
    manifest(out, name, calibrate(data, out, sample), note)
    shutil.rmtree(work / "onnx", ignore_errors=True)
