"""How fast a classifier is on this machine: throughput and latency by device, batch and length."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from proxy.model.classifier import Classifier

LENGTHS = (32, 128, 256)  # tokens
_LEAST = 3  # runs of each kind, however long they take


@dataclass(frozen=True, slots=True)
class Speed:
    """Milliseconds are of a whole batch; `cpu` is CPU time a text, of all threads."""

    device: str
    precision: str
    batch: int
    tokens: int
    texts_per_second: float
    p50: float
    p95: float
    p99: float
    cpu: float

    def line(self) -> str:
        cells = f"{self.batch:>6}{self.tokens:>8}{self.texts_per_second:>12.1f}"
        return f"{self.device:10}{self.precision:6}{cells}{self.p50:>10.2f}{self.p95:>10.2f}{self.p99:>10.2f}{self.cpu:>12.2f}"


HEADING = (
    f"{'device':10}{'file':6}{'batch':>6}{'tokens':>8}{'texts/s':>12}{'p50 ms':>10}{'p95 ms':>10}{'p99 ms':>10}"
    f"{'CPU ms/text':>12}"
)


def measure(
    classifier: Classifier, batches: Sequence[int], lengths: Sequence[int] = LENGTHS, seconds: float = 1.0
) -> Iterable[Speed]:
    """Of random tokens: a network's time does not depend on what the words mean. Lengths beyond the model's are left out."""
    rng = np.random.default_rng(0)
    longest = classifier.artefact.max_tokens
    for tokens in dict.fromkeys(min(length, longest) for length in lengths):
        for batch in batches:
            windows = [(rng.integers(5, 1000, tokens).tolist(), [0] * tokens) for _ in range(batch)]
            classifier.logits(windows)  # the first of a shape pays for its plan and its memory
            took: list[float] = []
            began, cpu = time.perf_counter(), time.process_time()
            while len(took) < _LEAST or time.perf_counter() - began < seconds:
                at = time.perf_counter()
                classifier.logits(windows)
                took.append(time.perf_counter() - at)
            spent, count = time.process_time() - cpu, len(took) * batch
            took.sort()
            p50, p95, p99 = (took[math.ceil(len(took) * share) - 1] * 1e3 for share in (0.5, 0.95, 0.99))
            rate, precision = count / sum(took), classifier.artefact.precision
            yield Speed(classifier.device, precision, batch, tokens, rate, p50, p95, p99, spent / count * 1e3)
