"""Learns categories of a team's own at load time, from the built-in encoder. What was learnt once is remembered."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from proxy.model.artefact import ModelError
from proxy.model.classifier import Classifier
from proxy.model.fewshot import Array, Head, fit
from proxy.model.network import Unavailable

KEPT = 256  # heads
_BATCH = 32


class Learner:
    """Thread-safe; reloads happen beside requests."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._known: OrderedDict[bytes, Head] = OrderedDict()
        self._background: Array | None = None
        self._lock = threading.Lock()

    @property
    def problem(self) -> str:
        """Why nothing can be learnt with this model; empty if it can."""
        artefact = self._classifier.artefact
        if not artefact.embeds:
            return f'the model "{artefact.name}" has no embedding output, which examples are learnt from; use the built-in one'
        if artefact.background is None:
            return f'the model "{artefact.name}" has no background of ordinary texts, which examples are learnt against'
        return ""

    def learn(self, violates: Sequence[str], allows: Sequence[str]) -> Head:
        """Under a second for a hundred examples. Raises ModelError if the model is not made for it."""
        if problem := self.problem:
            raise ModelError(problem)
        key = _key(self._classifier.artefact.sha256, violates, allows)
        with self._lock:
            if key not in self._known:
                embedded = self._embedded([*violates, *allows])
                self._known[key] = fit(embedded[: len(violates)], embedded[len(violates) :], self._ordinary())
                if len(self._known) > KEPT:
                    self._known.popitem(last=False)
            self._known.move_to_end(key)
            return self._known[key]

    def _ordinary(self) -> Array:
        if self._background is None:
            artefact = self._classifier.artefact
            self._background = np.load(artefact.folder / str(artefact.background)).astype(np.float64)
        return self._background

    def _embedded(self, texts: Sequence[str]) -> Array:
        rows = []
        for at in range(0, len(texts), _BATCH):
            try:
                found = self._classifier.score([(text, "") for text in texts[at : at + _BATCH]], embed=True)
            except Unavailable as problem:
                raise ModelError(f"examples cannot be learnt just now: the classifier {problem}") from None
            for one in found:
                assert one.embeddings is not None
                rows.append(one.embeddings.astype(np.float64).mean(0))
        whole = np.stack(rows)
        return np.asarray(whole / np.linalg.norm(whole, axis=1, keepdims=True))


def _key(model: str, violates: Sequence[str], allows: Sequence[str]) -> bytes:
    digest = blake2b(model.encode(), digest_size=20)
    for text in (*violates, "\0", *allows):
        raw = text.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.digest()
