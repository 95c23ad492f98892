"""Exports of tiny models, made here, of the architectures that safeguards have. Needs the `export` extra in the interpreter that
WEIR_EXPORT_PYTHON names (in this one, if it is not set)."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from proxy.model.artefact import Artefact, ModelError
from proxy.model.classifier import Classifier
from proxy.model.export import mapping
from proxy.types import CATEGORIES

MAKE = Path(__file__).with_name("make_tiny.py")
KINDS = ("bert", "roberta", "deberta-v2", "distilbert", "xlm-roberta", "modernbert")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def python() -> str:
    named = os.environ.get("WEIR_EXPORT_PYTHON")
    if named:
        return named
    if importlib.util.find_spec("optimum") and importlib.util.find_spec("torch"):
        return sys.executable
    if os.environ.get("WEIR_CI"):
        pytest.fail("WEIR_EXPORT_PYTHON must name an interpreter with the `export` extra")
    pytest.skip("needs the `export` extra: set WEIR_EXPORT_PYTHON")


@pytest.fixture(scope="module")
def tiny(python: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    run(python, str(MAKE), str(folder), *KINDS)
    return folder


def run(python: str, *arguments: str) -> str:
    environment = dict(os.environ, PYTHONPATH=str(ROOT), HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="", OMP_NUM_THREADS="1")
    done = subprocess.run([python, *arguments], env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rows(folder: Path) -> Path:
    file = folder / "rows.jsonl"
    words = "the river rises over stones and you are a fool who will burn".split()
    with file.open("w") as out:
        for i in range(400):
            text = " ".join(words[(i * 7 + j * (i % 5 + 1)) % len(words)] for j in range(3 + i % 9))
            labels = {"harassment": int("fool" in text), "jailbreak": int("burn" in text)}
            out.write(json.dumps({"id": str(i), "text": text, "role": "user", "labels": labels}) + "\n")
    return file


@pytest.fixture(scope="module")
def exported(python: str, tiny: Path) -> Path:
    """Every kind in float32, the first in the other precisions too, each by the command; one interpreter for all, as torch is slow."""
    out = tiny / "out"
    commands = [[str(tiny / kind), str(out / kind), "--precision", "fp32", "--name", f"tiny-{kind}"] for kind in KINDS]
    commands += [[str(tiny / "bert"), str(out / p), "--precision", p] for p in ("fp32", "fp16", "int8")]
    weir(python, [["model", "export", *command] for command in commands])
    return out


def weir(python: str, commands: list[list[str]]) -> list[tuple[int, str]]:
    """Exit code and output of each."""
    script = (
        "import json, sys; from click.testing import CliRunner; from proxy.cli import main\n"
        "done = [CliRunner().invoke(main, c) for c in json.loads(sys.argv[1])]\n"
        "print('\\n' + json.dumps([[d.exit_code, d.output + repr(d.exception or '')] for d in done]))"
    )
    return [(code, told) for code, told in json.loads(run(python, "-c", script, json.dumps(commands)).splitlines()[-1])]


def test_an_export_is_its_source_and_another_model_is_not(python: str, tiny: Path, exported: Path) -> None:
    data = str(rows(tiny))
    verify = [["model", "verify", str(exported / k), "--source", str(tiny / k), "--data", data, "--write"] for k in KINDS]
    other = ["model", "verify", str(exported / "bert"), "--source", str(tiny / "deberta-v2"), "--data", data]
    with pytest.raises(ModelError, match="weir model verify"):
        Artefact.load(exported / "int8").threshold("jailbreak", 0.01)
    *same, wrong = weir(python, [*verify, other])
    assert [(code, told.split()[0]) for code, told in same] == [(0, "fine")] * len(KINDS), same
    assert wrong[0] == 1 and "NOT the same" in wrong[1]


@pytest.mark.parametrize("kind", KINDS)
def test_an_export_is_loaded_where_nothing_of_the_export_is(exported: Path, kind: str) -> None:
    classifier = Classifier.load(exported / kind)
    assert classifier.artefact.name == f"tiny-{kind}"
    short, long = classifier.score([("you are a fool", "a context"), ("the river " * 400, "")])
    assert set(short) == set(classifier.artefact.labels) and all(0 <= p <= 1 for p in (*short.values(), *long.values()))


def test_int8_is_near_and_fp16_nearer(exported: Path, tmp_path: Path) -> None:
    texts = [(json.loads(line)["text"], "") for line in rows(tmp_path).read_text().splitlines()[:40]]
    found = {p: [s["jailbreak"] for s in Classifier.load(exported / p).score(texts)] for p in ("fp32", "fp16", "int8")}
    far = {p: max(abs(a - b) for a, b in zip(found[p], found["fp32"], strict=True)) for p in found}
    assert far["fp16"] < 0.03 and far["fp16"] < far["int8"]


def test_the_built_in_model_gets_a_file_for_a_gpu(python: str, tmp_path: Path) -> None:
    data, out = str(rows(tmp_path)), str(tmp_path / "half")
    exported, refused, verified = weir(
        python,
        [
            ["model", "export", "builtin", out, "--precision", "fp16"],
            ["model", "export", "builtin", out],
            ["model", "verify", out, "--data", data, "--write"],
        ],
    )
    assert exported[0] == 0 and "with model.fp16.onnx for a GPU" in exported[1]
    assert refused[0] == 2 and "already" in refused[1]
    assert verified[0] == 0 and verified[1].startswith("model.fp16.onnx: fine")
    artefact = Artefact.load(tmp_path / "half")
    whole, half = (Classifier(one) for one in (artefact, artefact.for_gpu()))
    assert half.artefact.precision == "fp16" and half.artefact.table != whole.artefact.table
    texts = [("I am going to stab you to death tonight. " * 20, ""), ("How do I bake bread?", "a context")]
    for one, other in zip(whole.score(texts, embed=True), half.score(texts, embed=True), strict=True):
        raw = [(whole, one), (half, other)]
        logits = [[np.log(s[c] / (1 - s[c])) for c in CATEGORIES] for _, s in raw]
        plain = [(np.array(x) - c.artefact.shift) / c.artefact.scale for x, (c, _) in zip(logits, raw, strict=True)]
        assert np.abs(plain[0] - plain[1]).max() < 0.6
        assert (one.embeddings.astype(float) * other.embeddings.astype(float)).sum(1).min() > 0.99  # type: ignore[union-attr]


def test_labels_are_mapped_or_asked_about() -> None:
    assert mapping({0: "toxic", 1: "Severe Toxic", 2: "threat", 3: "neutral"}, None) == {"harassment": [0, 1], "violence": [2]}
    assert mapping({0: "LABEL_0", 1: "LABEL_1"}, {"LABEL_0": None, "LABEL_1": "jailbreak"}) == {"jailbreak": [1]}
    with pytest.raises(ModelError, match=r"LABEL_0, LABEL_1\?(?s:.*)LABEL_1: null"):
        mapping({0: "LABEL_0", 1: "LABEL_1"}, None)
    with pytest.raises(ModelError, match="unknown category 'jail'"):
        mapping({0: "x"}, {"x": "jail"})
    with pytest.raises(ModelError, match="no label"):
        mapping({0: "safe"}, None)
