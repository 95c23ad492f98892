"""Judges on this machine: gpt-oss and a chat model, as small as they can be, on the real onnxruntime-genai."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from proxy.config import LocalJudge, check, load_config
from proxy.judge.client import Judge
from proxy.judge.format import Question
from proxy.judge.local import Local
from proxy.types import Failure, Opinion
from proxy.yamlfile import FileError
from tests.server.conftest import Weir, running

pytestmark = pytest.mark.usefixtures("runtime")
ASK = Question("# Gardening only", "How do I grow roses?")
Open = Callable[..., Judge]


@pytest.fixture(scope="session")
def runtime() -> None:
    if importlib.util.find_spec("onnxruntime_genai") is None:
        why = "needs the `genai` extra"
        if os.environ.get("WEIR_CI"):
            pytest.fail(why)
        pytest.skip(why)


@pytest.fixture
async def judge(tiny: Path) -> AsyncIterator[Open]:
    made: list[Judge] = []

    def opened(name: str, **more: Any) -> Judge:
        folder = tiny / f"{name}-onnx"
        settings = LocalJudge(type="judge-onnx", model=str(folder), **{"timeout": 120.0, **more})
        made.append(Judge("local", settings, Local(settings, folder)))
        return made[-1]

    yield opened
    for one in made:
        await one.close()


def speaker(judge: Judge) -> Local:
    assert isinstance(judge._speaker, Local)
    return judge._speaker


async def test_what_it_says(judge: Open) -> None:
    assert await judge("yes").ask(ASK) == Opinion(True, 1.0)  # gpt-oss, in its own form
    assert await judge("no").ask(ASK) == Opinion(False, 0.0)  # any other, by its chat template


async def test_what_is_no_label_is_an_error(judge: Open) -> None:
    """Random weights talk without end, and about nothing."""
    answer = await judge("random", max_tokens=30).ask(ASK)
    assert answer == Failure("local", "was cut off before it had answered")


async def test_one_process_answers_all(judge: Open) -> None:
    one = judge("yes", concurrency=3)
    answers = await asyncio.gather(*(one.ask(Question(ASK.policy, f"text {n}")) for n in range(12)))
    assert answers == [Opinion(True, 1.0)] * 12
    process = speaker(one)._process
    assert process is not None and process.returncode is None
    await one.ask(Question(ASK.policy, "another"))
    assert speaker(one)._process is process
    await one.close()
    assert process.returncode == 0


async def test_a_process_that_has_ended_is_started_again(judge: Open) -> None:
    one = judge("yes")
    await one.ask(ASK)
    process = speaker(one)._process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    assert await one.ask(Question(ASK.policy, "another")) == Opinion(True, 1.0)
    again = speaker(one)._process
    assert again is not None and again.pid != process.pid


async def test_time_is_limited_and_the_next_question_is_asked(judge: Open) -> None:
    one = judge("random", max_tokens=8000, timeout=0.05)
    await one.warm()
    assert await one.ask(ASK) == Failure("local", "timed out")
    process = speaker(one)._process
    assert process is not None and process.returncode is None


async def test_who_cannot_wait_does_not_stop_the_loading(judge: Open) -> None:
    one = judge("yes", timeout=0.01)
    assert await one.ask(ASK) == Failure("local", "timed out")
    await one.warm()
    assert speaker(one)._process is not None


async def test_a_text_that_is_too_long(judge: Open) -> None:
    one = judge("yes")
    answer = await one.ask(Question(ASK.policy, "roses " * 3000))
    assert answer == Failure("local", "the text is longer than the judge can read")
    assert one.breaker.failures == 0


async def test_a_folder_that_cannot_be_loaded(judge: Open, tiny: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny / "yes-onnx", broken)
    (broken / "model.onnx").write_bytes(b"nothing")
    settings = LocalJudge(type="judge-onnx", model=str(broken))
    one = Judge("local", settings, Local(settings, broken))
    answer = await one.ask(ASK)
    assert isinstance(answer, Failure) and answer.reason.startswith("cannot be loaded: ")
    await one.close()


CONFIG = """
version: 1
providers: {{demo: {{type: demo}}}}
detectors:
  "yes": {{type: judge-onnx, model: {folder}/yes-onnx, timeout: 60s}}
  "no": {{type: judge-onnx, model: {folder}/no-onnx, timeout: 60s}}
  random: {{type: judge-onnx, model: {folder}/random-onnx, max_tokens: 30, timeout: 60s}}
routes:
  - {{name: "yes", match: {{model: "yes"}}, provider: demo, policy: "yes"}}
  - {{name: "no", match: {{model: "no"}}, provider: demo, policy: "no"}}
  - {{name: strict, match: {{model: strict}}, provider: demo, policy: strict}}
  - {{name: mild, match: {{model: mild}}, provider: demo, policy: mild}}
"""
POLICY = (
    'version: 1\nrules: [{{id: roses, detect: {{judge: "{}"}}, text: "# Roses", roles: [user], action: block, on_error: {}}}]\n'
)


@pytest.fixture(scope="module")
def weir(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weir]:
    policies = {
        "yes": POLICY.format("yes", "pass"), "no": POLICY.format("no", "block"),
        "strict": POLICY.format("random", "block"), "mild": POLICY.format("random", "pass"),
    }  # fmt: skip
    with running(tmp_path_factory.mktemp("weir"), CONFIG.format(folder=tiny), **policies) as one:
        yield one


def test_it_decides_for_a_proxy(weir: Weir) -> None:
    with openai.OpenAI(base_url=f"{weir.url}/v1", api_key="k", max_retries=0, timeout=120) as client:

        def ask(model: str) -> str:
            made = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "echo: a tulip"}])
            return made.choices[0].message.content or ""

        with pytest.raises(openai.BadRequestError) as refused:
            ask("yes")
        assert refused.value.code == "content_filter" and "roses" in str(refused.value)
        assert ask("no") == ask("mild") == "a tulip"  # what is no label is an error, and the rule says what an error means
        with pytest.raises(openai.InternalServerError) as failed:
            ask("strict")
        assert failed.value.code == "guardrail_unavailable"


def test_a_config_that_cannot_work_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").mkdir()
    path = tmp_path / "config" / "weir.yaml"
    path.write_text(
        "version: 1\nproviders: {d: {type: demo}}\nroutes: [{name: r, provider: d, policy: p}]\n"
        "detectors:\n  local:\n    type: judge-onnx\n    model: nowhere\n"
    )
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "p.yaml").write_text("version: 1\nrules: []\n")
    monkeypatch.setattr(check, "_installed", lambda package: package != "onnxruntime_genai")
    with pytest.raises(FileError) as wrong:
        load_config(path)
    said = {problem.line: problem.message for problem in wrong.value.problems}
    assert "genai_config.json" in said[7] and "pip install 'weir[genai]'" in said[5]
