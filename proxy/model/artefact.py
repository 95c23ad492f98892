"""A model folder: `model.onnx`, `tokenizer.json`, and `manifest.json` that says what they are.

Thresholds belong to the artefact, not to the model: quantisation moves probabilities, so the int8 file has its own table.
"""

from __future__ import annotations

import bisect
import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.model.head import Kind
from proxy.types import CATEGORIES

HALF = "model.fp16.onnx"  # beside `model.onnx`: the same network in half precision, for a GPU
NETWORKS = ("model.onnx", HALF)

Table = dict[str, dict[str, list[tuple[float, float]]]]


class ModelError(Exception):
    """A model that cannot be used: what, where, and what to do."""


@dataclass(frozen=True, slots=True)
class ScreenPart:
    """What stands before the model. `cut`: a logit for each of its outputs; `floor`: category -> the lowest threshold that the
    cut protects; below it the screen has nothing to say."""

    file: str
    cut: tuple[float, ...]
    floor: dict[str, float]


@dataclass(frozen=True, slots=True)
class Artefact:
    folder: Path
    name: str
    labels: tuple[str, ...]
    max_tokens: int
    precision: str
    sha256: str  # of model.onnx
    scale: tuple[float, ...]  # calibrated probability = sigmoid(scale * logit + shift), a label each
    shift: tuple[float, ...]
    table: Table  # category -> role -> (false-positive rate, threshold), rising rates
    screen: ScreenPart | None
    head: tuple[Kind, tuple[tuple[int, ...], ...]] | None  # None: the network's outputs are our labels
    tokens: tuple[int, int, int] | None  # first, last and padding; None: BERT's, by their names
    takes_context: bool
    embeds: bool  # a second output, `embedding`: (batch, width), of unit length
    background: str | None  # a file of ordinary texts' embeddings
    closer: tuple[float, ...] | None  # a window with a log-odds above it, a label each, is read by its passages too
    manifest: dict[str, Any]
    file: str = "model.onnx"  # the network

    @classmethod
    def load(cls, folder: Path, elsewhere: bool = False) -> Artefact:
        """`elsewhere`: the network itself is on another machine, and need not be in the folder. Raises ModelError."""
        path = folder / "manifest.json"
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ModelError(f"{folder} has no manifest.json; is it a folder made by `weir model export`?") from None
        except ValueError as error:
            raise ModelError(f"{path} is not JSON: {error}") from error
        try:
            labels = tuple(manifest["labels"])
            unknown = [label for label in labels if label not in CATEGORIES]
            if unknown:
                raise ModelError(f"{path}: unknown label {unknown[0]!r}; Weir knows {', '.join(CATEGORIES)}")
            absent = {one for one in NETWORKS if elsewhere and not (folder / one).exists()}
            _verify(folder, {name: digest for name, digest in manifest["sha256"].items() if name not in absent})
            scale, shift, table = _calibrated(manifest["calibration"], labels)
            screen = None
            if found := manifest.get("screen"):
                screen = ScreenPart(
                    found["file"], tuple(map(float, found["cut"])), {c: float(t) for c, t in found["floor"].items()}
                )
            head = manifest.get("head")
            tokens = manifest.get("tokens")
            return cls(
                folder, manifest["name"], labels, int(manifest["max_tokens"]), manifest["precision"],
                manifest["sha256"]["model.onnx"], scale, shift, table, screen,
                (head["kind"], tuple(tuple(map(int, own)) for own in head["columns"])) if head else None,
                (int(tokens["first"]), int(tokens["last"]), int(tokens["pad"])) if tokens else None,
                bool(manifest.get("context", True)), bool(manifest.get("embedding", False)), manifest.get("background"),
                tuple(float(manifest["closer"][label]) for label in labels) if "closer" in manifest else None,
                manifest,
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ModelError(
                f"{path}: {type(error).__name__} at {error}; the manifest is incomplete, export the model again"
            ) from error

    def for_gpu(self) -> Artefact:
        """The half-precision network, if the folder has it beside the other: its scores are its own, and so is what they mean
        (`half: {calibration: …}` in the manifest; without it, the other's)."""
        digest = self.manifest["sha256"].get(HALF)
        if digest is None:
            return self
        own = self.manifest.get("half", {}).get("calibration")
        scale, shift, table = _calibrated(own, self.labels) if own else (self.scale, self.shift, self.table)
        return dataclasses.replace(
            self, file=HALF, sha256=digest, precision="fp16", scale=scale, shift=shift, table=table
        )  # fmt: skip

    @property
    def padding(self) -> int:
        """The token that fills shorter rows; BERT's where the manifest names none."""
        return self.tokens[2] if self.tokens else 0

    def threshold(self, category: str, fpr: float, role: str = "any") -> float:
        """The probability above which at most `fpr` of ordinary texts lie; between the table's rates by their logarithm,
        beyond them the nearest. A category that the model does not have is never reached.

        Raises ModelError where the model has the category and nobody has calibrated it."""
        roles = self.table.get(category)
        if not roles and category in self.labels:
            raise ModelError(
                f"{self.folder} has no thresholds for {category!r}: run `weir model verify {self.folder} --data FILE --write`, "
                "or give the rule a `threshold:`"
            )
        if not roles:
            return 1.1
        points = roles.get(role) or roles["any"]
        rates = [rate for rate, _ in points]
        at = bisect.bisect_left(rates, fpr)
        if at == 0:
            return points[0][1]
        if at == len(points):
            return points[-1][1]
        (low, high_threshold), (high, low_threshold) = points[at - 1], points[at]
        part = (math.log(fpr) - math.log(low)) / (math.log(high) - math.log(low))
        return low_threshold + (1 - part) * (high_threshold - low_threshold)  # of a rate of the table, exactly the table's


def _calibrated(found: dict[str, Any], labels: tuple[str, ...]) -> tuple[tuple[float, ...], tuple[float, ...], Table]:
    table = {
        category: {role: sorted((float(k), float(v)) for k, v in rates.items()) for role, rates in roles.items()}
        for category, roles in found["thresholds"].items()
    }
    platt = [found["platt"][label] for label in labels]
    return tuple(float(scale) for scale, _ in platt), tuple(float(shift) for _, shift in platt), table


def _verify(folder: Path, digests: dict[str, str]) -> None:
    for name, expected in digests.items():
        try:
            with (folder / name).open("rb") as file:
                actual = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            raise ModelError(f"{folder / name} is missing; export the model again") from None
        if actual != expected:
            raise ModelError(
                f"{folder / name} is not the file that the manifest names (sha256 {actual[:12]}…, expected {expected[:12]}…)"
            )
