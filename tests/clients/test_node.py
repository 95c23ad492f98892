"""The openai package of Node, in one process: `client.cjs`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.server.conftest import Weir


def modules() -> Path:
    """Where npm has put the package."""
    found = Path(os.environ.get("WEIR_NODE", "node_modules/.bin")).parent
    if shutil.which("node") is None or not (found / "openai").is_dir():
        if os.environ.get("WEIR_CI"):
            pytest.fail("node or its package openai is missing, and CI must have them")
        pytest.skip("node and its package openai are not installed")
    return found


def test_node(weir: Weir) -> None:
    script = Path(__file__).with_name("client.cjs")
    environment = {**os.environ, "NODE_PATH": str(modules())}
    done = subprocess.run(
        ["node", script, f"{weir.url}/v1"], capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    hidden, refused = {"city": "Paris", "mail": "[EMAIL_1]"}, ["BadRequestError", 400, "content_filter"]
    assert json.loads(done.stdout) == {
        "pass": "Good morning.",
        "redacted": "Write to [EMAIL_1].",
        "cut": ["It is the ", "content_filter"],
        "tool": hidden,
        "blocked": refused,
        "failed": ["NotFoundError", 404, "model_not_found"],
        "streamed": [["Write to [EMAIL_1].", "stop"], ["It is the ", "content_filter"]],
        "helper": hidden,
        "streamBlocked": refused,
        "responses": "Write to [EMAIL_1].",
        "responsesCut": ["response.incomplete", "content_filter"],
        "responsesBlocked": refused,
    }
