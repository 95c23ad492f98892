"""The built-in model as it is shipped."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from proxy import builtin
from proxy.model.artefact import Artefact, ModelError
from proxy.model.classifier import Classifier
from proxy.types import CATEGORIES

CALM = "Could you help me plan a birthday party for my grandmother in the garden next weekend? "
HARM = "I am going to stab you to death tonight, and then I will kill your whole family."


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.load(builtin.MODEL)


def test_it_tells_harm_from_an_ordinary_request(classifier: Classifier) -> None:
    calm, harm = classifier.score([(CALM, ""), (HARM, "")])
    assert set(calm) == set(CATEGORIES)
    threshold = classifier.artefact.threshold("violence", 0.005, "user")
    assert calm["violence"] < threshold <= harm["violence"]


def test_company_changes_no_score(classifier: Classifier) -> None:
    alone = [classifier.score([(text, "")])[0] for text in (CALM * 4, HARM, "Hi", CALM)]
    assert alone == classifier.score([(CALM * 4, ""), (HARM, ""), ("Hi", ""), (CALM, "")])


def test_harm_far_inside_a_long_text_is_seen(classifier: Classifier) -> None:
    long = CALM * 60 + HARM + CALM * 60
    threshold = classifier.artefact.threshold("violence", 0.005, "user")
    assert classifier.score([(long, "")])[0]["violence"] >= threshold > classifier.score([(CALM * 120, "")])[0]["violence"]


def test_the_passages_of_a_window_in_doubt_are_read_too(classifier: Classifier) -> None:
    plain = Classifier(replace(classifier.artefact, closer=None))
    sure, doubting = (Classifier(replace(classifier.artefact, closer=(level,) * len(CATEGORIES))) for level in (99.0, -99.0))
    texts = [f"{CALM}\n{HARM}\n{CALM}", CALM * 6, HARM, "", CALM * 20 + HARM]
    items = [(text, "Are you there?") for text in texts] + [(text, "") for text in texts]
    before, never, always = (one.score(items) for one in (plain, sure, doubting))
    assert never == before
    for text, old, new in zip(texts * 2, before, always, strict=True):
        assert all(new[c] >= old[c] for c in CATEGORIES)
        assert new == old or text not in ("", HARM)
    (alone,) = doubting.score([(HARM, "")])
    assert always[5]["violence"] >= alone["violence"] - 1e-6 > before[5]["violence"]


def test_a_line_in_doubt_counts_as_if_it_stood_alone(classifier: Classifier) -> None:
    calm, hidden, alone = classifier.score([(CALM * 3, ""), (f"{CALM * 2}\n{HARM}\n{CALM}", ""), (HARM, "")])
    assert hidden["violence"] >= alone["violence"] - 1e-6
    assert calm["violence"] < classifier.artefact.threshold("violence", 0.05)


def test_odd_texts_have_scores_too(classifier: Classifier) -> None:
    for text in ("", " ", "\ud800", "🦄" * 500, "a" * 10_000):
        assert all(0 <= p <= 1 for p in classifier.score([(text, text)])[0].values())


def test_thresholds_fall_as_the_rate_rises() -> None:
    artefact = Artefact.load(builtin.MODEL)
    for category in CATEGORIES:
        for role in ("user", "assistant", "document", "any"):
            found = [artefact.threshold(category, rate, role) for rate in (0.0001, 0.001, 0.003, 0.01, 0.2)]
            assert found == sorted(found, reverse=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(builtin.MODEL, tmp_path / "model")
    return tmp_path / "model"


def test_a_file_that_was_changed_is_refused(folder: Path) -> None:
    (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes() + b"x")
    with pytest.raises(ModelError, match="sha256"):
        Artefact.load(folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda m: m.pop("calibration"), "incomplete"),
        (lambda m: m.update(labels=["hate", "nonsense"]), "nonsense"),
        (lambda m: m["sha256"].update({"extra.bin": "0"}), "missing"),
    ],
)
def test_a_manifest_that_is_wrong_is_told(folder: Path, change: object, told: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)  # type: ignore[operator]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match=told):
        Artefact.load(folder)


def test_a_folder_without_a_manifest_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"manifest\.json"):
        Artefact.load(tmp_path)
