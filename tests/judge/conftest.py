from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.judge.scripted import ScriptedJudge, serving


@pytest.fixture(scope="session")
def judge_server() -> Iterator[ScriptedJudge]:
    with serving() as judge:
        yield judge


@pytest.fixture
def scripted(judge_server: ScriptedJudge) -> ScriptedJudge:
    judge_server.reset()
    return judge_server
