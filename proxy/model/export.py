"""From a Hugging Face sequence classifier to a folder that Weir loads. Needs the `export` extra."""

from __future__ import annotations

import hashlib
import inspect
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from proxy.model.artefact import NETWORKS, Artefact, ModelError
from proxy.types import CATEGORIES

Precision = Literal["fp32", "fp16", "int8"]

# What safeguards call their labels. None: says that nothing is wrong, or nothing that is ours.
KNOWN: dict[str, str | None] = {
    "toxic": "harassment", "toxicity": "harassment", "severe_toxic": "harassment", "severe_toxicity": "harassment",
    "obscene": "harassment", "insult": "harassment", "offensive": "harassment", "hap": "harassment", "abuse": "harassment",
    "identity_hate": "hate", "identity_attack": "hate", "hate": "hate", "hateful": "hate", "hate_speech": "hate",
    "threat": "violence", "violent": "violence", "sexual_explicit": "sexual", "nsfw": "sexual", "self-harm": "self_harm",
    "prompt_injection": "injection", "malicious": "jailbreak",
    "safe": None, "benign": None, "neutral": None, "normal": None, "legit": None, "clean": None, "none": None, "ok": None,
    "non_toxic": None, "not_toxic": None, "non_hate": None, "not_hate": None, "non_hateful": None, "not_hateful": None,
    **{category: category for category in CATEGORIES},
}  # fmt: skip


def export(source: str, out: Path, precision: Precision, name: str, labels: Mapping[str, str | None] | None) -> Artefact:
    """`source`: a folder or a name of the hub; `labels`: its label -> our category, or None to leave it out.

    Raises ModelError: the extra is missing, a label has no category, the tokenizer cannot be used.
    """
    try:
        from optimum.exporters.onnx import main_export
        from transformers import AutoConfig, AutoTokenizer
    except ImportError:
        raise ModelError("the export needs more packages: pip install 'weir[export]' (in a venv of its own is best)") from None
    config = AutoConfig.from_pretrained(source)
    columns = mapping({int(i): str(label) for i, label in config.id2label.items()}, labels)
    tokenizer = AutoTokenizer.from_pretrained(source, use_fast=True)
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(f"{source} has only a slow tokenizer; convert it to tokenizer.json with transformers first")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        main_export(source, work, task="text-classification", do_validation=False)
        _write(Path(work) / "model.onnx", out / "model.onnx", precision)
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.save(str(out / "tokenizer.json"))
    first = tokenizer.cls_token_id if tokenizer.cls_token_id is not None else tokenizer.bos_token_id
    last = tokenizer.sep_token_id if tokenizer.sep_token_id is not None else tokenizer.eos_token_id
    if first is None or last is None:
        raise ModelError(f"{source}: its tokenizer has no token for the beginning or the end of a text")
    longest = min(int(getattr(config, "max_position_embeddings", 512)), int(tokenizer.model_max_length), 512)
    single = getattr(config, "problem_type", None) != "multi_label_classification"
    manifest = {
        "format": 1, "name": name, "labels": list(columns), "max_tokens": min(256, longest - 4), "precision": precision,
        "tokens": {"first": int(first), "last": int(last), "pad": int(tokenizer.pad_token_id or 0)}, "context": False,
        "head": {"kind": "softmax" if single and config.num_labels > 1 else "sigmoid", "columns": list(columns.values())},
        "sha256": digests(out), "note": f"exported from {Path(source).name}",
        "calibration": {"platt": {c: [1.0, 0.0] for c in columns}, "thresholds": {}},
    }  # fmt: skip
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return Artefact.load(out)


def mapping(own: Mapping[int, str], given: Mapping[str, str | None] | None) -> dict[str, list[int]]:
    """Our category -> the columns of the network's labels. Raises ModelError."""
    found: dict[str, list[int]] = {}
    unknown = []
    for column, label in sorted(own.items()):
        key = label.lower().replace(" ", "_").replace("-", "_")
        if given is not None and label in given:
            category = given[label]
        elif given is None and (label in KNOWN or key in KNOWN):
            category = KNOWN.get(label, KNOWN.get(key))
        else:
            unknown.append(label)
            continue
        if category is None:
            continue
        if category not in CATEGORIES:
            raise ModelError(f"unknown category {category!r} for label {label!r}; Weir knows {', '.join(CATEGORIES)}")
        found.setdefault(category, []).append(column)
    if unknown:
        example = "\n".join(f"  {label}: {'null' if i else 'jailbreak'}" for i, label in enumerate(own.values()))
        raise ModelError(
            f"what do these labels mean: {', '.join(unknown)}? Give --labels a file, a category or null for each:\n{example}"
        )
    if not found:
        raise ModelError(f"no label of {', '.join(own.values())} is mapped to a category; give some with --labels")
    return found


def digests(folder: Path) -> dict[str, str]:
    names = [n for n in (*NETWORKS, "tokenizer.json", "screen.onnx") if (folder / n).exists()]
    return {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in names}


def _write(source: Path, target: Path, precision: Precision) -> None:
    if precision == "int8":
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(source, target, weight_type=QuantType.QInt8, per_channel=True)
    elif precision == "fp16":
        import onnx
        from onnxruntime.transformers.float16 import convert_float_to_float16

        onnx.save(convert_float_to_float16(onnx.load(str(source)), keep_io_types=True), str(target))
    else:
        shutil.copyfile(source, target)


def source_logits(source: str, texts: list[str], max_tokens: int) -> Any:
    """(texts, labels) of the PyTorch model, for the comparison."""
    try:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
    except ImportError:
        raise ModelError("the comparison needs more packages: pip install 'weir[export]'") from None
    tokenizer, model = AutoTokenizer.from_pretrained(source), AutoModelForSequenceClassification.from_pretrained(source).eval()
    taken = inspect.signature(model.forward).parameters
    found = []
    with torch.no_grad():
        for text in texts:
            inputs = tokenizer(text, truncation=True, max_length=max_tokens, return_tensors="pt")
            found.append(model(**{k: v for k, v in inputs.items() if k in taken}).logits[0].float().numpy())
    return found
