"""The screen: a fraction of a millisecond for what is surely fine, so that the classifier need not read it.

A small convolution over the classifier's own tokens, distilled from the classifier. It reads the very window that the
classifier would read, and can only say "surely fine" or "look closer": no threshold of a policy is ever met by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proxy.model.columns import Columns
from proxy.model.growing import Growing


class Screen:
    """Thread-safe. `cut`: (outputs,) logits; a window with any output above its cut needs a closer look. `floor`: for each
    category the lowest threshold that the cut was set for; below it the screen may not be asked. `growing` reads texts that go
    on; None where its arithmetic or the tokens are not known well enough."""

    growing: Growing | None = None

    def __init__(self, file: Path, cut: Sequence[float], floor: dict[str, float], options: Any) -> None:
        import onnxruntime as ort

        self.floor = floor
        self.cut = np.array(cut, dtype=np.float32)
        self._file = file
        self._session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def suspects(self, windows: Sequence[Sequence[int]]) -> list[bool]:
        """For each window of token ids whether the classifier must read it. The padding token is 0."""
        if len(windows) == 1:
            return [bool((self.logits(np.array([windows[0]], dtype=np.int64))[0] > self.cut).any())]
        ids = np.zeros((len(windows), max(map(len, windows))), dtype=np.int64)
        for row, window in enumerate(windows):
            ids[row, : len(window)] = window
        return [bool((row > self.cut).any()) for row in self.logits(ids)]

    def columns(self) -> Columns | None:
        """Its arithmetic token by token; None if the file is of another kind."""
        try:
            columns = Columns(self._file)
        except (KeyError, ValueError):
            return None
        ids = np.random.default_rng(0).integers(1, columns.words, (1, 24))
        laid = columns.of(ids[0])
        mean = laid[:, columns.width :].mean(0)
        found = columns.logits(laid.max(0)[None], mean[None])
        expected = self.logits(ids)
        return columns if found.shape == expected.shape and np.allclose(found, expected, atol=1e-4) else None

    def logits(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self._session.run(None, {"input_ids": ids})[0]
        return found
