"""Texts in, a calibrated probability per category out. `tokenizers`, onnxruntime and numpy; nothing else at run time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from proxy.model.artefact import Artefact, ModelError
from proxy.model.head import categories
from proxy.model.screen import Screen

CONTEXT_TOKENS = 48
OVERLAP = 4  # a part in four of a window is shared with the next
BATCH = 8  # windows a run: on a CPU a larger batch is no cheaper a text
PADDING = 1.25  # times the tokens that are there: more is not worth a batch, for padding costs in full

_Window = tuple[int, list[int], list[int]]  # number of the text, token ids, token types


class Found(dict[str, float]):
    """category -> probability. `embeddings`: one row a window of the text, where they were asked for."""

    embeddings: NDArray[np.float16] | None = None


class Classifier:
    """Thread-safe: one session, its own threads."""

    def __init__(
        self, artefact: Artefact, threads: int = 1, provider: str = "CPUExecutionProvider", screened: bool = False
    ) -> None:
        try:
            import onnxruntime as ort  # an extra: a Weir of patterns alone runs without it
        except ImportError:
            raise ModelError(
                "onnxruntime is not installed: pip install 'weir[cpu]', or 'weir[gpu]' on a machine with CUDA"
            ) from None
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.enable_cpu_mem_arena = False
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self.artefact = artefact
        self._session = ort.InferenceSession(str(artefact.folder / "model.onnx"), options, providers=[provider])
        if self._session.get_providers()[0] != provider:
            raise ModelError(f"asked for {provider}, onnxruntime gave {self._session.get_providers()[0]}; see `weir doctor`")
        self._inputs = {i.name for i in self._session.get_inputs()}
        self._output = self._session.get_outputs()[0].name
        self._tokenizer = Tokenizer.from_file(str(artefact.folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        bert = (int(self._tokenizer.token_to_id(t) or 0) for t in ("[CLS]", "[SEP]", "[PAD]"))
        self._first, self._last, self._pad = artefact.tokens or tuple(bert)
        self.screen: Screen | None = None
        if screened and (found := artefact.screen) is not None:
            self.screen = Screen(artefact.folder / found.file, found.cut, found.floor, options)
        self._scale = np.array(artefact.scale, dtype=np.float32)
        self._shift = np.array(artefact.shift, dtype=np.float32)

    @classmethod
    def load(cls, folder: Path, threads: int = 1, screened: bool = False) -> Classifier:
        return cls(Artefact.load(folder), threads, screened=screened)

    def score(self, items: Sequence[tuple[str, str]], sift: Sequence[bool] = (), embed: bool = False) -> list[Found]:
        """For each (text, context): the probability of each category. A long text is the maximum over its windows.
        With `embed`, their embeddings too, from the same run.

        Where `sift` says so, only the windows that the screen suspects are read; a text without any has no score at all,
        for every category: it is surely below its threshold.
        """
        windows: list[_Window] = []
        for number, (text, context) in enumerate(items):
            some = self.windows(text, context)
            if self.screen is not None and sift and sift[number]:
                suspects = self.screen.suspects([ids for ids, _ in some])
                some = [window for window, suspect in zip(some, suspects, strict=True) if suspect]
            windows += ((number, ids, types) for ids, types in some)
        logits = np.full((len(items), len(self.artefact.labels)), -np.inf, dtype=np.float32)
        windows.sort(key=lambda w: len(w[1]))
        vectors: dict[int, list[NDArray[np.float32]]] = {}
        for batch in _batches(windows):
            rows, embedded = self._run([(ids, types) for _, ids, types in batch], embed)
            for at, ((number, _, _), row) in enumerate(zip(batch, rows, strict=True)):
                np.maximum(logits[number], row, out=logits[number])
                if embedded is not None:
                    vectors.setdefault(number, []).append(embedded[at])
        probabilities = 1 / (1 + np.exp(-(logits * self._scale + self._shift)))
        read = {number for number, _, _ in windows}
        found = []
        for number, row in enumerate(probabilities):
            one = Found(zip(self.artefact.labels, map(float, row), strict=True)) if number in read else Found()
            if number in vectors:
                one.embeddings = np.stack(vectors[number]).astype(np.float16)
            found.append(one)
        return found

    def windows(self, text: str, context: str) -> list[tuple[list[int], list[int]]]:
        """[CLS] context [SEP] text [SEP], the text cut into overlapping windows of at most `max_tokens` in all."""
        body = self._tokens(text)
        before = self._tokens(context)[-CONTEXT_TOKENS:] if context and self.artefact.takes_context else []
        head: list[int] = [self._first, *before, self._last] if before else [self._first]
        room = self.artefact.max_tokens - len(head) - 1
        found = []
        shared = room // OVERLAP
        for start in range(0, max(1, len(body) - shared), room - shared):
            piece = body[start : start + room]
            found.append(([*head, *piece, self._last], [0] * len(head) + [1 if before else 0] * (len(piece) + 1)))
        return found

    def _tokens(self, text: str) -> list[int]:
        whole = text.encode("utf-8", "replace").decode()  # half a surrogate pair is no text to the tokenizer
        return list(self._tokenizer.encode(whole, add_special_tokens=False).ids)

    def logits(self, batch: Sequence[tuple[list[int], list[int]]]) -> Any:
        """(windows, categories) log-odds, uncalibrated, of (token ids, token types)."""
        return self._run(batch, False)[0]

    def _run(self, batch: Sequence[tuple[list[int], list[int]]], embed: bool) -> tuple[Any, Any]:
        width = max(len(ids) for ids, _ in batch)
        ids = np.full((len(batch), width), self._pad, dtype=np.int64)
        mask = np.zeros_like(ids)
        types = np.zeros_like(ids)
        for row, (tokens, kinds) in enumerate(batch):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
            types[row, : len(tokens)] = kinds
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        wanted = [self._output, "embedding"] if embed else [self._output]
        raw, *more = self._session.run(wanted, {k: v for k, v in feed.items() if k in self._inputs})
        return raw if self.artefact.head is None else categories(raw, *self.artefact.head), more[0] if more else None


def _batches(windows: list[_Window]) -> Iterator[list[_Window]]:
    """Windows of like length together. `windows` rise in length."""
    batch: list[_Window] = []
    tokens = 0
    for window in windows:
        width = len(window[1])
        if batch and (len(batch) == BATCH or width * (len(batch) + 1) > PADDING * (tokens + width)):
            yield batch
            batch, tokens = [], 0
        batch.append(window)
        tokens += width
    if batch:
        yield batch
