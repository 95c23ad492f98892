"""What an idle Weir holds: not what only a part of it needs, and not what loading left behind."""

from __future__ import annotations

import ctypes
import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

# Of `audit:`, of the dashboard, of `telemetry:`, of litellm's providers, of `restore:`, of `weir eval`, of `type: onnx`.
ELSEWHERE = ("sqlalchemy", "alembic", "jinja2", "opentelemetry", "litellm", "cryptography", "numpy.random", "onnxruntime")


def test_what_serve_imports_is_what_it_uses() -> None:
    told = "import json, sys, proxy.cli, proxy.server.worker; print(json.dumps(list(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", told], check=True, capture_output=True, cwd=Path(__file__).parents[2]).stdout
    assert sorted(set(ELSEWHERE) & set(json.loads(found))) == []


# Runs by itself: what others allocate meanwhile would be in the figure. Pieces below glibc's limit for mappings of their own.
HELD = """
import ctypes
from proxy.server.heap import trim
c = ctypes.CDLL(None)
c.malloc.restype, c.malloc.argtypes, c.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
held = lambda: int(open("/proc/self/statm").read().split()[1]) * 4096
pieces = [c.malloc(1 << 16) for _ in range(1024)]
for piece in pieces:
    ctypes.memset(piece, 1, 1 << 16)
for piece in pieces[:-1]:  # the last one keeps the heap from shrinking by itself
    c.free(piece)
before = held()
trim()
print(before - held())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps it")
def test_what_loading_left_is_given_back() -> None:
    assert hasattr(ctypes.CDLL(None), "malloc_trim")
    told = subprocess.run([sys.executable, "-c", HELD], check=True, capture_output=True, cwd=Path(__file__).parents[2]).stdout
    assert int(told) > 48 << 20
