"""The wide half: hashed n-grams of the tokens in a linear model, computed inside the ONNX graph.

What single words and their neighbours say is learnt in a minute and exactly; the encoder is left with what they cannot say.
The features are those of TF-IDF (idf weights, unit length), but over the encoder's own token ids, so that the graph needs no
second tokenizer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from tqdm import tqdm

from proxy.types import CATEGORIES
from training.data import UNKNOWN

SLOTS = 1 << 17
# One multiplier a position; an n-gram of k tokens is hashed with the first k of its row. All sums stay far inside int64.
MULTIPLIERS = ((2_654_435,), (1_000_003, 31_415_927))
OFFSETS = (0, 7)
PENALTY = 6.0  # inverse strength of the regularisation
MAX_TOKENS = 128


def slots(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """The slots of all n-grams of one text's tokens."""
    found = []
    for multipliers, offset in zip(MULTIPLIERS, OFFSETS, strict=True):
        count = len(ids) - len(multipliers) + 1
        if count > 0:
            found.append((sum(ids[i : i + count] * m for i, m in enumerate(multipliers)) + offset) % SLOTS)
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Wide:
    """`table`: float16 (SLOTS, categories + 1), the weight of each slot in each category, and its squared idf. `bias`: one a
    category. The logit is the sum of the weights over the root of the sum of the squares, plus the bias."""

    table: NDArray[np.float16]
    bias: NDArray[np.float32]

    def logits(self, texts: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        rows = np.zeros((len(texts), self.table.shape[1]), dtype=np.float32)
        for index, ids in enumerate(texts):
            rows[index] = self.table[slots(ids)].astype(np.float32).sum(0)
        return np.asarray(rows[:, :-1] / np.sqrt(np.maximum(rows[:, -1:], 1e-6)) + self.bias)


def fit(texts: list[NDArray[np.int64]], labels: NDArray[np.float32]) -> Wide:
    """One logistic regression a category, over the rows whose label is known."""
    grams = [slots(ids[:MAX_TOKENS]) for ids in texts]
    seen = np.zeros(SLOTS)
    for one in grams:
        seen[np.unique(one)] += 1
    idf = np.where(seen >= 2, np.log((1 + len(grams)) / (1 + seen)) + 1, 0.0)
    features = _features(grams, idf)
    table = np.zeros((SLOTS, len(CATEGORIES) + 1), dtype=np.float16)
    table[:, -1] = idf**2
    bias = np.zeros(len(CATEGORIES), dtype=np.float32)
    for column, _ in enumerate(tqdm(CATEGORIES, desc="wide", unit="category")):
        known = labels[:, column] != UNKNOWN
        model = LogisticRegression(C=PENALTY, solver="liblinear", class_weight="balanced", random_state=0)
        model.fit(features[known], labels[known, column])
        table[:, column] = model.coef_[0] * idf
        bias[column] = model.intercept_[0]
    return Wide(table, bias)


def _features(grams: list[NDArray[np.int64]], idf: NDArray[np.float64]) -> Any:
    columns = np.concatenate(grams)
    ends = np.cumsum([len(g) for g in grams])
    values = idf[columns]
    rows = np.repeat(np.arange(len(grams)), np.diff(ends, prepend=0))
    length = np.sqrt(np.maximum(np.bincount(rows, values**2, len(grams)), 1e-6))
    return csr_matrix(((values / length[rows]).astype(np.float32), (rows, columns)), shape=(len(grams), SLOTS))


# -- the same in ONNX


def graft(deep: onnx.ModelProto, wide: Wide, mix: NDArray[np.float32], special: tuple[int, ...]) -> onnx.ModelProto:
    """`deep` with the wide half beside it: logits = mix[0] * deep + mix[1] * wide + mix[2], a row of three a category."""
    graph = deep.graph
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def constant(name: str, value: Any) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value), f"wide/{name}"))
        return f"wide/{name}"

    def node(kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [f"wide/{name}"], f"wide/{name}", **attributes))
        return f"wide/{name}"

    def int64(name: str, *values: int) -> str:
        return constant(name, np.array(values, dtype=np.int64))

    ids, kind = "input_ids", "token_type_ids"
    zero, one = int64("zero", 0), int64("one", 1)
    # A context is of type 0 and the text then of type 1; a text alone is of type 0. Only the text counts.
    last = node("ReduceMax", [kind, one], "last", keepdims=1)
    counted = node(
        "And",
        [node("Equal", [kind, last], "of_text"), node("Cast", ["attention_mask"], "there", to=TensorProto.BOOL)],
        "in_text",
    )
    for token in special:
        other = node("Not", [node("Equal", [ids, int64(f"special{token}", token)], f"is{token}")], f"not{token}")
        counted = node("And", [counted, other], f"counted{token}")
    table = constant("table", wide.table)
    sums = []
    for multipliers, offset in zip(MULTIPLIERS, OFFSETS, strict=True):
        size = len(multipliers)
        key, valid = "", ""
        for place, multiplier in enumerate(multipliers):
            tag = f"{size}_{place}"
            end = int64(f"end{tag}", -(size - 1 - place)) if place < size - 1 else int64(f"end{tag}", 1 << 40)
            start = int64(f"start{tag}", place)
            part = node("Slice", [ids, start, end, one], f"ids{tag}")
            part = node("Mul", [part, int64(f"multiplier{tag}", multiplier)], f"product{tag}")
            here = node("Slice", [counted, start, end, one], f"here{tag}")
            key = node("Add", [key, part], f"sum{tag}") if key else part
            valid = node("And", [valid, here], f"valid{tag}") if valid else here
        key = node(
            "Mod",
            [node("Add", [key, int64(f"offset{size}", offset)], f"key{size}"), int64(f"slots{size}", SLOTS)],
            f"slot{size}",
        )
        rows = node("Cast", [node("Gather", [table, key], f"rows{size}")], f"weights{size}", to=TensorProto.FLOAT)
        weight = node(
            "Unsqueeze",
            [node("Cast", [valid], f"valid{size}", to=TensorProto.FLOAT), int64(f"last_axis{size}", 2)],
            f"mask{size}",
        )
        sums.append(node("ReduceSum", [node("Mul", [rows, weight], f"masked{size}"), one], f"total{size}", keepdims=0))
    total = node("Sum", sums, "total")
    width = len(CATEGORIES)
    squares = node("Slice", [total, int64("column", width), int64("column_end", width + 1), one], "squares")
    length = node("Sqrt", [node("Max", [squares, constant("least", np.float32(1e-6))], "bounded")], "length")
    weights = node("Slice", [total, zero, int64("columns", width), one], "sums")
    logits = node("Add", [node("Div", [weights, length], "mean"), constant("bias", wide.bias)], "logits")

    (output,) = graph.output
    for inner in graph.node:
        for index, name in enumerate(inner.output):
            if name == output.name:
                inner.output[index] = "deep/logits"
    scaled = node("Mul", ["deep/logits", constant("mix_deep", mix[:, 0].astype(np.float32))], "scaled_deep")
    other = node("Mul", [logits, constant("mix_wide", mix[:, 1].astype(np.float32))], "scaled_wide")
    both = node("Add", [scaled, other], "both")
    nodes.append(
        helper.make_node("Add", [both, constant("mix_bias", mix[:, 2].astype(np.float32))], [output.name], "wide/mixed")
    )
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
    onnx.checker.check_model(deep)
    return deep
