"""Tiny judges and the servers in front of them. They need packages that do not belong beside Weir's: the interpreter that
WEIR_EXPORT_PYTHON names has them."""

from __future__ import annotations

import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import pytest

MAKE = Path(__file__).with_name("make_tiny.py")
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONUNBUFFERED": "1",
}  # fmt: skip


def python_with(*packages: str) -> str:
    """The interpreter; skips where it has not got these, and fails in CI."""
    named = os.environ.get("WEIR_EXPORT_PYTHON", "")
    wanted = "; ".join(f"assert importlib.util.find_spec({name!r})" for name in packages)
    there = bool(named) and subprocess.run([named, "-c", f"import importlib.util; {wanted}"], check=False, capture_output=True)
    if there and there.returncode == 0:
        return named
    why = f"WEIR_EXPORT_PYTHON must name an interpreter with {', '.join(packages)}"
    if os.environ.get("WEIR_CI"):
        pytest.fail(why)
    pytest.skip(why)


def make(folder: Path, *wanted: str) -> Path:
    command = [python_with("onnxruntime_genai", "torch", "transformers"), str(MAKE), str(folder), *wanted]
    done = subprocess.run(command, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@contextmanager
def server(command: list[str], log: Path, ready: str) -> Iterator[Callable[[], None]]:
    """Begins a server; what it gives waits until the server answers at the url `ready`."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **ENVIRONMENT})

    def wait() -> None:
        end = monotonic() + 200
        while True:
            assert process.poll() is None and monotonic() < end, log.read_text()[-3000:]
            try:
                with urllib.request.urlopen(ready, timeout=5):
                    return
            except urllib.error.HTTPError:
                return
            except OSError:
                sleep(0.2)

    try:
        yield wait
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
