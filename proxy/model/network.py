"""Where a classifier's network runs: a session in this process, a server that speaks the Open Inference Protocol, a deployment
of a cluster. Whatever surrounds it (tokens, windows, screen, calibration) is the same, and here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Window = tuple[list[int], list[int]]  # token ids, token types


class Read(NamedTuple):
    """A row a window. `raw`: what the network says, before its labels become ours. `embeddings` where they were asked for and
    it has them."""

    raw: Any
    embeddings: Any | None


class Unavailable(Exception):
    """The network could not be asked, or gave no answer. Says why in a few words, for people and for labels."""


class Network(Protocol):
    def run(self, windows: Sequence[Window], embed: bool) -> Read:
        """Blocks, and is called from several threads at once. Raises Unavailable."""
        ...

    @property
    def problem(self) -> str:
        """Why it cannot be asked just now, as far as it is known; empty when it can."""
        ...

    def close(self) -> None: ...


def tensors(windows: Sequence[Window], pad: int, kind: Any = np.int64) -> dict[str, NDArray[Any]]:
    """The inputs of a network of BERT's family, by their usual names; shorter windows are padded at the end."""
    width = max(len(ids) for ids, _ in windows)
    ids = np.full((len(windows), width), pad, dtype=kind)
    mask = np.zeros_like(ids)
    types = np.zeros_like(ids)
    for row, (tokens, kinds) in enumerate(windows):
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
        types[row, : len(tokens)] = kinds
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
