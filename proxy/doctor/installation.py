"""What is installed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Iterator

from proxy.doctor.finding import Finding, fine, note, wrong
from proxy.model import device

OLDEST, NEWEST = (3, 11), (3, 13)
TAMPERED = ("1.82.7", "1.82.8")  # of litellm: uploaded by somebody else, they stole credentials
LITELLM = (1, 83, 10)
TRANSFORMERS = (4, 58)  # from here on optimum's export does not work
_ONE_RUNTIME = "pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'weir[cpu]'   (or 'weir[gpu]')"


def check() -> Iterator[Finding]:
    yield from python()
    yield from runtime()
    yield from hyperscan()
    yield from litellm()
    yield from export()


def python(version: tuple[int, int] | None = None) -> Iterator[Finding]:
    found = version or sys.version_info[:2]
    shown = ".".join(map(str, found))
    if OLDEST <= found <= NEWEST:
        yield fine("python", shown)
    else:
        age = "too old" if found < OLDEST else "newer than what Weir was tested with"
        yield wrong("python", f"{shown} is {age}", "make the venv with Python 3.11, 3.12 or 3.13")


def runtime() -> Iterator[Finding]:
    found = device.runtimes()
    if len(found) > 1:
        text = "onnxruntime and onnxruntime-gpu are both installed; each overwrites the other, and which one runs is chance"
        yield wrong("onnxruntime", text, _ONE_RUNTIME)
    elif not found:
        text = "not installed: no policy with a category can be judged"
        yield wrong("onnxruntime", text, "pip install 'weir[cpu]', or 'weir[gpu]' on a machine with CUDA")
    elif not _imports("onnxruntime"):
        yield wrong("onnxruntime", "installed, and cannot be imported", _ONE_RUNTIME)
    else:
        ((name, version),) = found.items()
        yield fine("onnxruntime", f"{name} {version}")


def hyperscan() -> Iterator[Finding]:
    version = _version("hyperscan")
    if version is not None and _imports("hyperscan"):
        yield fine("hyperscan", version)
    else:
        text = "not there: patterns are found by RE2 alone, which finds the same and takes longer"
        yield note("hyperscan", text, "pip install hyperscan, where it has a wheel for this platform")


def litellm() -> Iterator[Finding]:
    version = _version("litellm")
    if version is None:
        return
    if version in TAMPERED:
        text = f"{version} was not published by its makers, and steals credentials"
        yield wrong("litellm", text, "pip install -U 'weir[litellm]', and change every key this machine has seen")
    elif _numbers(version) < LITELLM:
        yield wrong("litellm", f"{version} is too old", "pip install -U 'weir[litellm]'")
    else:
        yield fine("litellm", version)


def export() -> Iterator[Finding]:
    version = _version("transformers")
    if version is not None and _version("optimum") is not None and _numbers(version) >= TRANSFORMERS:
        text = f"optimum cannot export with transformers {version}; `weir model export` will fail, serving is not affected"
        yield note("optimum", text, "pip install 'weir[export]' in a venv of its own")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _imports(module: str) -> bool:
    """Whether it can really be imported: files of two versions may lie there, or a library be missing."""
    if importlib.util.find_spec(module) is None:
        return False
    try:
        importlib.import_module(module)
    except Exception:  # whatever a broken package throws
        return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
