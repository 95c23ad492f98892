"""Where a classifier's network runs: a session in this process, a server that speaks the Open Inference Protocol, a deployment
of a cluster. What surrounds it (tokens, windows, screen, calibration) is here, and the same for all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Window = tuple[list[int], list[int]]  # token ids, token types


class Read(NamedTuple):
    """A row a window. `raw`: what the network says, before its labels become ours. `embeddings` where they were asked for."""

    raw: NDArray[Any]
    embeddings: NDArray[Any] | None = None


class Unavailable(Exception):
    """The network was not asked, or gave no answer. Says why in a few words, for people and for labels."""


class Network(Protocol):
    def run(self, windows: Sequence[Window], embed: bool) -> Read:
        """Blocks, and is called from several threads at once. Raises Unavailable."""
        ...

    def check(self) -> str:
        """Why it cannot be asked just now; empty when it can. Blocks."""
        ...

    def close(self) -> None: ...


def tensors(windows: Sequence[Window], pad: int) -> dict[str, NDArray[np.int64]]:
    """The inputs of a network of BERT's family, by their usual names; shorter windows are padded at the end."""
    width = max(len(ids) for ids, _ in windows)
    ids = np.full((len(windows), width), pad, dtype=np.int64)
    mask = np.zeros_like(ids)
    types = np.zeros_like(ids)
    for row, (tokens, kinds) in enumerate(windows):
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
        types[row, : len(tokens)] = kinds
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


def batches(windows: Sequence[Window], most: int, padding: float) -> Iterator[list[int]]:
    """Places of windows of like length, `most` at a time and padded to `padding` times their tokens at most."""
    batch: list[int] = []
    tokens = 0
    for index in sorted(range(len(windows)), key=lambda i: len(windows[i][0])):
        width = len(windows[index][0])
        if batch and (len(batch) == most or width * (len(batch) + 1) > padding * (tokens + width)):
            yield batch
            batch, tokens = [], 0
        batch.append(index)
        tokens += width
    if batch:
        yield batch


def joined(parts: Sequence[tuple[list[int], Read]]) -> Read:
    """What was read in batches, each with its places, in the windows' own order."""
    if len(parts) == 1 and len(parts[0][0]) == 1:
        return parts[0][1]
    back = np.argsort([index for members, _ in parts for index in members])
    raw = np.concatenate([read.raw for _, read in parts])[back]
    vectors = [read.embeddings for _, read in parts if read.embeddings is not None]
    return Read(raw, np.concatenate(vectors)[back] if vectors else None)
