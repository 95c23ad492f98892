"""Judges behind servers that people run: LiteLLM's proxy, and `transformers serve`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.config import JudgeDetector
from proxy.judge.client import Judge
from proxy.judge.format import Question
from proxy.types import Failure, Opinion
from tests.judge.scripted import ScriptedJudge, content, said
from tests.judge.tiny import python_with, server
from tests.server.conftest import free_port

LITELLM = """
model_list:
  - {{model_name: safeguard, litellm_params: {{model: openai/scripted, api_base: "{url}", api_key: k}}}}
litellm_settings: {{telemetry: false, num_retries: 0, drop_params: true}}
router_settings: {{num_retries: 0, disable_cooldowns: true}}
general_settings: {{master_key: sk-judge}}
"""


@contextlib.contextmanager
def litellm(judge: ScriptedJudge, folder: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    python = Path(python_with("litellm.proxy", "fastapi", "apscheduler"))
    (folder / "litellm.yaml").write_text(LITELLM.format(url=judge.url))
    port = free_port()
    options = ["--config", str(folder / "litellm.yaml"), "--host", "127.0.0.1", "--port", str(port)]
    ready = f"http://127.0.0.1:{port}/health/liveliness"
    with server([str(python.with_name("litellm")), *options], folder / "litellm.log", ready) as wait:
        yield f"http://127.0.0.1:{port}/v1", wait


@contextlib.contextmanager
def transformers(folder: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    python = Path(python_with("transformers", "torch", "fastapi"))
    port = free_port()
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    command = [str(python.with_name("transformers")), "serve", *options]
    with server(command, folder / "transformers.log", f"http://127.0.0.1:{port}/health") as wait:
        yield f"http://127.0.0.1:{port}/v1", wait


@pytest.fixture(scope="module")
def servers(judge_server: ScriptedJudge, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """All of them are started before any is waited for."""
    folder = tmp_path_factory.mktemp("servers")
    with contextlib.ExitStack() as stack:
        begun = {
            "litellm": stack.enter_context(litellm(judge_server, folder)),
            "transformers": stack.enter_context(transformers(folder)),
        }
        for _, wait in begun.values():
            wait()
        yield {name: url for name, (url, _) in begun.items()}


def answers(url: str, *questions: Question, **more: object) -> list[Opinion | Failure]:
    async def asked() -> list[Opinion | Failure]:
        settings = JudgeDetector(type="judge", base_url=url, timeout=120.0, **{"model": "safeguard", **more})  # type: ignore[arg-type]
        judge = Judge("j", settings)
        found = [await judge.ask(question) for question in questions]
        await judge.close()
        return found

    return asyncio.run(asked())


def test_litellm_in_front_of_a_judge(servers: dict[str, str], scripted: ScriptedJudge) -> None:
    said_of = {"a tulip": said("1"), "a rose": said("0"), "a weed": said("Certainly! It is fine."), "a thorn": 500}
    scripted.script = lambda body: said_of[content(body)]
    found = answers(servers["litellm"], *(Question("# Roses only", text) for text in said_of), api_key="sk-judge")
    tulip, rose, weed, thorn = found
    assert (tulip, rose) == (Opinion(True, 1.0), Opinion(False, 0.0))
    assert weed == Failure("j", "its answer is not a label")
    assert thorn == Failure("j", "answered with status 500")
    (wrong_key,) = answers(servers["litellm"], Question("# Roses only", "a lily"), api_key="sk-wrong")
    assert wrong_key in (Failure("j", "answered with status 400"), Failure("j", "answered with status 401"))


def test_transformers_with_a_model_of_random_weights(servers: dict[str, str], tiny: Path) -> None:
    """Nobody's answer is no answer, and never a pass."""
    (answer,) = answers(servers["transformers"], Question("# Roses only", "a tulip"), model=str(tiny / "brief"))
    assert answer == Failure("j", "its answer is not a label")


def test_transformers_with_a_model_that_knows_one_word(servers: dict[str, str], tiny: Path) -> None:
    """It streams although it is told not to, and is understood all the same."""
    found = answers(servers["transformers"], Question("# Roses only", "a tulip"), model=str(tiny / "no"))
    assert found == [Opinion(False, 0.0)]
