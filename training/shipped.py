"""The shipped int8 file as a PyTorch model again: what a later phase goes on from where no checkpoint is at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from proxy.types import CATEGORIES

HEADS = 12


def load(folder: Path) -> tuple[Any, Any]:
    """The tokenizer, and the deep half of the model in `folder`, from its int8 weights."""
    graph = onnx.load(str(folder / "model.onnx")).graph
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    weights = {name: value for name, value in held.items() if name.startswith(("bert.", "classifier."))}
    plain = {name: value for name, value in weights.items() if not name.endswith(("_scale", "_zero_point", "_quantized"))}
    for name in held:
        if name.startswith("bert.embeddings.") and name.endswith("_quantized"):
            plain[name.removesuffix("_quantized")] = _table(held, name.removesuffix("_quantized"))
    for node in graph.node:
        if node.op_type == "MatMulInteger" and node.name.startswith(("/bert/", "/classifier/")):
            plain[_weight_of(node.name)] = _table(held, node.input[1].removesuffix("_quantized")).T.copy()
    words, width = plain["bert.embeddings.word_embeddings.weight"].shape
    layers = 1 + max(int(name.split(".")[3]) for name in plain if name.startswith("bert.encoder.layer."))
    config = BertConfig(
        vocab_size=words, hidden_size=width, num_hidden_layers=layers, num_attention_heads=HEADS,
        intermediate_size=len(plain["bert.encoder.layer.0.intermediate.dense.bias"]),
        max_position_embeddings=len(plain["bert.embeddings.position_embeddings.weight"]), num_labels=len(CATEGORIES),
        problem_type="multi_label_classification", pad_token_id=0,
        attn_implementation="eager",  # its backward is four times as fast here as the fused one's
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, classifier_dropout=0.1,
    )  # fmt: skip
    model = BertForSequenceClassification(config)
    missing, unexpected = model.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in plain.items()}, strict=False)
    if unexpected or any("position_ids" not in name for name in missing):
        raise ValueError(f"{folder} is not a model of this recipe: lacks {missing}, has {unexpected}")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]",
        unk_token="[UNK]", mask_token="[MASK]", model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )  # fmt: skip
    return tokenizer, model


def _weight_of(node: str) -> str:
    """ "/bert/encoder/layer.0/output/dense/MatMul_quant" -> "bert.encoder.layer.0.output.dense.weight"."""
    return ".".join(node.split("/")[1:-1]) + ".weight"


def _table(held: dict[str, NDArray[Any]], name: str) -> NDArray[np.float32]:
    scale, zero = held[f"{name}_scale"], held[f"{name}_zero_point"]
    return np.asarray((held[f"{name}_quantized"].astype(np.float32) - zero.astype(np.float32)) * scale, dtype=np.float32)
