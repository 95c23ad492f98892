"""The screen's arithmetic, token by token: what onnxruntime does with a whole window (`training.screen` has the network).

A token's columns are what the two convolutions make of it and of its neighbours: the second sees two tokens on either side
and nothing else. So the columns inside a text stay what they are when more is added.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from proxy.model.onnxfile import tensors

Floats = NDArray[np.float32]

REACH = 2  # neighbours on either side that a column depends on
ROWS = 20  # that are multiplied at once: with more OpenBLAS may call other threads, which wait for longer than they work
GAP = 0  # the padding token: what stands on its two sides does not see each other


class Columns:
    """`load` a screen's file. Thread-safe."""

    def __init__(self, file: Path) -> None:
        """Raises KeyError or ValueError for a network of another kind."""
        held = tensors(file)
        scale = np.float32(held["embed.weight_scale"])
        self._words, self._zero = held["embed.weight_quantized"], np.float32(held["embed.weight_zero_point"])
        self.words, self.width = self._words.shape
        self._near, self._near_bias = _stacked(held["near.weight"]) * scale, held["near.bias"]
        self._far, self._far_bias = _stacked(held["far.weight"]), held["far.bias"]
        self._mix, self._mix_bias = held["mix.weight_Transposed"], held["mix.bias"]
        self._out, self._out_bias = held["out.weight_Transposed"], held["out.bias"]

    def of(self, tokens: Sequence[int] | NDArray[np.int64]) -> Floats:
        """(tokens, 2 * width): the columns of each, beside each other."""
        ids, width = np.array(tokens), self.width
        there = ids != GAP
        found = np.empty((len(ids), 2 * width), dtype=np.float32)
        near, far = found[:, :width], found[:, width:]
        _convolved(self._words[ids] - self._zero, self._near, self._near_bias, near)
        np.maximum(near, 0, out=near)
        near *= there[:, None]
        _convolved(near, self._far, self._far_bias, far)
        far += near
        np.maximum(far, 0, out=far)
        far *= there[:, None]
        return found

    def logits(self, highest: Floats, mean: Floats) -> Floats:
        """(windows, outputs), from the windows' highest columns and the mean of the second half of them."""
        mixed = np.concatenate((highest, mean), axis=1) @ self._mix + self._mix_bias
        return np.asarray(np.maximum(mixed, 0) @ self._out + self._out_bias, dtype=np.float32)


def _stacked(weight: Floats) -> Floats:
    """(out, in, 3) as one matrix for three neighbours beside each other."""
    return np.ascontiguousarray(weight.transpose(2, 1, 0).reshape(-1, len(weight)))


def _convolved(rows: Floats, weight: Floats, bias: Floats, out: Floats) -> None:
    count, width = rows.shape
    beside = np.zeros((count, 3 * width), dtype=np.float32)
    beside[1:, :width] = rows[:-1]
    beside[:, width : 2 * width] = rows
    beside[:-1, 2 * width :] = rows[1:]
    for at in range(0, count, ROWS):
        np.add(beside[at : at + ROWS] @ weight, bias, out=out[at : at + ROWS])
