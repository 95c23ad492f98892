"""The numbers in an ONNX file, without the package for it: that is only needed where models are made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_GRAPH, _TENSOR = 7, 5  # the fields of onnx.proto that lead to an initializer, and its own
_DIMS, _TYPE, _FLOATS, _INTS, _NAME, _RAW = 1, 2, 4, 5, 8, 9
_TYPES: dict[int, Any] = {1: np.dtype("<f4"), 2: np.dtype("u1"), 3: np.dtype("i1")}


def tensors(file: Path) -> dict[str, NDArray[Any]]:
    """Every float32 and 8-bit initializer by its name. What is large is read from the disk when it is asked for, and shared
    between processes."""
    found = {}
    for number, graph in _fields(np.memmap(file, dtype=np.uint8, mode="r").data):
        for inner, tensor in _fields(graph) if number == _GRAPH else ():
            if inner == _TENSOR and (one := _tensor(tensor)) is not None:
                found[one[0]] = one[1]
    return found


def _tensor(data: memoryview) -> tuple[str, NDArray[Any]] | None:
    """Numbers are raw, or packed varints and floats; what has neither has none."""
    shape: list[int] = []
    kind, name, values = 0, "", np.zeros(0)
    for number, value in _fields(data):
        if number == _DIMS:
            shape.append(value)
        elif number == _TYPE:
            kind = value
        elif number == _NAME:
            name = bytes(value).decode()
        elif number in (_RAW, _FLOATS) and kind in _TYPES:
            values = np.frombuffer(value, dtype=_TYPES[kind])
        elif number == _INTS and kind in _TYPES:
            values = np.array([*_varints(value)], dtype=np.int64).astype(_TYPES[kind])
    return (name, values.reshape(shape)) if kind in _TYPES else None


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """(number, value) of a message: whole numbers as such, all else as bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        if key & 7 == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        size, at = _varint(data, at) if key & 7 == 2 else (8 if key & 7 == 1 else 4, at)
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at, value, shift = at + 1, value | (byte & 0x7F) << shift, shift + 7
        if byte < 0x80:
            return value, at


def _varints(data: memoryview) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value
