"""Where the network runs. No GPU is needed: what a GPU gets is fed on the CPU, and what goes wrong is made to."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest

from proxy import builtin
from proxy.config import load_config
from proxy.model import device, speed
from proxy.model.artefact import HALF, Artefact, ModelError
from proxy.model.classifier import Classifier
from proxy.model.device import CUDA, ROWS, WIDTHS, Bound, Plain
from proxy.model.place import Place, parse
from proxy.model.session import GPU_BATCH, Session
from proxy.server.template import shareable
from proxy.workbench import load_queue
from proxy.yamlfile import FileError

TEXTS = [
    "Could you help me plan a birthday party in the garden?", "I am going to stab you to death tonight.", "Hi",
    "You are all vermin, and the world would be better without you. " * 9,
]  # fmt: skip


@pytest.fixture
def half(tmp_path: Path) -> Path:
    """A model folder that says it has a file in half precision, with a calibration of its own."""
    folder = tmp_path / "model"
    shutil.copytree(builtin.MODEL, folder)
    shutil.copyfile(folder / "model.onnx", folder / HALF)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sha256"][HALF] = hashlib.sha256((folder / HALF).read_bytes()).hexdigest()
    own = json.loads(json.dumps(manifest["calibration"]))
    own["platt"]["violence"] = [2.0, 0.5]
    manifest["half"] = {"calibration": own}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """An onnxruntime that says it has CUDA, and cannot use it, as it is on a machine without a driver."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, "CPUExecutionProvider"])
    monkeypatch.setattr(device, "runtimes", lambda: {"onnxruntime-gpu": "1.31.1"})
    monkeypatch.setattr(device, "_loads", lambda library: False)


def test_devices_are_what_they_say() -> None:
    assert parse("cpu") is None
    assert parse("cuda") == parse("auto") == Place(0)
    assert parse("cuda:3") == Place(3)
    for wrong in ("gpu", "cuda:", "cuda:-1", "CPU", "cuda:1:2", ""):
        with pytest.raises(ValueError, match="cuda:1"):
            parse(wrong)


def config(folder: Path, detector: str) -> Path:
    (folder / "config").mkdir(exist_ok=True)
    (folder / "policies").mkdir(exist_ok=True)
    (folder / "policies" / "empty.yaml").write_text("version: 1\nrules: []\n")
    path = folder / "config" / "weir.yaml"
    path.write_text(
        "version: 1\nproviders: {demo: {type: demo}}\nroutes: [{name: all, provider: demo, policy: empty}]\n"
        f"detectors:\n  safeguard: {{type: onnx, {detector}}}\n"
    )
    return path


def test_a_config_names_device_and_batch(tmp_path: Path) -> None:
    found = load_config(config(tmp_path, "device: 'cuda:1', batch: {max: 32, wait: 3ms}")).safeguard
    assert (found.device, found.batch and (found.batch.max, found.batch.wait)) == ("cuda:1", (32, 0.003))
    with pytest.raises(FileError, match=r"weir\.yaml:5: .*auto"):
        load_config(config(tmp_path, "device: gpu"))


def test_what_holds_a_gpu_is_not_forked(tmp_path: Path) -> None:
    assert shareable(load_config(None)) == (sys.platform == "linux")
    assert not shareable(load_config(config(tmp_path, "device: auto")))


def test_a_gpu_reads_the_half_precision_file_by_its_own_calibration(half: Path) -> None:
    whole = Artefact.load(half)
    found = whole.for_gpu()
    at = found.labels.index("violence")
    assert (found.file, found.precision) == (HALF, "fp16") and found.sha256 == whole.manifest["sha256"][HALF]
    assert (found.scale[at], found.shift[at]) == (2.0, 0.5) != (whole.scale[at], whole.shift[at])
    manifest = json.loads((half / "manifest.json").read_text())
    del manifest["half"]
    (half / "manifest.json").write_text(json.dumps(manifest))
    assert Artefact.load(half).for_gpu().scale == whole.scale


def test_int8_alone_is_no_model_for_a_gpu() -> None:
    artefact = Artefact.load(builtin.MODEL)
    artefact.manifest["sha256"].pop(HALF, None)
    with pytest.raises(ModelError, match="--precision fp16"):
        Classifier(artefact, device="cuda")


def test_without_a_gpu_what_asks_for_one_is_an_error_with_the_fix(half: Path) -> None:
    with pytest.raises(ModelError, match=r"the one for CPUs: pip uninstall .* 'weir\[gpu\]'"):
        Classifier.load(half, device="cuda")


@pytest.mark.usefixtures("cuda")
def test_a_silent_fallback_is_an_error_with_the_fix(half: Path) -> None:
    with pytest.raises(ModelError, match=r"cuda:1, onnxruntime fell back to the CPU: libcuda\.so\.1 is missing"):
        Classifier.load(half, device="cuda:1")


@pytest.mark.usefixtures("cuda")
def test_auto_takes_the_cpu_and_says_why(half: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("weir"), "propagate", True)
    with caplog.at_level(logging.WARNING, "weir"):
        classifier = Classifier.load(half, device="auto")
    assert (classifier.device, classifier.artefact.file) == ("cpu", "model.onnx")
    assert "libcuda" in caplog.records[0].fields["why"]  # type: ignore[attr-defined]
    assert classifier.score([(TEXTS[0], "")])[0]


def test_both_runtimes_at_once_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "runtimes", lambda: {"onnxruntime": "1.32.0", "onnxruntime-gpu": "1.31.1"})
    assert "both installed" in device.why_not() and "pip uninstall" in device.why_not()


def test_missing_libraries_are_those_the_provider_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "empty.c"
    source.write_text("void cublasCreate(void) {}\n")
    for name in ("libcublas.so.13", "libnvrtc.so.13", "libother.so.1"):
        subprocess.run(["gcc", "-shared", "-o", tmp_path / name, f"-Wl,-soname,{name}", source], check=True)
    provider = tmp_path / "libonnxruntime_providers_cuda.so"
    libraries = ["libcublas.so.13", "libnvrtc.so.13", "libother.so.1"]
    command = ["gcc", "-shared", "-o", provider, source, "-Wl,--no-as-needed", f"-L{tmp_path}", *(f"-l:{x}" for x in libraries)]
    subprocess.run(command, check=True)
    assert device.missing_libraries(provider) == ["libcublas.so.13", "libnvrtc.so.13"]
    monkeypatch.setattr(device, "_loads", lambda library: "nvrtc" in library)
    assert device.missing_libraries(provider) == ["libcublas.so.13"]
    provider.write_bytes(b"nothing")
    assert device.missing_libraries(provider) == [provider.name]


def as_on_a_gpu(batch: int) -> tuple[Classifier, Bound]:
    """A classifier that is fed as on a GPU, but on the CPU."""
    classifier = Classifier.load(builtin.MODEL, batch=batch)
    session = classifier.network
    assert isinstance(session, Session) and isinstance(session._runner, Plain)
    session._runner = runner = Bound(session._runner._session, "cpu")
    return classifier, runner


def test_bound_memory_gives_what_plain_arrays_give() -> None:
    plain = Classifier.load(builtin.MODEL)
    bound, _ = as_on_a_gpu(GPU_BATCH)
    items = [(text, "before") for text in TEXTS]
    for embed in (False, True):
        expected, found = plain.score(items, embed=embed), bound.score(items, embed=embed)
        for one, other in zip(expected, found, strict=True):
            assert dict(one) == pytest.approx(dict(other), abs=0.03)  # int8 activations are scaled over the batch
            assert (one.embeddings is None) == (other.embeddings is None) == (not embed)
    alone = [bound.score([item])[0] for item in items]
    assert [dict(one) for one in alone] == [pytest.approx(dict(one), abs=0.03) for one in plain.score(items)]


def test_a_gpu_meets_few_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier, runner = as_on_a_gpu(8)
    shapes = set()
    run = runner.run

    def noted(feed: dict[str, object], wanted: list[str]) -> list[object]:
        shapes.add(feed["input_ids"].shape)  # type: ignore[attr-defined]
        return run(feed, wanted)

    monkeypatch.setattr(runner, "run", noted)
    classifier.score([("word " * n, "") for n in range(1, 21)])
    assert shapes and all(rows in ROWS and width in WIDTHS and rows <= 8 for rows, width in shapes)


def test_on_the_cpu_nothing_is_kept_waiting() -> None:
    queue = load_queue(load_config(None))
    assert (queue.classifier.device, queue._batch, queue._wait) == ("cpu", 1, 0.0)


def test_the_bench_measures_every_batch_and_length() -> None:
    classifier = Classifier.load(builtin.MODEL)
    found = list(speed.measure(classifier, (1, 2), (8, 16), seconds=0))
    assert [(one.batch, one.tokens) for one in found] == [(1, 8), (2, 8), (1, 16), (2, 16)]
    assert all(0 < one.p50 <= one.p95 <= one.p99 and one.texts_per_second > 0 for one in found)


def test_the_runtime_tells_nobody_that_it_is_used(tmp_path: Path) -> None:
    """Left alone it makes an id of the machine and a database of what to send, in the home folder."""
    load = "from proxy.workbench import load_queue; from proxy.config import load_config; load_queue(load_config(None)).close()"
    clean = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    env = {**clean, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", load], check=True, env=env, cwd=Path(__file__).parents[2])
    assert list(tmp_path.rglob("*")) == []
