"""Fine-tunes the encoder on the pool: masked multi-label loss, balanced draws, fresh windows and disguises in every round.

The mean hidden state must go on pointing where the untouched encoder's points. Left to the labels alone, the encoder
forgets what the sources do not tell, and is lost on text of any other kind (`training.transfer` measures that).

A round is drawn from (seed, number), so that a run that was cut off goes on from its checkpoint as if it had not been.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import trange
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from proxy.evaluate.metrics import auprc
from proxy.types import CATEGORIES
from training.augment import LONGEST, beside, disguise, unreadable, window
from training.data import UNKNOWN, Pool, labels_of, read

ROUND = 2048  # texts
BATCH = 64
CONTEXT_CHARS, CONTEXT_TOKENS = 200, 48
UNREADABLE = 0.05  # of the draws
BESIDE = 0.25  # of the short ones stand beside ordinary text
HEAD_RATE = 10  # the new head learns that much faster than the encoder


@dataclass(frozen=True, slots=True)
class Recipe:
    layers: tuple[int, ...] = (1, 3, 5)  # of the encoder's, kept: half the depth costs half the time on every request
    rounds: int = 160
    rate: float = 1.5e-4
    warmup: float = 0.05
    max_tokens: int = 128
    seed: int = 7
    meaning: float = 2.0  # weight of the direction of the mean hidden state, against the labels


Item = tuple[str, str, NDArray[np.float32]]  # text, context, labels


def draw(pool: Pool, rng: np.random.Generator) -> list[tuple[Item, str]]:
    """A round's items, each with its language."""
    items: list[tuple[Item, str]] = []
    for index in rng.choice(len(pool.texts), ROUND, p=pool.chance):
        labels = pool.labels[index]
        if rng.random() < UNREADABLE:
            items.append(((unreadable(rng), "", np.zeros_like(labels)), ""))
            continue
        text = window(pool.texts[index], bool((labels == 1).any()), rng)
        if len(text) <= LONGEST and rng.random() < BESIDE:
            text = beside(text, pool.texts[rng.choice(pool.calm)], rng)
        context = (
            pool.texts[int(rng.integers(len(pool.texts)))][-int(rng.integers(30, CONTEXT_CHARS)) :]
            if rng.random() < 0.2
            else ""
        )
        items.append(((disguise(text, rng), context, labels), pool.langs[index]))
    return items


def encode(tokenizer: Any, text: str, context: str, max_tokens: int) -> dict[str, list[int]]:
    """[CLS] context [SEP] text [SEP], as `proxy.model.classifier` builds it."""
    if not context:
        return dict(tokenizer(text, truncation=True, max_length=max_tokens))
    before = tokenizer(context, add_special_tokens=False)["input_ids"][-CONTEXT_TOKENS:]
    body = tokenizer(text, add_special_tokens=False)["input_ids"][: max_tokens - 3 - len(before)]
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    ids = [cls, *before, sep, *body, sep]
    types = [0] * (len(before) + 2) + [1] * (len(body) + 1)
    return {"input_ids": ids, "token_type_ids": types, "attention_mask": [1] * len(ids)}


def batches(items: list[Item], tokenizer: Any, max_tokens: int, rng: np.random.Generator) -> Iterator[tuple[Any, torch.Tensor]]:
    """Texts of like length together, so that little is padding."""
    encoded = [encode(tokenizer, text, context, max_tokens) for text, context, _ in items]
    order = sorted(range(len(items)), key=lambda i: len(encoded[i]["input_ids"]))
    starts = rng.permutation(range(0, len(order), BATCH))
    for start in starts:
        members = order[start : start + BATCH]
        yield (
            tokenizer.pad([encoded[i] for i in members], return_tensors="pt"),
            torch.from_numpy(np.stack([items[i][2] for i in members])),
        )


def arithmetic() -> Any:
    """bfloat16 where the processor multiplies it; elsewhere it would take thirty times as long as single precision."""
    can = torch.cpu.get_capabilities()
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=any(can.get(name) for name in ("amx_bf16", "avx512_bf16")))


def masked_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    known = (labels != UNKNOWN).float()
    each = torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), labels.clamp(min=0), reduction="none")
    return (each * known).sum() / known.sum()


def fresh(encoder: Path, recipe: Recipe) -> Any:
    torch.manual_seed(recipe.seed)
    model = AutoModelForSequenceClassification.from_pretrained(
        encoder, num_labels=len(CATEGORIES), problem_type="multi_label_classification", attn_implementation="eager"
    )
    layers = model.bert.encoder.layer
    model.bert.encoder.layer = torch.nn.ModuleList([layers[i] for i in recipe.layers])
    model.config.num_hidden_layers = len(recipe.layers)
    return model


def untouched(encoder: Path) -> Any:
    return AutoModel.from_pretrained(encoder).eval()


def direction(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(batch, width) unit vectors: the mean of the hidden states (batch, tokens, width) where the mask is 1."""
    weight = mask.unsqueeze(-1).float()
    mean = (hidden.float() * weight).sum(1) / weight.sum(1)
    return torch.nn.functional.normalize(mean, dim=-1)


def away(hidden: torch.Tensor, mask: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """(batch,): 1 less the cosine between the directions of the hidden states and those wanted, (batch, width)."""
    return 1 - (direction(hidden, mask) * target).sum(-1)


def optimiser(model: Any, recipe: Recipe) -> torch.optim.AdamW:
    head = [p for n, p in model.named_parameters() if n.startswith("classifier")]
    body = [p for n, p in model.named_parameters() if not n.startswith("classifier")]
    groups = [
        {"params": body, "lr": recipe.rate, "peak": recipe.rate},
        {"params": head, "lr": 0.0, "peak": recipe.rate * HEAD_RATE},
    ]
    return torch.optim.AdamW(groups, weight_decay=0.01, fused=True)


def finetune(data: Path, encoder: Path, work: Path, recipe: Recipe) -> Path:
    """The folder of the tuned model. A checkpoint in `work` is gone on from."""
    pool, dev = Pool.load(data / "train"), list(read(data / "dev"))[::4]
    tokenizer, model, original = AutoTokenizer.from_pretrained(encoder), fresh(encoder, recipe), untouched(encoder)
    steps = optimiser(model, recipe)
    checkpoint = work / "checkpoint.pt"
    first = resume(checkpoint, model, steps)
    progress = trange(first, recipe.rounds, initial=first, total=recipe.rounds, unit="round", mininterval=10)
    for number in progress:
        loss = one_round(number, pool, tokenizer, model, original, steps, recipe)
        progress.set_postfix(loss=f"{loss:.4f}")
        if (number + 1) % 5 == 0 or number + 1 == recipe.rounds:
            save(checkpoint, model, steps, number + 1)
        if (number + 1) % 25 == 0:
            progress.write(f"round {number + 1}: dev AUPRC {dev_auprc(model, tokenizer, dev, recipe.max_tokens):.3f}")
    out = work / "model"
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out


def descend(loss: torch.Tensor, model: Any, steps: torch.optim.AdamW) -> None:
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    steps.step()
    steps.zero_grad(set_to_none=True)


def resume(checkpoint: Path, model: Any, steps: torch.optim.AdamW, average: Any = None) -> int:
    """The round to go on with: 0 where nothing was saved."""
    if not checkpoint.exists():
        return 0
    saved = torch.load(checkpoint, weights_only=True)
    model.load_state_dict(saved["model"])
    steps.load_state_dict(saved["steps"])
    if average is not None:
        average.load_state_dict(saved["average"])
    return int(saved["round"])


def save(checkpoint: Path, model: Any, steps: torch.optim.AdamW, number: int, **more: Any) -> None:
    """In one step, so that a run that is cut off in it keeps the checkpoint before."""
    new = checkpoint.with_suffix(".new")
    torch.save({"model": model.state_dict(), "steps": steps.state_dict(), "round": number, **more}, new)
    new.replace(checkpoint)


def rate_at(number: int, steps: torch.optim.AdamW, recipe: Recipe) -> None:
    """Rises for the first rounds, then falls in a line."""
    part = number / recipe.rounds
    share = min((part + 1 / recipe.rounds) / recipe.warmup, 1.0) * max(0.02, 1 - part)
    for group in steps.param_groups:
        group["lr"] = group["peak"] * share


def one_round(
    number: int, pool: Pool, tokenizer: Any, model: Any, original: Any, steps: torch.optim.AdamW, recipe: Recipe
) -> float:
    """The mean loss of the round: of the labels, and of the direction."""
    rng = np.random.default_rng([recipe.seed, number])
    torch.manual_seed(recipe.seed * 1_000_003 + number)
    rate_at(number, steps, recipe)
    model.train()
    losses = []
    for inputs, labels in batches([item for item, _ in draw(pool, rng)], tokenizer, recipe.max_tokens, rng):
        with arithmetic():
            hidden = model.bert(**inputs)
            logits = model.classifier(model.dropout(hidden.pooler_output))
        loss = masked_loss(logits, labels)
        if recipe.meaning:
            with torch.no_grad(), arithmetic():
                target = direction(original(**inputs).last_hidden_state, inputs["attention_mask"])
            loss = loss + recipe.meaning * away(hidden.last_hidden_state, inputs["attention_mask"], target).mean()
        descend(loss, model, steps)
        losses.append(float(loss.detach()))
    return float(np.mean(losses))


@torch.no_grad()
def logits(model: Any, tokenizer: Any, texts: Sequence[str], max_tokens: int) -> NDArray[np.float32]:
    """(texts, categories): of the first `max_tokens` of each alone."""
    model.eval()
    found = np.zeros((len(texts), len(CATEGORIES)), dtype=np.float32)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for start in range(0, len(order), BATCH):
        members = order[start : start + BATCH]
        inputs = tokenizer.pad([encode(tokenizer, texts[i], "", max_tokens) for i in members], return_tensors="pt")
        with arithmetic():
            found[members] = model(**inputs).logits.float().numpy()
    return found


def dev_auprc(model: Any, tokenizer: Any, rows: list[dict[str, Any]], max_tokens: int) -> float:
    labels = np.array([labels_of(row) for row in rows])
    found = logits(model, tokenizer, [row["text"] for row in rows], max_tokens)
    known = labels != UNKNOWN
    return float(
        np.mean(
            [
                auprc(labels[known[:, c], c], found[known[:, c], c])
                for c in range(len(CATEGORIES))
                if labels[known[:, c], c].max(initial=0) > 0
            ]
        )
    )
