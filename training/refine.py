"""python -m training.refine DATA ENCODER --start FOLDER --work FOLDER --out FOLDER: the third phase, which begins from a
shipped model.

What was written or made for it is drawn beside the pool, more of it is misspelt, and more of it stands in the middle of
ordinary text. The weights are averaged over the steps. What the model said of the English of translated sentences it goes
on saying, of the translation too. And the mean hidden state of every English text, and of what was made from it (its
translation, its misspelling, some of its words in another language), must point where the untouched encoder's points for
it: left to the labels alone it forgets what the sources do not tell, and is lost on text of any other kind
(`training.transfer` measures that).
"""

from __future__ import annotations

import argparse
import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import trange
from transformers import AutoTokenizer

from proxy.types import CATEGORIES
from training import languages, ours, shipped, written
from training.adapt import ENGLISH, SWITCHED, batches
from training.augment import LONGEST, beside, misspelt, unreadable, window, within
from training.data import UNKNOWN, Pool, read
from training.finetune import (
    CONTEXT_CHARS,
    ROUND,
    UNREADABLE,
    Item,
    Recipe,
    arithmetic,
    away,
    descend,
    dev_auprc,
    direction,
    encode,
    masked_loss,
    optimiser,
    resume,
    save,
    untouched,
)
from training.languages import Lexicon, Pair
from training.ship import WINDOW, ship

PAIRS = 280  # sentences a round
WITHIN, BESIDE = 0.26, 0.1  # of the short ones: in the middle of ordinary text, at its end
SURE, DOUBT = 0.97, 0.003  # what a label of 1 and a label of 0 are taken for: sources are wrong now and then
FLAT = 0.4  # of the rounds have the full rate, then it falls in a line
KEPT = 0.999  # of the averaged weights, a step
WRITTEN = 0.42  # of the draws
TEMPLATES = {
    "made-people": 0.045, "made-lookalikes": 0.015, "made-earnest": 0.008, "made-declined": 0.007, "made-attacks": 0.013,
    "made-planted": 0.01, "made-calm-instructions": 0.004, "made-intimacy": 0.006, "made-calm-intimacy": 0.004,
}  # fmt: skip
SHARES = TEMPLATES | written.shares(WRITTEN)


@dataclass(frozen=True, slots=True)
class Phase:
    pool: Pool
    pairs: list[Pair]
    lexicon: Lexicon
    tokenizer: Any
    teacher: Any  # the model that the phase began from
    reader: Any  # the tokenizer of the untouched encoder
    encoder: Any


@dataclass(frozen=True, slots=True)
class Sample:
    """`english`: what the untouched encoder reads where the model reads the item's text; empty where there is nothing English.
    `pair`: labels are what the teacher says of the English."""

    item: Item
    english: str
    pair: bool = False


def samples(phase: Phase, rng: np.random.Generator) -> list[Sample]:
    """A round's texts. Those of pairs have no labels of their own."""
    pool = phase.pool
    found = [_drawn(pool, int(index), phase.lexicon, rng) for index in rng.choice(len(pool.texts), ROUND, p=pool.chance)]
    unknown = np.full(len(CATEGORIES), UNKNOWN, dtype=np.float32)
    for index in rng.integers(len(phase.pairs), size=PAIRS):
        pair = phase.pairs[index]
        found.append(Sample((pair.english if rng.random() < ENGLISH else pair.translation, "", unknown), pair.english, True))
    return found


def _drawn(pool: Pool, index: int, lexicon: Lexicon, rng: np.random.Generator) -> Sample:
    labels = pool.labels[index]
    if rng.random() < UNREADABLE / 2:
        return Sample((unreadable(rng), "", np.zeros_like(labels)), "")
    text = window(pool.texts[index], bool((labels == 1).any()), rng)
    english = text if pool.langs[index] == "en" else ""
    if english and rng.random() < SWITCHED:
        text = lexicon.switch(text, rng)
    text = misspelt(text, rng)
    draw = rng.random()
    if len(text) <= LONGEST * 0.75 and draw < WITHIN + BESIDE:
        before, after = (pool.texts[i] for i in rng.choice(pool.calm, 2))
        text, english = within(text, before, after, rng) if draw < WITHIN else beside(text, before, rng), ""
    context = ""
    if rng.random() < 0.2:
        context, english = pool.texts[int(rng.integers(len(pool.texts)))][-int(rng.integers(30, CONTEXT_CHARS)) :], ""
    return Sample((text, context, labels), english)


@torch.no_grad()
def judged(phase: Phase, english: list[str]) -> torch.Tensor:
    """What the model that the phase began from says of these texts: probabilities."""
    inputs = phase.tokenizer.pad([encode(phase.tokenizer, one, "", WINDOW) for one in english], return_tensors="pt")
    with arithmetic():
        return torch.sigmoid(phase.teacher(**inputs).logits.float())


@torch.no_grad()
def meant(phase: Phase, english: list[str]) -> torch.Tensor:
    """Where the untouched encoder points for these texts: unit vectors."""
    inputs = phase.reader(english, padding=True, truncation=True, max_length=WINDOW, return_tensors="pt")
    with arithmetic():
        return direction(phase.encoder(**inputs).last_hidden_state, inputs["attention_mask"])


def one_round(number: int, phase: Phase, model: Any, average: Any, steps: Any, recipe: Recipe) -> tuple[float, float]:
    """The mean losses of the round: of the labels, and of the direction."""
    rng = np.random.default_rng([recipe.seed, 3_000_000 + number])
    torch.manual_seed(recipe.seed * 3_000_017 + number)
    part = number / recipe.rounds
    for group in steps.param_groups:
        group["lr"] = recipe.rate * min(1.0, (number + 1) / 4, max(0.02, (1 - part) / (1 - FLAT)))
    model.train()
    losses = []
    some = samples(phase, rng)
    numbered = [(sample.item, index) for index, sample in enumerate(some)]
    for inputs, said, members in batches(numbered, phase.tokenizer, recipe.max_tokens, rng):
        labels = torch.where(said == UNKNOWN, said, said * (SURE - DOUBT) + DOUBT)
        if paired := [i for i, member in enumerate(members) if some[member].pair]:
            labels[paired] = judged(phase, [some[members[i]].english for i in paired])
        with arithmetic():
            hidden = model.bert(**inputs)
            logits = model.classifier(model.dropout(hidden.pooler_output))
        of_labels, of_meaning = masked_loss(logits, labels), torch.zeros(())
        if taught := [i for i, member in enumerate(members) if some[member].english]:
            target = meant(phase, [some[members[i]].english for i in taught])
            of_meaning = away(hidden.last_hidden_state[taught], inputs["attention_mask"][taught], target).sum() / len(members)
        descend(of_labels + recipe.meaning * of_meaning, model, steps)
        follow(average, model)
        losses.append((float(of_labels.detach()), float(of_meaning.detach())))
    return tuple(np.mean(losses, axis=0))  # type: ignore[return-value]


@torch.no_grad()
def follow(average: Any, model: Any) -> None:
    torch._foreach_lerp_(list(average.parameters()), [p.detach() for p in model.parameters()], 1 - KEPT)


@torch.no_grad()
def between(first: Any, second: Any, part: float) -> Any:
    """The model whose weights lie `part` of the way from the first to the second: what the first knew is not all given up."""
    found = copy.deepcopy(first)
    torch._foreach_lerp_(list(found.parameters()), list(second.parameters()), part)
    return found


def refine(data: Path, encoder: Path, start: Path, work: Path, recipe: Recipe, part: float) -> Path:
    """The folder of the averaged weights, or of weights between them and those it began from. A checkpoint is gone on from."""
    tokenizer, model = shipped.load(start)
    teacher, average = copy.deepcopy(model).eval(), copy.deepcopy(model).eval()
    known = languages.pairs(data / "parallel")
    pool = Pool.load(data / "train", ours.rows(recipe.seed), SHARES)
    phase = Phase(
        pool,
        known,
        Lexicon.load(data / "parallel", known),
        tokenizer,
        teacher,
        AutoTokenizer.from_pretrained(encoder),
        untouched(encoder),
    )
    dev, steps = list(read(data / "dev"))[::4], optimiser(model, recipe)
    checkpoint = work / "refine.pt"
    first = resume(checkpoint, model, steps, average)
    progress = trange(first, recipe.rounds, initial=first, total=recipe.rounds, unit="round", mininterval=10)
    for number in progress:
        losses = one_round(number, phase, model, average, steps, recipe)
        progress.set_postfix(labels=f"{losses[0]:.4f}", meaning=f"{losses[1]:.4f}")
        if (number + 1) % 5 == 0 or number + 1 == recipe.rounds:
            save(checkpoint, model, steps, number + 1, average=average.state_dict())
        if (number + 1) % 50 == 0:
            progress.write(f"round {number + 1}: dev AUPRC {dev_auprc(average, tokenizer, dev, recipe.max_tokens):.3f}")
    return write(between(teacher, average, part), tokenizer, work / "refined")


def write(model: Any, tokenizer: Any, out: Path) -> Path:
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m training.refine", description=__doc__)
    arguments.add_argument("data", type=Path)
    arguments.add_argument("encoder", type=Path)
    arguments.add_argument("--work", type=Path, required=True)
    arguments.add_argument("--start", type=Path, required=True, help="the model folder to begin from; not that of --out")
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--name", default="weir-safeguard")
    arguments.add_argument("--part", type=float, default=0.65, help="of the way from the old weights to the new")
    arguments.add_argument("--rounds", type=int, default=360)
    arguments.add_argument("--rate", type=float, default=1.5e-4)
    arguments.add_argument("--seed", type=int, default=Recipe().seed)
    arguments.add_argument("--threads", type=int, default=2)
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    given.work.mkdir(parents=True, exist_ok=True)
    recipe = Recipe(rounds=given.rounds, rate=given.rate, max_tokens=WINDOW, seed=given.seed)
    trained = refine(given.data, given.encoder, given.start, given.work, recipe, given.part)
    before = json.loads((given.start / "manifest.json").read_text(encoding="utf-8"))["note"]
    note = f"{before}; {given.rounds} rounds more, {given.part:g} of the way"
    rows = ours.rows(given.seed)
    ship(given.data, trained, given.work, given.out, given.name, note, rows, SHARES, given.start / "screen.onnx")


if __name__ == "__main__":
    main()
