"""Where a network runs: on the CPU, or on a CUDA device. What was asked for by name is never silently replaced.

onnxruntime says nothing a program would notice when it cannot use a GPU: it prints a line and computes on the CPU, twenty times
slower. So the provider is asserted once the session stands, and `why_not` finds the cause that a person can do something about.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import io
import logging
import mmap
import re
import struct
import threading
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from proxy.model.artefact import Artefact, ModelError
from proxy.model.place import Place, parse

log = logging.getLogger("weir")

WIDTHS = (16, 32, 64, 96, 128, 192, 256, 384, 512)  # tokens; a GPU meets few shapes, so that its plans and memory serve again
ROWS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024)
CUDA = "CUDAExecutionProvider"
_OURS = re.compile(r"lib(cu|nv)\w+\.so\.[0-9]+")
_INSTALL = "pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'weir[gpu]'"


def up(size: int, steps: Sequence[int]) -> int:
    return next((step for step in steps if step >= size), size)


# -- runners


class Runner(Protocol):
    device: str
    inputs: frozenset[str]
    outputs: tuple[str, ...]
    buckets: bool  # whether it is best fed with few different shapes

    def run(self, feed: Mapping[str, Any], wanted: Sequence[str]) -> list[Any]: ...


class Plain:
    """On the CPU: arrays are where they are needed."""

    device, buckets = "cpu", False

    def __init__(self, session: Any) -> None:
        self._session = session
        self.inputs, self.outputs = _names(session)

    def run(self, feed: Mapping[str, Any], wanted: Sequence[str]) -> list[Any]:
        return list(self._session.run(list(wanted), {k: v for k, v in feed.items() if k in self.inputs}))


class Bound:
    """On a GPU: each thread keeps memory there for each shape, fills it in one copy, and fetches the outputs in another, so
    nothing is allocated and nothing goes back and forth between the layers."""

    buckets = True

    def __init__(self, session: Any, kind: str, number: int = 0) -> None:
        self._session, self._kind, self._number = session, kind, number
        self._own = threading.local()
        self.device = f"{kind}:{number}" if kind != "cpu" else kind
        self.inputs, self.outputs = _names(session)

    def run(self, feed: Mapping[str, Any], wanted: Sequence[str]) -> list[Any]:
        binding = self._session.io_binding()
        for name, array in feed.items():
            if name in self.inputs:
                value = self._memory(name, array.shape)
                value.update_inplace(np.ascontiguousarray(array))
                binding.bind_ortvalue_input(name, value)
        for name in wanted:
            binding.bind_output(name, self._kind, self._number)
        self._session.run_with_iobinding(binding)
        return list(binding.copy_outputs_to_cpu())

    def _memory(self, name: str, shape: tuple[int, ...]) -> Any:
        import onnxruntime as ort

        kept: dict[tuple[str, tuple[int, ...]], Any] = self._own.__dict__.setdefault("kept", {})
        if (name, shape) not in kept:
            kept[name, shape] = ort.OrtValue.ortvalue_from_shape_and_type(list(shape), np.int64, self._kind, self._number)
        return kept[name, shape]


def _names(session: Any) -> tuple[frozenset[str], tuple[str, ...]]:
    return frozenset(i.name for i in session.get_inputs()), tuple(o.name for o in session.get_outputs())


# -- opening one


def open_runner(artefact: Artefact, device: str, options: Any) -> tuple[Runner, Artefact]:
    """And the artefact as it runs there: a GPU reads the half-precision file, with its own calibration. Raises ModelError."""
    placed = parse(device)
    if placed is None:
        return Plain(_session(artefact, options, ["CPUExecutionProvider"])), artefact
    try:
        return _on_cuda(artefact.for_gpu(), placed, options)
    except ModelError as problem:
        if device != "auto":
            raise
        log.warning("the classifier runs on the CPU", extra={"fields": {"why": str(problem)}})
    return Plain(_session(artefact, options, ["CPUExecutionProvider"])), artefact


def _on_cuda(artefact: Artefact, placed: Place, options: Any) -> tuple[Runner, Artefact]:
    import onnxruntime as ort

    if artefact.precision == "int8":
        raise ModelError(
            f"{artefact.folder} has int8 weights alone, which no CUDA kernel reads: make a folder with "
            "`weir model export builtin FOLDER --precision fp16` (or of your model's source) and name it, or take device: cpu"
        )
    if CUDA not in ort.get_available_providers():
        raise ModelError(f"{placed.name} cannot be used: {why_not()}; see `weir doctor`")
    _preload()
    settings = {"device_id": str(placed.number), "arena_extend_strategy": "kSameAsRequested"}
    session = _session(artefact, options, [(CUDA, settings), "CPUExecutionProvider"])
    if session.get_providers()[0] != CUDA:
        raise ModelError(f"asked for {placed.name}, onnxruntime fell back to the CPU: {why_not()}; see `weir doctor`")
    return Bound(session, "cuda", placed.number), artefact


def _session(artefact: Artefact, options: Any, providers: list[Any]) -> Any:
    import onnxruntime as ort

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a provider that is not there: said by us, with the cause
            return ort.InferenceSession(str(artefact.folder / artefact.file), options, providers=providers)
    except Exception as problem:  # onnxruntime's exceptions have no common base of their own
        why = f"cannot be loaded by onnxruntime ({type(problem).__name__}); export it again"
        raise ModelError(f"{artefact.folder / artefact.file} {why}") from problem


# -- why a GPU cannot be used


def runtimes() -> dict[str, str]:
    """The ONNX Runtimes that pip installed, with their versions. They share one folder, so there must be one alone."""
    found = {}
    for name in ("onnxruntime", "onnxruntime-gpu"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def why_not() -> str:
    """What stands between this installation and a GPU, with the fix. "the cause is unknown" when nothing is seen."""
    found = runtimes()
    if len(found) > 1:
        return f"onnxruntime and onnxruntime-gpu are both installed and overwrite each other: {_INSTALL}"
    if "onnxruntime-gpu" not in found:
        return f"the onnxruntime that is installed is the one for CPUs: {_INSTALL}"
    if not _loads("libcuda.so.1"):
        return "libcuda.so.1 is missing, the NVIDIA driver: install it; in a container, run that with --gpus all"
    if missing := missing_libraries():
        return f"{', '.join(missing)} cannot be loaded: pip install 'onnxruntime-gpu[cuda,cudnn]=={found['onnxruntime-gpu']}'"
    return "the driver may be too old for this onnxruntime, or the GPU be another process's alone; nvidia-smi tells"


def missing_libraries(provider: Path | None = None) -> list[str]:
    """CUDA's libraries that the provider needs and the loader does not find."""
    if provider is None:
        import onnxruntime as ort

        provider = Path(ort.__file__).parent / "capi" / "libonnxruntime_providers_cuda.so"
        _preload()
    try:
        needed = _needed(provider)
    except (OSError, ValueError, struct.error):
        return [provider.name]
    return sorted(name for name in needed if _OURS.fullmatch(name) and not _loads(name))


def _preload() -> None:
    """Finds the CUDA libraries that pip installed, which the loader does not look for by itself."""
    import onnxruntime as ort

    if hasattr(ort, "preload_dlls"):
        with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()):  # what is missing is named by us
            ort.preload_dlls()


def _needed(library: Path) -> list[str]:
    """The DT_NEEDED entries of a 64-bit ELF file."""
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as elf:
        if elf[:5] != b"\x7fELF\x02":
            raise ValueError("not a 64-bit ELF file")
        (start,), (size, count) = struct.unpack_from("<Q", elf, 40), struct.unpack_from("<HH", elf, 58)
        # Of each section: type, offset, size, and which section has its strings.
        sections = [struct.unpack_from("<4xI16xQQI", elf, start + size * number) for number in range(count)]
        _, offset, length, link = next(one for one in sections if one[0] == 6)
        strings = sections[link][1]
        entries = [struct.unpack_from("<qQ", elf, at) for at in range(offset, offset + length, 16)]
        found = [strings + value for tag, value in entries if tag == 1]
        return [elf[at : elf.find(b"\0", at)].decode() for at in found]


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
