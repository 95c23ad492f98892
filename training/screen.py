"""The screen: learns from the classifier's own scores what it would have said "fine" to, and is set to miss one in a hundred.

Everything is a text that the classifier has scored: labels are not used, so any text teaches. The cut is chosen on the held
rows: of those that the classifier catches at its threshold for one in a hundred false positives, 99 % must be passed on to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from tqdm import tqdm, trange

from proxy.model.artefact import Artefact
from proxy.model.classifier import Classifier
from proxy.model.screen import Screen
from proxy.model.session import BATCH
from proxy.types import CATEGORIES
from training import languages
from training.adapt import samples
from training.data import Pool
from training.languages import Lexicon

A, B = TypeVar("A"), TypeVar("B")

WIDTH = 64
SCORED = 90  # rounds of text to learn from
EPOCHS = 10
AGAIN = (36, 4)  # rounds and epochs of one that goes on from another
RATE, BATCH_SIZE = 2e-3, 128
RATE_AT = 0.01  # the false-positive rate whose thresholds the cut protects
KEPT = 0.99  # of the classifier's recall there
SOFT = 1.0  # logits over which "above its threshold" turns from no to yes
NEVER = 1e9
MISS = 3.0  # what a missed one weighs against one passed on for nothing


@dataclass(frozen=True, slots=True)
class Scored:
    """Windows and the classifier's distance from its thresholds: token ids, and float32 (windows, categories) logits."""

    ids: list[NDArray[np.int32]]
    margins: NDArray[np.float32]


def each(do: Callable[[A], B], parts: Sequence[A], what: str) -> Iterator[B]:
    """`do` of every part, in order, two at a time: a window is too small a piece of work for two threads."""
    with ThreadPoolExecutor(2) as pool:
        yield from tqdm(pool.map(do, parts), desc=what, total=len(parts), mininterval=10)


def margins(classifier: Classifier, items: list[tuple[str, str]], what: str) -> Scored:
    """Each window of each (text, context), scored."""
    windows = [w for text, context in items for w in classifier.windows(text, context)]
    found = np.zeros((len(windows), len(CATEGORIES)), dtype=np.float32)

    def read(part: range) -> NDArray[np.float32]:
        return np.asarray(classifier.logits(windows[part.start : part.stop]))

    parts = [range(start, min(start + BATCH, len(windows))) for start in range(0, len(windows), BATCH)]
    for part, logits in zip(parts, each(read, parts, what), strict=True):
        found[part.start : part.stop] = logits
    return Scored([np.array(w[0], dtype=np.int32) for w in windows], found - floors(classifier.artefact))


def floors(artefact: Artefact) -> NDArray[np.float32]:
    p = np.array([artefact.threshold(c, RATE_AT) for c in artefact.labels])
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(p / (1 - p)), dtype=np.float32)


class Net(torch.nn.Module):
    """(batch, tokens) ids, 0 where there is none -> (batch, categories + 1): one logit a category, and one for any of them."""

    def __init__(self, words: int, width: int = WIDTH) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(words, width, padding_idx=0)
        self.near = torch.nn.Conv1d(width, width, 3, padding=1)
        self.far = torch.nn.Conv1d(width, width, 3, padding=1)
        self.mix = torch.nn.Linear(3 * width, width)
        self.out = torch.nn.Linear(width, len(CATEGORIES) + 1)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        there = (ids != 0).unsqueeze(1).float()
        words = self.embed(ids).transpose(1, 2)
        near = torch.relu(self.near(words)) * there
        far = torch.relu(self.far(near) + near) * there
        mean = far.sum(2) / there.sum(2)
        pooled = torch.cat([near.amax(2), far.amax(2), mean], 1)
        return self.out(torch.nn.functional.dropout(torch.relu(self.mix(pooled)), 0.1, self.training))


def begin(vectors: NDArray[np.float32]) -> Net:
    """Its words begin where the classifier has them, in their first principal directions."""
    net = Net(len(vectors))
    centred = vectors - vectors.mean(0)
    _, _, directions = np.linalg.svd(centred[:: max(1, len(centred) // 8000)], full_matrices=False)
    short = centred @ directions[:WIDTH].T
    net.embed.weight.data.copy_(torch.from_numpy(np.ascontiguousarray(short / short.std() * 0.5)))
    net.embed.weight.data[0] = 0
    return net


def load(file: Path) -> Net:
    """The one in `file`, to go on from."""
    held = {t.name: numpy_helper.to_array(t) for t in onnx.load(str(file)).graph.initializer}
    words, scale, zero = (held[f"embed.weight_{part}"] for part in ("quantized", "scale", "zero_point"))
    weights = {name: value for name, value in held.items() if name.split(".")[-1] in ("weight", "bias")}
    weights |= {name.removesuffix("_Transposed"): value.T for name, value in held.items() if name.endswith("_Transposed")}
    weights["embed.weight"] = (words.astype(np.float32) - zero.astype(np.float32)) * scale
    net = Net(len(words))
    net.load_state_dict({name: torch.from_numpy(np.array(value, dtype=np.float32)) for name, value in weights.items()})
    return net


def goal(margin: torch.Tensor) -> torch.Tensor:
    every = torch.cat([margin, margin.amax(1, keepdim=True)], 1)
    return torch.sigmoid(every / SOFT)


def learn(net: Net, scored: Scored, seed: int, epochs: int = EPOCHS) -> None:
    rng, order = np.random.default_rng(seed), np.argsort([len(i) for i in scored.ids], kind="stable")
    torch.manual_seed(seed)
    steps = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=1e-4)
    batches = [order[s : s + BATCH_SIZE] for s in range(0, len(order), BATCH_SIZE)]
    total, done = epochs * len(batches), 0
    for epoch in range(epochs):
        net.train()
        progress = tqdm(rng.permutation(len(batches)), desc=f"screen {epoch + 1}/{epochs}", mininterval=10)
        for number in progress:
            members = batches[number]
            for group in steps.param_groups:
                group["lr"] = RATE * min(1.0, (done + 1) / 200) * (1 - done / total)
            target = goal(torch.from_numpy(scored.margins[members]))
            logits = net(padded([scored.ids[i] for i in members]))
            each = torch.nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
            loss = (each * (1 + (MISS - 1) * target)).mean()
            steps.zero_grad(set_to_none=True)
            loss.backward()
            steps.step()
            done += 1
        progress.set_postfix(loss=f"{float(loss.detach()):.4f}")


def padded(some: list[NDArray[np.int32]]) -> torch.Tensor:
    ids = np.zeros((len(some), max(map(len, some))), dtype=np.int64)
    for row, one in enumerate(some):
        ids[row, : len(one)] = one
    return torch.from_numpy(ids)


@torch.no_grad()
def predict(net: Net, ids: list[NDArray[np.int32]]) -> NDArray[np.float32]:
    net.eval()
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    found = np.zeros((len(ids), len(CATEGORIES) + 1), dtype=np.float32)
    for start in range(0, len(order), 256):
        members = order[start : start + 256]
        found[members] = net(padded([ids[i] for i in members])).numpy()
    return found


def cuts(risk: NDArray[np.float32], caught: NDArray[np.bool_], kept: float = KEPT) -> NDArray[np.float32]:
    """`risk`: (texts, outputs); `caught`: (texts, categories), harmful texts that the classifier catches. One cut for all the
    categories, the highest that loses at most 1 - `kept` of them, and of no category that has a hundred more than three times
    that. The output "any" is left aside: at the same recall a cut on it sends an eighth more of ordinary text on."""
    limits = [(caught.any(1), 1 - kept), *((rows, 3 * (1 - kept)) for rows in caught.T if rows.sum() >= 100)]
    highest = risk[:, :-1].max(1)
    cut = min(float(np.quantile(highest[rows], lost, method="lower")) for rows, lost in limits)
    return np.array([cut - 1e-4] * (risk.shape[1] - 1) + [NEVER], dtype=np.float32)


def export(net: Net, file: Path, work: Path) -> None:
    """float32 with an int8 table of words: the arithmetic is too small for int8 to pay."""
    net.eval()
    example = torch.ones((2, 9), dtype=torch.int64)
    axes = {"input_ids": {0: "batch", 1: "tokens"}, "risk": {0: "batch"}}
    torch.onnx.export(
        net, (example,), str(work / "screen32.onnx"), input_names=["input_ids"], output_names=["risk"], dynamic_axes=axes,
        opset_version=17, dynamo=False,
    )  # fmt: skip
    quantize_dynamic(work / "screen32.onnx", file, weight_type=QuantType.QInt8, op_types_to_quantize=["Gather"])


def scored_rounds(classifier: Classifier, data: Path, work: Path, pool: Pool, seed: int, rounds: int = SCORED) -> Scored:
    """Texts drawn as the classifier's own training draws them, and translated sentences, each scored once; kept in `work`."""
    folder = work / "scored"
    folder.mkdir(exist_ok=True)
    digest = classifier.artefact.sha256[:12]
    known = languages.pairs(data / "parallel")
    lexicon = Lexicon.load(data / "parallel", known)
    ids: list[NDArray[np.int32]] = []
    found = []
    for number in trange(rounds, desc="scored", mininterval=10):
        file = folder / f"{digest}-{number:03d}.npz"
        if not file.exists():
            rng = np.random.default_rng([seed, 2_000_000 + number])
            texts = [(text, context) for (text, context, _), _ in samples(pool, known, lexicon, rng)]
            one = margins(classifier, texts, f"round {number}")
            np.savez(file, flat=np.concatenate(one.ids), ends=np.cumsum([len(i) for i in one.ids]), margins=one.margins)
        saved = np.load(file)
        ids += np.split(saved["flat"], saved["ends"][:-1])
        found.append(saved["margins"])
    return Scored(ids, np.concatenate(found))


def word_vectors(model: Path) -> NDArray[np.float32]:
    """(words, width): the classifier's table of words, from its float32 export."""
    tables = (t for t in onnx.load(str(model)).graph.initializer if t.name.endswith("word_embeddings.weight"))
    return np.asarray(numpy_helper.to_array(next(tables)), dtype=np.float32)


def risks(classifier: Classifier, reader: Screen, texts: list[str]) -> NDArray[np.float32]:
    """(texts, outputs): the highest of each text's windows."""
    found = []
    for text in tqdm(texts, desc="risks", mininterval=10):
        windows = classifier.windows(text, "")
        found.append(np.max([reader.logits(np.array([ids], dtype=np.int64))[0] for ids, _ in windows], axis=0))
    return np.array(found)


def curve(held: NDArray[np.float32], caught: NDArray[np.bool_], calm: NDArray[np.float32]) -> list[dict[str, float]]:
    """What of ordinary text is sent on, for what is kept of the classifier's recall."""
    return [
        {"kept": kept, "sent_on": round(float((calm > cuts(held, caught, kept)).any(1).mean()), 4)}
        for kept in (0.999, 0.995, 0.99, 0.98, 0.95, 0.9)
    ]
