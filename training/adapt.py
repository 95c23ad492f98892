"""The second phase: a tuned English classifier learns to read other languages, and keeps what the encoder knew of meaning.

Its vocabulary gets the languages' own words. Then it goes on learning from the pool, with some English rows written in other
words, and from translated sentences: their translation must be judged as the first phase judges the English, and its mean
hidden state must point where the untouched encoder's points for the English. That last is also what `examples:` rules use.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import trange
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerFast

from proxy.types import CATEGORIES
from training import languages
from training.data import UNKNOWN, Pool, read
from training.finetune import (
    BATCH,
    Item,
    Recipe,
    arithmetic,
    away,
    descend,
    dev_auprc,
    direction,
    draw,
    encode,
    masked_loss,
    optimiser,
    rate_at,
    resume,
    save,
)
from training.languages import Lexicon, Pair

PAIRS = 560  # sentences a round, beside the pool's
ENGLISH = 0.3  # of them in English: what it knew of meaning there is kept, not only carried over
SWITCHED = 0.22  # of the English draws from the pool
MEANING = 0.4  # weight of the direction of the mean hidden state, against the labels
TEACHING_BATCH = 128


@dataclass(frozen=True, slots=True)
class Teaching:
    """What the teachers say of the English side of each pair: float16 (pairs, width) unit vectors, and probabilities."""

    known: list[Pair]
    meaning: NDArray[np.float16]
    labels: NDArray[np.float16]


def adapt(data: Path, encoder: Path, tuned: Path, work: Path, recipe: Recipe) -> Path:
    """The folder of the adapted model. A checkpoint in `work` is gone on from."""
    known = languages.pairs(data / "parallel")
    lexicon = Lexicon.load(data / "parallel", known)
    tokenizer, model = widened(tuned, known, lexicon, data, work)
    teaching = teach(known, encoder, tuned, work)
    pool, dev = Pool.load(data / "train"), list(read(data / "dev"))[::4]
    steps = optimiser(model, recipe)
    checkpoint = work / "adapt.pt"
    first = resume(checkpoint, model, steps)
    progress = trange(first, recipe.rounds, initial=first, total=recipe.rounds, unit="round", mininterval=10)
    for number in progress:
        losses = one_round(number, pool, teaching, lexicon, tokenizer, model, steps, recipe)
        progress.set_postfix(labels=f"{losses[0]:.4f}", meaning=f"{losses[1]:.4f}")
        if (number + 1) % 5 == 0 or number + 1 == recipe.rounds:
            save(checkpoint, model, steps, number + 1)
        if (number + 1) % 20 == 0:
            progress.write(f"round {number + 1}: dev AUPRC {dev_auprc(model, tokenizer, dev, recipe.max_tokens):.3f}")
    out = work / "adapted"
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out


def widened(tuned: Path, known: list[Pair], lexicon: Lexicon, data: Path, work: Path) -> tuple[Any, Any]:
    """The tokenizer and the model with the languages' words."""
    texts: dict[str, list[str]] = defaultdict(list)
    for row in read(data / "train"):
        texts[row["lang"]].append(row["text"][:600])
    vocabulary = languages.extend(tuned / "tokenizer.json", known, lexicon, texts)
    (work / "tokenizer.json").write_text(json.dumps(vocabulary.tokenizer, ensure_ascii=False), encoding="utf-8")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(work / "tokenizer.json"), cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", unk_token="[UNK]",
        mask_token="[MASK]", model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )  # fmt: skip
    model = AutoModelForSequenceClassification.from_pretrained(tuned)
    old = model.bert.embeddings.word_embeddings.weight.data
    new = torch.stack([old[source].mean(0) for source in vocabulary.sources])
    model.resize_token_embeddings(len(new))
    model.bert.embeddings.word_embeddings.weight.data.copy_(new)
    model.config.pad_token_id = tokenizer.pad_token_id
    return tokenizer, model


@torch.no_grad()
def teach(known: list[Pair], encoder: Path, tuned: Path, work: Path) -> Teaching:
    """Asks both teachers once for each English sentence, and keeps the answers in `work`."""
    file = work / "teaching.npz"
    if not file.exists():
        texts = sorted({pair.english for pair in known}, key=lambda t: (len(t), t))
        tokenizer = AutoTokenizer.from_pretrained(encoder)
        original = AutoModel.from_pretrained(encoder).eval()
        judge = AutoModelForSequenceClassification.from_pretrained(tuned).eval()
        meaning, labels = [], []
        for start in trange(0, len(texts), TEACHING_BATCH, desc="teachers", mininterval=10):
            inputs = tokenizer(
                texts[start : start + TEACHING_BATCH], padding=True, truncation=True, max_length=96, return_tensors="pt"
            )
            with arithmetic():
                meaning.append(direction(original(**inputs).last_hidden_state, inputs["attention_mask"]).half().numpy())
                labels.append(torch.sigmoid(judge(**inputs).logits.float()).half().numpy())
        at = {text: index for index, text in enumerate(texts)}
        order = [at[pair.english] for pair in known]
        np.savez(file, meaning=np.concatenate(meaning), labels=np.concatenate(labels), order=order)
    saved = np.load(file)
    return Teaching(known, saved["meaning"][saved["order"]], saved["labels"][saved["order"]])


Sample = tuple[Item, int]  # an item, and the pair it comes from or -1


def samples(pool: Pool, known: list[Pair], lexicon: Lexicon, rng: np.random.Generator) -> list[Sample]:
    """A round's texts. Those of pairs have no labels of their own."""
    found: list[Sample] = []
    for (text, context, labels), lang in draw(pool, rng):
        switched = lang == "en" and rng.random() < SWITCHED
        found.append(((lexicon.switch(text, rng) if switched else text, context, labels), -1))
    unknown = np.full(len(CATEGORIES), UNKNOWN, dtype=np.float32)
    for index in rng.integers(len(known), size=PAIRS):
        pair = known[index]
        found.append(((pair.english if rng.random() < ENGLISH else pair.translation, "", unknown), int(index)))
    return found


def batches(
    some: list[Sample], tokenizer: Any, longest: int, rng: np.random.Generator
) -> Iterator[tuple[Any, torch.Tensor, list[int]]]:
    encoded = [encode(tokenizer, text, context, longest) for (text, context, _), _ in some]
    order = sorted(range(len(some)), key=lambda i: len(encoded[i]["input_ids"]))
    for start in rng.permutation(range(0, len(order), BATCH)):
        members = order[start : start + BATCH]
        inputs = tokenizer.pad([encoded[i] for i in members], return_tensors="pt")
        yield inputs, torch.from_numpy(np.stack([some[i][0][2] for i in members])), [some[i][1] for i in members]


def one_round(
    number: int, pool: Pool, teaching: Teaching, lexicon: Lexicon, tokenizer: Any, model: Any, steps: Any, recipe: Recipe
) -> tuple[float, float]:
    """The mean losses of the round: of the labels, and of the direction."""
    rng = np.random.default_rng([recipe.seed, 1_000_000 + number])
    torch.manual_seed(recipe.seed * 2_000_003 + number)
    rate_at(number, steps, recipe)
    model.train()
    losses = []
    for inputs, labels, members in batches(samples(pool, teaching.known, lexicon, rng), tokenizer, recipe.max_tokens, rng):
        taught = [i for i, member in enumerate(members) if member >= 0]
        which = [members[i] for i in taught]
        labels[taught] = torch.from_numpy(teaching.labels[which].astype(np.float32))
        with arithmetic():
            hidden = model.bert(**inputs)
            logits = model.classifier(model.dropout(hidden.pooler_output))
        of_labels = masked_loss(logits, labels)
        of_meaning = torch.zeros(())
        if taught:
            target = torch.from_numpy(teaching.meaning[which].astype(np.float32))
            of_meaning = away(hidden.last_hidden_state[taught], inputs["attention_mask"][taught], target).sum() / len(members)
        descend(of_labels + MEANING * of_meaning, model, steps)
        losses.append((float(of_labels.detach()), float(of_meaning.detach())))
    return tuple(np.mean(losses, axis=0))  # type: ignore[return-value]
