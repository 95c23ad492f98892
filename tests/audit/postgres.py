"""A PostgreSQL of the tests' own, in a folder that goes away."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.conftest import free_port


def _program(name: str) -> str:
    # Debian keeps them out of the path; a wrapper that is there may belong to somebody else.
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    program = found[-1] if found else shutil.which(name)
    if program is None:
        if os.environ.get("WEIR_CI"):
            pytest.fail("PostgreSQL is missing, and CI must have it")
        pytest.skip("PostgreSQL is not installed")
    return program


@contextlib.contextmanager
def running(folder: Path) -> Iterator[str]:
    """Its URL."""
    data, port = folder / "data", free_port()
    who: dict[str, str] = {}
    if os.geteuid() == 0:  # it refuses to run as root
        who = {"user": "nobody"}
        for one in (folder, *folder.parents[:2]):
            one.chmod(0o755)
        shutil.chown(folder, "nobody")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, **who}
    initdb = [_program("initdb"), "-D", str(data), "-U", "weir", "--auth=trust", "--no-sync"]
    subprocess.run(initdb, check=True, **quiet)  # type: ignore[call-overload]
    server = [_program("postgres"), "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", "", "-F"]
    process = subprocess.Popen(server, **quiet)  # type: ignore[call-overload]
    try:
        for _ in range(200):
            ready = subprocess.run([_program("pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-q"], check=False)
            if ready.returncode == 0:
                break
        else:
            raise RuntimeError("PostgreSQL does not become ready")
        yield f"postgresql://weir@127.0.0.1:{port}/postgres"
    finally:
        process.terminate()
        process.wait(20)
