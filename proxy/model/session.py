"""The network in this process: onnxruntime, with threads of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proxy.model.artefact import Artefact, ModelError
from proxy.model.device import ROWS, WIDTHS, open_runner, up
from proxy.model.network import Read, Window, batches, joined, tensors

BATCH = 8  # windows a run: on a CPU a larger batch is no cheaper a text
PADDING = 1.25  # times the tokens that are there: more is not worth a batch, for padding costs in full
GPU_BATCH, GPU_PADDING = 64, 2.0  # there a run has a price of its own, and padding costs less than one run more
GPU_WAIT = 0.002  # seconds that a text may be kept there for others to come; about what a run takes


class Session:
    """Thread-safe. `pad`: the token that fills shorter rows. `artefact` is what runs there in the end: a GPU reads another file
    than a CPU. `batch`: windows a run at most."""

    def __init__(self, artefact: Artefact, pad: int, threads: int = 1, device: str = "cpu", batch: int | None = None) -> None:
        self._pad = pad
        self._runner, self.artefact = open_runner(artefact, device, options(threads))
        # The scale of int8 activations is that of the whole run: read together, one text would move another's score.
        together = self.artefact.precision != "int8"
        self.batch = (batch or (GPU_BATCH if self._runner.buckets else BATCH)) if together else 1

    @property
    def device(self) -> str:
        return self._runner.device

    def run(self, windows: Sequence[Window], embed: bool) -> Read:
        found = batches(windows, self.batch, GPU_PADDING if self._runner.buckets else PADDING)
        return joined([(members, self._run([windows[i] for i in members], embed)) for members in found])

    def _run(self, batch: Sequence[Window], embed: bool) -> Read:
        feed = tensors(batch, self._pad)
        if self._runner.buckets:
            feed = {name: self._bucketed(name, array) for name, array in feed.items()}
        output = self._runner.outputs[0]
        found = self._runner.run(feed, [output, "embedding"] if embed else [output])
        raw, *more = (one[: len(batch)] for one in found)
        return Read(raw, more[0] if more else None)

    def _bucketed(self, name: str, array: NDArray[Any]) -> NDArray[Any]:
        rows, width = array.shape
        found = np.full((up(rows, ROWS), up(width, WIDTHS)), self._pad if name == "input_ids" else 0, dtype=array.dtype)
        found[:rows, :width] = array
        if name == "attention_mask":
            found[rows:, 0] = 1  # attention over nothing is not a number
        return found

    def check(self) -> str:
        return ""

    def close(self) -> None:
        return None


def options(threads: int) -> Any:
    """Raises ModelError where onnxruntime is not installed."""
    try:
        import onnxruntime as ort  # an extra: a Weir of patterns alone runs without it
    except ImportError:
        raise ModelError(
            "onnxruntime is not installed: pip install 'weir[cpu]', or 'weir[gpu]' on a machine with CUDA"
        ) from None
    found = ort.SessionOptions()
    found.intra_op_num_threads = threads
    found.inter_op_num_threads = 1
    found.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    found.enable_cpu_mem_arena = False
    found.add_session_config_entry("session.intra_op.allow_spinning", "0")
    found.log_severity_level = 3
    return found
