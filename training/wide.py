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
EMBEDDING = 384


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
    """`codes`: int8 (SLOTS, categories + 1), for each slot its weight in each category, and its squared idf. A code stands for
    `code * |code| * scale` of its column: few weights are large and many small, and a square gives both their digits. `bias`:
    one a category. The logit is the sum of the weights over the root of the sum of the squares, plus the bias."""

    codes: NDArray[np.int8]
    scale: NDArray[np.float32]
    bias: NDArray[np.float32]

    @classmethod
    def of(cls, table: NDArray[np.float64], bias: NDArray[np.float32]) -> Wide:
        """`table`: the weights themselves, (SLOTS, categories + 1)."""
        highest = np.maximum(np.abs(table).max(0), 1e-9)
        codes = np.rint(np.sign(table) * np.sqrt(np.abs(table) / highest) * 127).astype(np.int8)
        return cls(codes, (highest / 127**2).astype(np.float32), bias)

    def logits(self, texts: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        rows = np.zeros((len(texts), self.codes.shape[1]), dtype=np.float32)
        for index, ids in enumerate(texts):
            codes = self.codes[slots(ids)].astype(np.float32)
            rows[index] = (codes * np.abs(codes)).sum(0) * self.scale
        return np.asarray(rows[:, :-1] / np.sqrt(np.maximum(rows[:, -1:], 1e-6)) + self.bias)


def fit(texts: list[NDArray[np.int64]], labels: NDArray[np.float32]) -> Wide:
    """One logistic regression a category, over the rows whose label is known."""
    grams = [slots(ids[:MAX_TOKENS]) for ids in texts]
    seen = np.zeros(SLOTS)
    for one in grams:
        seen[np.unique(one)] += 1
    idf = np.where(seen >= 2, np.log((1 + len(grams)) / (1 + seen)) + 1, 0.0)
    features = _features(grams, idf)
    table = np.zeros((SLOTS, len(CATEGORIES) + 1))
    table[:, -1] = idf**2
    bias = np.zeros(len(CATEGORIES), dtype=np.float32)
    for column, _ in enumerate(tqdm(CATEGORIES, desc="wide", unit="category")):
        known = labels[:, column] != UNKNOWN
        model = LogisticRegression(C=PENALTY, solver="liblinear", class_weight="balanced", random_state=0)
        model.fit(features[known], labels[known, column])
        table[:, column] = model.coef_[0] * idf
        bias[column] = model.intercept_[0]
    return Wide.of(table, bias)


def _features(grams: list[NDArray[np.int64]], idf: NDArray[np.float64]) -> Any:
    columns = np.concatenate(grams)
    ends = np.cumsum([len(g) for g in grams])
    values = idf[columns]
    rows = np.repeat(np.arange(len(grams)), np.diff(ends, prepend=0))
    length = np.sqrt(np.maximum(np.bincount(rows, values**2, len(grams)), 1e-6))
    return csr_matrix(((values / length[rows]).astype(np.float32), (rows, columns)), shape=(len(grams), SLOTS))


# -- the same in ONNX


class _Nodes:
    """Nodes and constants that are put into a graph together."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: Any) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value), f"wide/{name}"))
        return f"wide/{name}"

    def int64(self, name: str, *values: int) -> str:
        return self.constant(name, np.array(values, dtype=np.int64))

    def add(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        return self.named(kind, inputs, f"wide/{name}", **attributes)

    def named(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [name], f"wide/node/{name}", **attributes))
        return name

    def as_float(self, value: str, name: str) -> str:
        """A mask (batch, tokens) as numbers (batch, tokens, 1)."""
        cast = self.add("Cast", [value], f"{name}_float", to=TensorProto.FLOAT)
        return self.add("Unsqueeze", [cast, self.int64(f"{name}_axis", 2)], name)


def graft(deep: onnx.ModelProto, wide: Wide, mix: NDArray[np.float32], special: tuple[int, ...]) -> onnx.ModelProto:
    """`deep` with the wide half beside it: logits = mix[0] * deep + mix[1] * wide + mix[2], a row of three a category.

    A second output, `embedding`, (batch, width): the direction of the text's mean hidden state."""
    graph, n = deep.graph, _Nodes()
    (output,) = graph.output
    for inner in graph.node:
        for index, name in enumerate(inner.output):
            if name == output.name:
                inner.output[index] = "deep/logits"
    # A context is of type 0 and the text then of type 1; a text alone is of type 0. Only the text counts.
    last = n.add("ReduceMax", ["token_type_ids", n.int64("one", 1)], "last", keepdims=1)
    there = n.add("Cast", ["attention_mask"], "there", to=TensorProto.BOOL)
    in_text = n.add("And", [n.add("Equal", ["token_type_ids", last], "of_text"), there], "in_text")
    scaled = n.add("Mul", ["deep/logits", n.constant("mix_deep", mix[:, 0].astype(np.float32))], "scaled_deep")
    other = n.add(
        "Mul", [_logits(n, wide, in_text, special), n.constant("mix_wide", mix[:, 1].astype(np.float32))], "scaled_wide"
    )
    both = n.add("Add", [scaled, other], "both")
    n.named("Add", [both, n.constant("mix_bias", mix[:, 2].astype(np.float32))], output.name)

    hidden = next(m.input[0] for m in graph.node if m.op_type == "Gather" and "pooler" in m.name)
    words = n.add("Mul", [hidden, n.as_float(in_text, "text_weight")], "hidden_text")
    n.named("LpNormalization", [n.add("ReduceSum", [words, "wide/one"], "hidden_sum", keepdims=0)], "embedding", axis=-1, p=2)
    graph.output.append(helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", EMBEDDING]))
    graph.node.extend(n.nodes)
    graph.initializer.extend(n.constants)
    onnx.checker.check_model(deep)
    return deep


def _logits(n: _Nodes, wide: Wide, counted: str, special: tuple[int, ...]) -> str:
    """What `Wide.logits` counts, over the tokens that `counted` marks and that are not `special`."""
    one = "wide/one"
    for token in special:
        same = n.add("Equal", ["input_ids", n.int64(f"special{token}", token)], f"is{token}")
        counted = n.add("And", [counted, n.add("Not", [same], f"not{token}")], f"counted{token}")
    codes = n.constant("codes", wide.codes)
    sums = []
    for multipliers, offset in zip(MULTIPLIERS, OFFSETS, strict=True):
        size = len(multipliers)
        slot, valid = _slots(n, counted, multipliers, offset)
        rows = n.add("Cast", [n.add("Gather", [codes, slot], f"rows{size}")], f"codes{size}", to=TensorProto.FLOAT)
        squared = n.add("Mul", [rows, n.add("Abs", [rows], f"sizes{size}")], f"weights{size}")
        masked = n.add("Mul", [squared, n.as_float(valid, f"mask{size}")], f"masked{size}")
        sums.append(n.add("ReduceSum", [masked, one], f"total{size}", keepdims=0))
    total, width = n.add("Mul", [n.add("Sum", sums, "sum"), n.constant("scale", wide.scale)], "total"), len(CATEGORIES)
    squares = n.add("Slice", [total, n.int64("column", width), n.int64("column_end", width + 1), one], "squares")
    length = n.add("Sqrt", [n.add("Max", [squares, n.constant("least", np.float32(1e-6))], "bounded")], "length")
    weights = n.add("Slice", [total, n.int64("zero", 0), n.int64("columns", width), one], "sums")
    return n.add("Add", [n.add("Div", [weights, length], "mean"), n.constant("bias", wide.bias)], "logits")


def _slots(n: _Nodes, counted: str, multipliers: tuple[int, ...], offset: int) -> tuple[str, str]:
    """The slot of each n-gram, and whether all of its tokens count."""
    size, key, valid = len(multipliers), "", ""
    for place, multiplier in enumerate(multipliers):
        tag = f"{size}_{place}"
        end = n.int64(f"end{tag}", -(size - 1 - place) if place < size - 1 else 1 << 40)
        start = n.int64(f"start{tag}", place)
        part = n.add("Slice", ["input_ids", start, end, "wide/one"], f"ids{tag}")
        part = n.add("Mul", [part, n.int64(f"multiplier{tag}", multiplier)], f"product{tag}")
        here = n.add("Slice", [counted, start, end, "wide/one"], f"here{tag}")
        key = n.add("Add", [key, part], f"sum{tag}") if key else part
        valid = n.add("And", [valid, here], f"valid{tag}") if valid else here
    moved = n.add("Add", [key, n.int64(f"offset{size}", offset)], f"key{size}")
    return n.add("Mod", [moved, n.int64(f"slots{size}", SLOTS)], f"slot{size}"), valid
