"""Texts in, a calibrated probability per category out. `tokenizers`, onnxruntime and numpy; nothing else at run time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from proxy.model.artefact import Artefact
from proxy.model.growing import Growing
from proxy.model.head import categories
from proxy.model.network import Network, Window
from proxy.model.screen import Screen
from proxy.model.session import Session, options

CONTEXT_TOKENS = 48
OVERLAP = 4  # a part in four of a window is shared with the next


class Found(dict[str, float]):
    """category -> probability. `embeddings`: one row a window of the text, where they were asked for."""

    embeddings: NDArray[np.float16] | None = None
    weighed = False  # its scores count among those of the traffic already


class Classifier:
    """Thread-safe. `network` is asked in the place of a session of its own."""

    def __init__(
        self, artefact: Artefact, threads: int = 1, device: str = "cpu", screened: bool = False,
        network: Network | None = None, batch: int | None = None,
    ) -> None:  # fmt: skip
        self._tokenizer = Tokenizer.from_file(str(artefact.folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        bert = (int(self._tokenizer.token_to_id(t) or 0) for t in ("[CLS]", "[SEP]", "[PAD]"))
        self._first, self._last, self._pad = artefact.tokens or tuple(bert)
        self.network: Network = network or Session(artefact, self._pad, threads, device, batch)
        if isinstance(self.network, Session):
            artefact = self.network.artefact
        self.artefact = artefact
        self.screen: Screen | None = None
        if screened and (found := artefact.screen) is not None:
            self.screen = Screen(artefact.folder / found.file, found.cut, found.floor, options(threads))
            if isinstance(self._tokenizer.pre_tokenizer, BertPreTokenizer) and (columns := self.screen.columns()) is not None:
                self.screen.growing = Growing(columns, self.screen.cut, self._places, self._head, self._cuts, self._last)
        self._scale = np.array(artefact.scale, dtype=np.float32)
        self._shift = np.array(artefact.shift, dtype=np.float32)

    @classmethod
    def load(
        cls, folder: Path, threads: int = 1, screened: bool = False, device: str = "cpu", batch: int | None = None
    ) -> Classifier:
        """Raises ModelError, also where `device` asks for a GPU that cannot be used; `auto` takes the CPU then."""
        return cls(Artefact.load(folder), threads, device, screened, batch=batch)

    @property
    def device(self) -> str:
        """cpu, cuda:0, …; empty where the arithmetic is done elsewhere."""
        return self.network.device if isinstance(self.network, Session) else ""

    def score(self, items: Sequence[tuple[str, str]], sift: Sequence[bool] = (), embed: bool = False) -> list[Found]:
        """For each (text, context): the probability of each category. A long text is the maximum over its windows.
        With `embed`, their embeddings too, from the same run.

        Where `sift` says so, only the windows that the screen suspects are read; a text without any has no score at all,
        for every category: it is surely below its threshold.
        """
        windows: list[Window] = []
        numbers: list[int] = []  # of the text that each is of
        for number, (text, context) in enumerate(items):
            some = self.windows(text, context)
            if self.screen is not None and sift and sift[number]:
                suspects = self.screen.suspects([ids for ids, _ in some])
                some = [window for window, suspect in zip(some, suspects, strict=True) if suspect]
            windows += some
            numbers += [number] * len(some)
        logits = np.full((len(items), len(self.artefact.labels)), -np.inf, dtype=np.float32)
        vectors: dict[int, list[NDArray[np.float32]]] = {}
        if windows:
            raw, embedded = self.network.run(windows, embed)
            for at, (number, row) in enumerate(zip(numbers, self._ours(raw), strict=True)):
                np.maximum(logits[number], row, out=logits[number])
                if embedded is not None:
                    vectors.setdefault(number, []).append(embedded[at])
        probabilities = 1 / (1 + np.exp(-(logits * self._scale + self._shift)))
        read = set(numbers)
        found = []
        for number, row in enumerate(probabilities):
            one = Found(zip(self.artefact.labels, map(float, row), strict=True)) if number in read else Found()
            if number in vectors:
                one.embeddings = np.stack(vectors[number]).astype(np.float16)
            found.append(one)
        return found

    def windows(self, text: str, context: str) -> list[Window]:
        """[CLS] context [SEP] text [SEP], the text cut into overlapping windows of at most `max_tokens` in all."""
        body, head = list(self._encoded(text).ids), self._head(context)
        kind = 1 if len(head) > 1 else 0
        return [
            ([*head, *body[start:end], self._last], [0] * len(head) + [kind] * (end - start + 1))
            for start, end in self._cuts(len(head), len(body))
        ]

    def _head(self, context: str) -> list[int]:
        before = self._encoded(context).ids[-CONTEXT_TOKENS:] if context and self.artefact.takes_context else []
        return [self._first, *before, self._last] if before else [self._first]

    def _cuts(self, head: int, length: int) -> list[tuple[int, int]]:
        room = self.artefact.max_tokens - head - 1
        shared = room // OVERLAP
        return [(start, min(start + room, length)) for start in range(0, max(1, length - shared), room - shared)]

    def _encoded(self, text: str) -> Encoding:
        whole = text.encode("utf-8", "replace").decode()  # half a surrogate pair is no text to the tokenizer
        return self._tokenizer.encode(whole, add_special_tokens=False)

    def _places(self, text: str) -> tuple[list[int], list[int]]:
        found = self._encoded(text)
        return found.ids, [start for start, _ in found.offsets]

    def logits(self, batch: Sequence[Window]) -> Any:
        """(windows, categories) log-odds, uncalibrated."""
        return self._ours(self.network.run(batch, False).raw)

    def _ours(self, raw: Any) -> Any:
        return raw if self.artefact.head is None else categories(raw, *self.artefact.head)
