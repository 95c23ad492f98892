"""From a fine-tuned folder to the shipped one: ONNX, int8, the wide half beside it, calibration, the screen, manifest."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime import SessionOptions
from onnxruntime.quantization import QuantType, quantize_dynamic
from optimum.exporters.onnx import main_export
from sklearn.linear_model import LogisticRegression
from tokenizers import Tokenizer

from proxy.model import calibrate as calibration
from proxy.model.artefact import Artefact
from proxy.model.classifier import Classifier
from proxy.model.screen import Screen
from proxy.types import CATEGORIES
from training import background, screen, wide
from training.data import LANGUAGES, UNKNOWN, Pool, is_held, is_untouched, labels_of, read

ENOUGH = 20  # positives without which a category's mixture is the others' mean
SEED = 7
WINDOW = 64  # tokens: a sentence of harm in a long calm text is diluted in longer ones, and found half as often
POSITIONS = 128  # of the encoder's 512 that are shipped: no window is longer
LONGEST = 1500  # characters of a row that are read here
DOUBTED = 0.03  # of ordinary texts, for each category, are read by their passages too
DEEP_ONLY = np.tile(np.array([1, 0, 0], dtype=np.float32), (len(CATEGORIES), 1))


def export(trained: Path, work: Path, out: Path) -> None:
    """The deep half alone, int8, and the tokenizer."""
    main_export(str(trained), work / "onnx", task="text-classification", do_validation=False)
    out.mkdir(parents=True, exist_ok=True)
    quantize_dynamic(work / "onnx" / "model.onnx", work / "deep.onnx", weight_type=QuantType.QInt8, per_channel=True)
    shorten(work / "deep.onnx")
    tokenizer = json.loads((trained / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["truncation"] = tokenizer["padding"] = None
    (out / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")


def shorten(file: Path) -> None:
    model = onnx.load(str(file))
    table = next(t for t in model.graph.initializer if "position_embeddings.weight" in t.name and len(t.dims) == 2)
    table.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(table)[:POSITIONS].copy(), table.name))
    onnx.save(model, str(file))


def manifest(
    out: Path, name: str, calibration: dict[str, Any], note: str, closer: dict[str, float] | None = None,
    screened: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    more = [file for file in ("screen.onnx" if screened else "", background.FILE) if file and (out / file).exists()]
    files = ("model.onnx", "tokenizer.json", *more)
    digests = {f: hashlib.sha256((out / f).read_bytes()).hexdigest() for f in files}
    body = {
        "format": 1, "name": name, "labels": list(CATEGORIES), "max_tokens": WINDOW, "precision": "int8", "embedding": True,
        **({"background": background.FILE} if background.FILE in more else {}),
        "sha256": digests, "note": note, "calibration": calibration,
        **({"closer": closer} if closer else {}), **({"screen": screened} if screened else {}),
    }  # fmt: skip
    (out / "manifest.json").write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")


def uncalibrated() -> dict[str, Any]:
    """With the identity as calibration, the probability is the sigmoid of the logit."""
    return {"platt": {c: [1.0, 0.0] for c in CATEGORIES}, "thresholds": {c: {"any": {"0.01": 0.5}} for c in CATEGORIES}}


def logits(out: Path, rows: list[dict[str, Any]], what: str) -> NDArray[np.float64]:
    """(rows, categories), of the model in `out`, whose calibration is the identity."""
    p = np.clip(probabilities(Classifier(Artefact.load(out), threads=1), rows, what), 1e-7, 1 - 1e-7)
    return np.log(p / (1 - p))


def probabilities(classifier: Classifier, rows: list[dict[str, Any]], what: str) -> NDArray[np.float64]:
    """(rows, categories)."""
    items = [[(r["text"][:LONGEST], "") for r in rows[at : at + 64]] for at in range(0, len(rows), 64)]
    return np.array([[s[c] for c in CATEGORIES] for scores in screen.each(classifier.score, items, what) for s in scores])


def mixture(deep: NDArray[np.float64], other: NDArray[np.float64], labels: NDArray[np.float32]) -> NDArray[np.float32]:
    """(categories, 3): what each half weighs and the shift, by logistic regression on rows that neither has learnt from."""
    mix = np.full((len(CATEGORIES), 3), np.nan, dtype=np.float32)
    for column in range(len(CATEGORIES)):
        known = labels[:, column] != UNKNOWN
        if labels[known, column].sum() >= ENOUGH:
            halves = np.stack([deep[known, column], other[known, column]], 1)
            model = LogisticRegression(C=1.0).fit(halves, labels[known, column])
            mix[column] = [*np.maximum(model.coef_[0], 0.0), model.intercept_[0]]
    rare = np.isnan(mix[:, 0])
    mix[rare] = np.nanmean(mix, axis=0)
    return mix


def calibrate(out: Path, held: list[dict[str, Any]], calm: list[dict[str, Any]]) -> dict[str, Any]:
    """Platt's scaling on the held tenth; thresholds on ordinary text of other sources, for each voice."""
    labels, held_logits = np.array([labels_of(r) for r in held], dtype=np.float32), logits(out, held, "held")
    calm_logits = logits(out, calm, "calm")
    platt, thresholds = {}, {}
    for column, category in enumerate(CATEGORIES):
        known = labels[:, column] != UNKNOWN
        scale, shift = calibration.platt(held_logits[known, column], labels[known, column])
        platt[category] = [scale, shift]
        chances = 1 / (1 + np.exp(-(calm_logits[:, column] * scale + shift)))
        thresholds[category] = calibration.thresholds(chances, [r["role"] for r in calm])
    return {"platt": platt, "thresholds": thresholds}


def tokens(tokenizer: Tokenizer, some: Sequence[dict[str, Any]]) -> list[NDArray[np.int64]]:
    encoded = tokenizer.encode_batch([r["text"][:LONGEST] for r in some], add_special_tokens=False)
    return [np.array(e.ids, dtype=np.int64) for e in encoded]


def wide_half(rows: Sequence[dict[str, Any]], tokenizer: Tokenizer, work: Path) -> wide.Wide:
    """Learnt from all that the model learns from; kept in `work`."""
    file = work / "wide.npz"
    if not file.exists():
        learnt = [r for r in rows if r["lang"] in LANGUAGES and not is_held(r)]
        found = wide.fit(tokens(tokenizer, learnt), np.array([labels_of(r) for r in learnt], dtype=np.float32))
        np.savez(file, codes=found.codes, scale=found.scale, bias=found.bias)
    kept = np.load(file)
    return wide.Wide(kept["codes"], kept["scale"], kept["bias"])


def kept(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The held rows that decisions may depend on."""
    return [r for r in rows if r["lang"] in LANGUAGES and is_held(r) and not is_untouched(r)]


def ship(
    data: Path, trained: Path, work: Path, out: Path, name: str, note: str, made: Sequence[dict[str, Any]] = (),
    shares: Mapping[str, float] = MappingProxyType({}), before: Path | None = None,
) -> None:  # fmt: skip
    """`made`: rows beside the pool, and how often the screen's texts are drawn of them. `before`: the screen that the new one
    goes on from."""
    export(trained, work, out)
    rows = list(read(data / "train"))
    held, calm = kept(rows), list(read(data / "calibration"))
    tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
    special = tuple(int(tokenizer.token_to_id(t)) for t in ("[CLS]", "[SEP]"))
    other = wide_half([*rows, *made], tokenizer, work)

    def put(mix: NDArray[np.float32], calibration: dict[str, Any]) -> None:
        model = wide.graft(onnx.load(str(work / "deep.onnx")), other, mix, special)
        onnx.save(model, str(out / "model.onnx"))
        manifest(out, name, calibration, note)

    put(DEEP_ONLY, uncalibrated())
    deep_logits = logits(out, held, "deep")
    wide_logits = other.logits([one[: wide.MAX_TOKENS] for one in tokens(tokenizer, held)]).astype(np.float64)
    mix = mixture(deep_logits, wide_logits, np.array([labels_of(r) for r in held], dtype=np.float32))
    check(put, out, other, tokens(tokenizer, held[:64]), held[:64])
    put(mix, uncalibrated())
    closer = dict(zip(CATEGORIES, np.quantile(logits(out, calm, "doubt"), 1 - DOUBTED, axis=0).round(3).tolist(), strict=True))
    manifest(out, name, uncalibrated(), note, closer)
    found = calibrate(out, held, calm)
    (out / background.FILE).unlink(missing_ok=True)  # the last model's
    manifest(out, name, found, note, closer)
    background.write(data, out)
    seen = screened(data, work, out, held, calm, Pool.load(data / "train", made, shares), before)
    manifest(out, name, found, note, closer, seen)


def screened(
    data: Path, work: Path, out: Path, held: list[dict[str, Any]], calm: list[dict[str, Any]], pool: Pool, before: Path | None
) -> dict[str, Any]:
    """Trains and writes the screen; what the manifest says of it, with what is kept against what is sent on. The one `before`
    stays where it does better, with a cut of its own for the new classifier."""
    classifier = Classifier(Artefact.load(out), threads=1)
    rounds, epochs = screen.AGAIN if before else (screen.SCORED, screen.EPOCHS)
    scored = screen.scored_rounds(classifier, data, work, pool, SEED, rounds)
    net = screen.load(before) if before else screen.begin(screen.word_vectors(work / "onnx" / "model.onnx"))
    screen.learn(net, scored, SEED, epochs)
    screen.export(net, out / "screen.onnx", work)
    files = (before, out / "screen.onnx") if before else (out / "screen.onnx",)
    file, seen = best(classifier, files, held, calm)
    if file != out / "screen.onnx":
        shutil.copyfile(file, out / "screen.onnx")
    return seen


def best(
    classifier: Classifier, files: Sequence[Path], held: list[dict[str, Any]], calm: list[dict[str, Any]]
) -> tuple[Path, dict[str, Any]]:
    """Of the screens the one that sends the least on, and what the manifest says of it."""
    floor = {c: classifier.artefact.threshold(c, screen.RATE_AT) for c in CATEGORIES}
    reached = probabilities(classifier, held, "held") >= [floor[c] for c in CATEGORIES]
    caught = reached & (np.array([labels_of(r) for r in held]) == 1)
    found = []
    for file in files:
        reader = Screen(file, [], floor, SessionOptions())
        of_held, of_calm = (screen.risks(classifier, reader, [r["text"][:LONGEST] for r in some]) for some in (held, calm))
        cut, curve = screen.cuts(of_held, caught).tolist(), screen.curve(of_held, caught, of_calm)
        sent_on = next(point["sent_on"] for point in curve if point["kept"] == screen.KEPT)
        found.append((sent_on, file, cut, curve))
    _, file, cut, curve = min(found, key=lambda one: one[0])
    return file, {"file": "screen.onnx", "cut": cut, "floor": floor, "kept": screen.KEPT, "curve": curve}


def check(put: Any, out: Path, other: wide.Wide, ids: list[NDArray[np.int64]], rows: list[dict[str, Any]]) -> None:
    """The graph counts what `Wide.logits` counts."""
    put(np.tile(np.array([0, 1, 0], dtype=np.float32), (len(CATEGORIES), 1)), uncalibrated())
    short = [i for i, one in enumerate(ids) if len(one) <= WINDOW - 2]
    found = logits(out, [rows[i] for i in short], "check")
    expected = np.clip(other.logits([ids[i] for i in short]), -16, 16)
    np.testing.assert_allclose(np.clip(found, -16, 16), expected, atol=0.05)
