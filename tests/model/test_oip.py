"""The classifier on a model server: a real one of KServe's, and one that fails in every way.

KServe's packages are many and pinned, so they are in a venv of their own: WEIR_OIP_PYTHON is its interpreter."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy import builtin
from proxy.config import OipDetector, load_config
from proxy.doctor import neighbours
from proxy.model.artefact import Artefact, ModelError
from proxy.model.classifier import Classifier
from proxy.model.learner import Learner
from proxy.model.network import Unavailable
from proxy.model.oip import Server, on_a_server
from tests.server.conftest import MODEL_POLICY, Upstream, Weir, answer, free_port, home, start, upstream, whole  # noqa: F401

HARM = "I will kill you and your whole family"
LONG = "The meeting is moved to Thursday at ten. " * 40 + "\n" + HARM
TEXTS = [(HARM, ""), ("What is the capital of France?", ""), (LONG, "He said"), ("", ""), ("Guten Tag! 你好", "")]


class ModelServer:
    def __init__(self, python: str, log: Path) -> None:
        self._python, self._log, self.port = python, log, free_port()
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        script = Path(__file__).parent / "serve_oip.py"
        command = [self._python, str(script), str(self.port), str(builtin.MODEL / "model.onnx")]
        with self._log.open("ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out)
        for _ in range(300):
            assert self.process.poll() is None, self._log.read_text()
            try:
                with urllib.request.urlopen(f"{self.url}/v2/models/safeguard/ready", timeout=5):
                    return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("not ready: " + self._log.read_text())

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(10)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    python = os.environ.get("WEIR_OIP_PYTHON")
    if not python:
        if os.environ.get("WEIR_CI"):
            pytest.fail("there is no model server, and CI must have one")
        pytest.skip("WEIR_OIP_PYTHON names no interpreter with kserve and onnxruntime")
    one = ModelServer(python, tmp_path_factory.mktemp("oip") / "log")
    yield one
    one.stop()


@contextlib.contextmanager
def served(url: str, model: str = "safeguard", artefact: Artefact | None = None, **more: Any) -> Iterator[Classifier]:
    one = on_a_server(settings(url, model, **more), artefact or Artefact.load(builtin.MODEL))
    try:
        yield one
    finally:
        one.network.close()


def settings(url: str, model: str = "safeguard", **more: Any) -> OipDetector:
    return OipDetector(type="oip", base_url=url, model=model, **more)


@pytest.fixture(scope="module")
def local() -> Classifier:
    return Classifier.load(builtin.MODEL, screened=True)


@pytest.mark.parametrize(("model", "gives"), [("safeguard", "logits"), ("undescribed", "logits"), ("chances", "probabilities")])
def test_its_scores_are_those_of_the_same_network_here(server: ModelServer, local: Classifier, model: str, gives: str) -> None:
    with served(server.url, model, gives=gives) as there:
        assert there.network.check() == ""
        for one in TEXTS:
            (expected,), (found,) = local.score([one]), there.score([one])
            assert found == pytest.approx(expected, abs=0.15)  # int8 activations are scaled over a batch, and theirs are others
        (alone,) = there.score([TEXTS[0]])
        assert alone == pytest.approx(local.score([TEXTS[0]])[0], abs=1e-4)
        assert there.score([TEXTS[1]], [True]) == [{}]  # the screen is here
        assert there.artefact.embeds == (model != "chances")


def test_its_embeddings_teach_a_category(server: ModelServer) -> None:
    violates = ["Take 40 mg twice a day with food.", "Two tablets in the morning.", "Double the dose tonight."]
    allows = ["Ask your pharmacist how much.", "Our bottle comes in packs of six.", "We open at nine."]
    with served(server.url) as there:
        head = Learner(there).learn(violates, allows)
        like, unlike = (
            there.score([(t, "")], embed=True)[0].embeddings for t in ("Take three pills now.", "Is it far from here?")
        )
    assert like is not None and unlike is not None
    assert head.scores(like).max() > 10 * head.scores(unlike).max()
    with served(server.url, "chances") as bare, pytest.raises(ModelError, match="no embedding output"):
        Learner(bare).learn(violates, allows)


def test_another_model_than_the_manifests_is_noticed(server: ModelServer, tmp_path: Path) -> None:
    shutil.copytree(builtin.MODEL, tmp_path / "other")
    (tmp_path / "other" / "model.onnx").unlink()  # it is on the server, and need not be here
    path = tmp_path / "other" / "manifest.json"
    manifest = json.loads(path.read_text())
    with served(server.url, artefact=Artefact.load(tmp_path / "other", elsewhere=True)) as there:
        assert there.score([(HARM, "")])[0]["violence"] > 0.9
    path.write_text(json.dumps({**manifest, "labels": manifest["labels"][:5]}))
    with pytest.raises(ModelError, match="gives 9 numbers a text, .* has 5 labels"):
        on_a_server(settings(server.url), Artefact.load(tmp_path / "other", elsewhere=True))
    with pytest.raises(ModelError, match="has no output 'scores'; it has embedding, logits"):
        on_a_server(settings(server.url, logits="scores"), Artefact.load(builtin.MODEL))
    with served(server.url, "nobody") as absent:
        assert absent.network.check() == "answered with status 404"


async def test_the_doctor_asks_for_it(server: ModelServer, tmp_path: Path) -> None:
    path = home(tmp_path, judged=MODEL_POLICY, lenient=MODEL_POLICY.replace("name: judged", "name: lenient"))
    said = []
    for url in (server.url, "http://127.0.0.1:1"):
        path.write_text(
            CONFIG.replace("fake, policy", "demo, policy").format(upstream=1, url=url)
            + "  - {name: d, provider: demo, policy: judged}\n"
        )
        path.write_text(path.read_text().replace("providers:\n", "providers:\n  demo: {type: demo}\n"))
        said += [one for one in await neighbours.check(load_config(path)) if one.about == "detectors.safeguard"]
    assert [one.level for one in said] == ["fine", "wrong"]
    assert "cannot be reached" in str(said[1])


LOGITS = {"name": "logits", "datatype": "FP32", "shape": [1, 9], "data": [1.0] * 9}
FAILURES: list[tuple[list[bytes | float | None], str]] = [
    (whole({"error": "secret"}, "500 Internal Server Error"), "answered with status 500"),
    (whole(b"<html>"), "its answer is not what was asked for"),
    (whole({"outputs": []}), "its answer is not what was asked for"),
    (whole({"outputs": [{**LOGITS, "data": [1.0] * 8}]}), "its answer is not what was asked for"),
    (whole({"outputs": [{**LOGITS, "data": ["x"] * 9}]}), "its answer is not what was asked for"),
    ([2.0, *whole({"outputs": [LOGITS]})], "timed out"),
    ([None], "cannot be reached (RemoteDisconnected)"),
]


@pytest.mark.parametrize(("steps", "reason"), FAILURES)
def test_every_failure_is_a_reason(upstream: Upstream, steps: list[bytes | float | None], reason: str) -> None:  # noqa: F811
    upstream.script = lambda body: steps if body else whole({"name": "m", "inputs": [], "outputs": []})
    with served(f"http://127.0.0.1:{upstream.port}", "m", timeout=0.5) as there, pytest.raises(Unavailable) as told:
        there.score([(HARM, "")])
    assert str(told.value) == reason


def test_a_kept_connection_that_was_closed_is_no_failure(upstream: Upstream) -> None:  # noqa: F811
    upstream.script = lambda body: [*whole({"outputs": [LOGITS]}), None] if body else whole({"name": "m"})
    with served(f"http://127.0.0.1:{upstream.port}", "m") as there:
        for _ in range(3):
            assert there.score([(HARM, "")])


def test_a_forked_worker_has_connections_of_its_own(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    upstream.script = lambda body: whole({"outputs": [LOGITS]} if body else {"name": "m"})
    one = Server.of(settings(f"http://127.0.0.1:{upstream.port}", "m"))
    one.fit(Artefact.load(builtin.MODEL))
    kept = list(one._idle)
    assert len(kept) == 1
    monkeypatch.setattr(os, "getpid", lambda: 1)
    one.ask([([2, 3], [0, 0])], False)
    assert len(one._idle) == 1 and not set(one._idle) & set(kept)
    one.close()
    kept[0].close()


def test_one_that_does_not_answer_is_left_alone(upstream: Upstream) -> None:  # noqa: F811
    upstream.script = lambda body: whole({}, "503 Service Unavailable")
    with served(f"http://127.0.0.1:{upstream.port}", "m") as there:
        reasons = []
        for _ in range(8):
            with pytest.raises(Unavailable) as told:
                there.score([(HARM, "")])
            reasons.append(str(told.value))
        asked = len(upstream.requests)
        assert reasons[0] == "answered with status 503" and reasons[-1] == "not asked: it has not answered for a while"
        upstream.script = lambda body: whole({"outputs": [LOGITS]} if body else {"name": "m"})
        assert there.network.check() in ("", "answered with status 503") and asked < len(upstream.requests) + 8
        for _ in range(100):
            if there.network.check() == "":
                break
            time.sleep(0.05)
        assert there.score([(HARM, "")])  # who says that it is there again is asked again


CONFIG = """
version: 1
providers:
  fake: {{type: openai, base_url: "http://127.0.0.1:{upstream}/v1"}}
detectors:
  safeguard: {{type: oip, base_url: "{url}", model: safeguard, timeout: 5s}}
routes:
  - {{name: lenient, match: {{model: "lenient"}}, provider: fake, policy: lenient}}
  - {{name: main, match: {{model: "*"}}, provider: fake, policy: judged}}
"""


def asked(weir: Weir, text: str, model: str = "m") -> tuple[int, str]:
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": text}]}).encode()
    request = urllib.request.Request(weir.url + "/v1/chat/completions", body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, ""
    except urllib.error.HTTPError as refused:
        return refused.code, str(json.loads(refused.read())["error"]["code"])


def readiness(weir: Weir) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(weir.url + "/readyz", timeout=20) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as refused:
        return refused.code, json.loads(refused.read())


def test_weir_judges_by_it_and_goes_by_the_policy_while_it_is_away(
    server: ModelServer,
    upstream: Upstream,  # noqa: F811
    tmp_path: Path,
) -> None:
    upstream.script = lambda body: whole(answer("Fine."))
    path = home(tmp_path, judged=MODEL_POLICY, lenient=MODEL_POLICY.replace("name: judged", "name: lenient\non_error: pass"))
    path.write_text(CONFIG.format(upstream=upstream.port, url=server.url))
    weir = start(path, tmp_path / "log")
    try:
        assert asked(weir, HARM) == (400, "content_filter")
        assert asked(weir, "What should I cook tonight?") == (200, "")
        server.stop()
        assert asked(weir, f"{HARM}, again") == (503, "guardrail_unavailable")
        assert asked(weir, f"{HARM}, once more", "lenient") == (200, "")
        status, told = readiness(weir)
        assert status == 200 and told["model_error"].startswith("cannot be reached")
        said = weir.get("/metrics")
        assert 'weir_network_answers_total{answer="failed",detector="safeguard"}' in said
        assert 'weir_not_inspected_total{reason="cannot be reached' in said
        assert HARM not in (tmp_path / "log").read_text()
        server.start()
        for _ in range(100):
            if "model_error" not in readiness(weir)[1]:
                break
            time.sleep(0.1)
        assert asked(weir, f"{HARM}, at last") == (400, "content_filter")
    finally:
        weir.stop()


def test_a_weir_that_never_met_its_model_is_not_ready(upstream: Upstream, tmp_path: Path) -> None:  # noqa: F811
    upstream.script = lambda body: whole({}, "503 Service Unavailable")
    path = home(tmp_path, judged=MODEL_POLICY, lenient=MODEL_POLICY.replace("name: judged", "name: lenient"))
    path.write_text(CONFIG.format(upstream=1, url=f"http://127.0.0.1:{upstream.port}"))
    ready = upstream.script

    def later(body: dict[str, Any]) -> list[bytes | float | None]:
        return whole({"name": "safeguard"}) if len(upstream.requests) > before + 3 else ready(body)

    before = len(upstream.requests)
    upstream.script = later
    weir = start(path, tmp_path / "log")  # waits until it is
    weir.stop()
    assert len(upstream.requests) > before + 3
    assert "the classifier's server does not answer yet" in (tmp_path / "log").read_text()
