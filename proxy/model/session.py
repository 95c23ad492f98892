"""The network in this process: onnxruntime, with threads of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from proxy.model.artefact import Artefact, ModelError
from proxy.model.network import Read, Window, tensors

BATCH = 8  # windows a run: on a CPU a larger batch is no cheaper a text
PADDING = 1.25  # times the tokens that are there: more is not worth a batch, for padding costs in full


class Session:
    """Thread-safe. `pad`: the token that fills shorter rows."""

    problem = ""

    def __init__(self, artefact: Artefact, pad: int, threads: int = 1, provider: str = "CPUExecutionProvider") -> None:
        own = options(threads)
        import onnxruntime as ort

        self._pad = pad
        self._session = ort.InferenceSession(str(artefact.folder / "model.onnx"), own, providers=[provider])
        if self._session.get_providers()[0] != provider:
            raise ModelError(f"asked for {provider}, onnxruntime gave {self._session.get_providers()[0]}; see `weir doctor`")
        self._inputs = {i.name for i in self._session.get_inputs()}
        self._output = self._session.get_outputs()[0].name

    def run(self, windows: Sequence[Window], embed: bool) -> Read:
        order = sorted(range(len(windows)), key=lambda i: len(windows[i][0]))
        parts = [self._run([windows[i] for i in members], embed) for members in _batches(order, windows)]
        if len(order) == 1:
            return parts[0]
        back = np.argsort(order)
        raw = np.concatenate([part.raw for part in parts])[back]
        return Read(raw, np.concatenate([part.embeddings for part in parts])[back] if embed else None)

    def _run(self, batch: Sequence[Window], embed: bool) -> Read:
        wanted = [self._output, "embedding"] if embed else [self._output]
        feed = {k: v for k, v in tensors(batch, self._pad).items() if k in self._inputs}
        raw, *more = self._session.run(wanted, feed)
        return Read(raw, more[0] if more else None)

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


def _batches(order: Sequence[int], windows: Sequence[Window]) -> Iterator[list[int]]:
    """Windows of like length together. `order` has them rise in length."""
    batch: list[int] = []
    tokens = 0
    for index in order:
        width = len(windows[index][0])
        if batch and (len(batch) == BATCH or width * (len(batch) + 1) > PADDING * (tokens + width)):
            yield batch
            batch, tokens = [], 0
        batch.append(index)
        tokens += width
    if batch:
        yield batch
