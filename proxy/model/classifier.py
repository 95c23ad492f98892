"""Texts in, a calibrated probability per category out. `tokenizers`, onnxruntime and numpy; nothing else at run time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from proxy.model.artefact import Artefact
from proxy.model.growing import Growing
from proxy.model.head import categories
from proxy.model.network import Network, Window
from proxy.model.passages import Part, passages, within
from proxy.model.screen import Screen
from proxy.model.session import Session, options
from proxy.model.spelling import Spelling

CONTEXT_TOKENS = 48
OVERLAP = 4  # a part in four of a window is shared with the next


class Found(dict[str, float]):
    """category -> probability. `embeddings`: one row a window of the text, where they were asked for."""

    embeddings: NDArray[np.float16] | None = None
    weighed = False  # its scores count among those of the traffic already


Place = tuple[int, Part]  # the number of the text that a window is of, and where in it


class Laid(NamedTuple):
    """A text in tokens, behind those that stand before it in every window."""

    text: str
    head: list[int]
    body: Encoding


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
        self._spelling = Spelling.of(self._tokenizer)
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
        """For each (text, context): the probability of each category. A long text is the maximum over its windows; one in
        doubt counts with what its passages say, and itself without slips of the finger. With `embed`, the windows' embeddings
        too, from the same run.

        Where `sift` says so, only the windows that the screen suspects are read; a text without any has no score at all,
        for every category: it is surely below its threshold.
        """
        laid = [self._laid(text, context) for text, context in items]
        places: list[Place] = []
        for number, one in enumerate(laid):
            parts = self._cuts(len(one.head), len(one.body.ids))
            if self.screen is not None and sift and sift[number]:
                suspects = self.screen.suspects([self._window(one, part)[0] for part in parts])
                parts = [part for part, suspect in zip(parts, suspects, strict=True) if suspect]
            places += [(number, part) for part in parts]
        logits = np.full((len(items), len(self.artefact.labels)), -np.inf, dtype=np.float32)
        vectors: dict[int, list[NDArray[np.float32]]] = {}
        if places:
            raw, embedded = self.network.run([self._window(laid[number], part) for number, part in places], embed)
            rows = self._ours(raw)
            for at, (number, _) in enumerate(places):
                np.maximum(logits[number], rows[at], out=logits[number])
                if embedded is not None:
                    vectors.setdefault(number, []).append(embedded[at])
            self._look_closer(laid, places, rows, logits)
        probabilities = 1 / (1 + np.exp(-(logits * self._scale + self._shift)))
        read = {number for number, _ in places}
        found = []
        for number, row in enumerate(probabilities):
            scores = Found(zip(self.artefact.labels, map(float, row), strict=True)) if number in read else Found()
            if number in vectors:
                scores.embeddings = np.stack(vectors[number]).astype(np.float16)
            found.append(scores)
        return found

    def _look_closer(self, laid: Sequence[Laid], places: Sequence[Place], rows: Any, logits: Any) -> None:
        """Reads the windows in doubt by their passages, and whole without slips of the finger. Raises the texts' `logits` to
        what that says."""
        if self.artefact.closer is None:
            return
        doubted = [place for place, row in zip(places, rows, strict=True) if (row > self.artefact.closer).any()]
        room = {number: self._room(len(laid[number].head)) for number, _ in doubted}
        known = {number: passages(laid[number].text, _starts(laid[number].body), room[number]) for number in room}
        closer = dict.fromkeys(
            (number, part) for number, window in doubted for part in within(known[number], window, room[number])
        )
        again = [(number, self._window(laid[number], part)) for number, part in closer]
        again += [(number, mended) for number, part in doubted if (mended := self._mended(laid[number], part))]
        if again:
            raw = self.network.run([window for _, window in again], False).raw
            for (number, _), row in zip(again, self._ours(raw), strict=True):
                np.maximum(logits[number], row, out=logits[number])

    def windows(self, text: str, context: str) -> list[Window]:
        """[CLS] context [SEP] text [SEP], the text cut into overlapping windows of at most `max_tokens` in all."""
        laid = self._laid(text, context)
        return [self._window(laid, part) for part in self._cuts(len(laid.head), len(laid.body.ids))]

    def _laid(self, text: str, context: str) -> Laid:
        return Laid(text, self._head(context), self._encoded(text))

    def _window(self, laid: Laid, part: Part) -> Window:
        return _framed(laid.head, laid.body.ids[slice(*part)], self._last)

    def _mended(self, laid: Laid, part: Part) -> Window | None:
        """The window without slips of the finger; None where it has none."""
        if self._spelling is None:
            return None
        ids = laid.body.ids[slice(*part)]
        mended = self._spelling.mended(ids, laid.body.word_ids[slice(*part)])
        return _framed(laid.head, mended, self._last) if mended != ids else None

    def _head(self, context: str) -> list[int]:
        before = self._encoded(context).ids[-CONTEXT_TOKENS:] if context and self.artefact.takes_context else []
        return [self._first, *before, self._last] if before else [self._first]

    def _cuts(self, head: int, length: int) -> list[Part]:
        room = self._room(head)
        shared = room // OVERLAP
        return [(start, min(start + room, length)) for start in range(0, max(1, length - shared), room - shared)]

    def _room(self, head: int) -> int:
        return self.artefact.max_tokens - head - 1

    def _encoded(self, text: str) -> Encoding:
        whole = text.encode("utf-8", "replace").decode()  # half a surrogate pair is no text to the tokenizer
        return self._tokenizer.encode(whole, add_special_tokens=False)

    def _places(self, text: str) -> tuple[list[int], list[int]]:
        found = self._encoded(text)
        return found.ids, _starts(found)

    def logits(self, batch: Sequence[Window]) -> Any:
        """(windows, categories) log-odds, uncalibrated."""
        return self._ours(self.network.run(batch, False).raw)

    def _ours(self, raw: Any) -> Any:
        return raw if self.artefact.head is None else categories(raw, *self.artefact.head)


def _framed(head: list[int], ids: list[int], last: int) -> Window:
    kind = 1 if len(head) > 1 else 0
    return [*head, *ids, last], [0] * len(head) + [kind] * (len(ids) + 1)


def _starts(encoding: Encoding) -> list[int]:
    return [start for start, _ in encoding.offsets]
