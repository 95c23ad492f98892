from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.judge.scripted import ScriptedJudge, serving
from tests.judge.tiny import make


@pytest.fixture(scope="session")
def judge_server() -> Iterator[ScriptedJudge]:
    with serving() as judge:
        yield judge


@pytest.fixture
def scripted(judge_server: ScriptedJudge) -> ScriptedJudge:
    judge_server.reset()
    return judge_server


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of nothing: one says 1, one says 0, two say what comes, one of them briefly."""
    return make(tmp_path_factory.mktemp("tiny"), "yes=gptoss:1", "no=qwen3:0", "random=gptoss", "brief=qwen3:?")
