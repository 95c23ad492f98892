"""The container's files: what a linter says of them, and what they promise."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from proxy.config import Listen

DOCKER = Path(__file__).parents[2] / "docker"


@pytest.mark.parametrize("file", sorted(DOCKER.glob("Dockerfile*")), ids=lambda file: file.name)
def test_dockerfiles_lint_clean(file: Path) -> None:
    hadolint = shutil.which("hadolint", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if hadolint is None:
        if os.environ.get("CI"):
            pytest.fail("hadolint is missing")
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_compose_lets_streams_end_and_gives_no_rights_away() -> None:
    weir = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]["weir"]
    assert int(weir["stop_grace_period"].removesuffix("s")) > Listen().drain
    assert weir["read_only"] and weir["cap_drop"] == ["ALL"] and "no-new-privileges:true" in weir["security_opt"]
    assert "/tmp" in weir["tmpfs"]  # the workers' metrics are files there
