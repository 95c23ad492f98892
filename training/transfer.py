"""python -m training.transfer DATA ENCODER --work FOLDER: what a recipe is worth on sources that it has not learnt from.

A first phase without some sources of each category, and the AUPRC on these: of the encoder alone, of the wide half alone, and
of both where the wide one counts a part. The pool's own dev split cannot tell that: its rows look like those learnt from.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import trange
from transformers import AutoTokenizer

from proxy.evaluate.metrics import auprc
from proxy.types import CATEGORIES
from training import wide, written
from training.data import LANGUAGES, UNKNOWN, Pool, is_held, labels_of, read
from training.finetune import Recipe, fresh, logits, one_round, optimiser, resume, save, untouched
from training.ship import LONGEST, WINDOW

HELD_OUT = frozenset(
    "surge-toxicity edos toxigen-prompts c-ssrs-reddit multijail do-not-answer catqa hh-harmless figstep-safebench"
    " garak-inthewild wild-jailbreaks sap200 xinjecagent asb-tools ethics counsel-chat self-instruct self-instruct-user"
    " us-speeches taskmaster agent-prompts".split()
)
MOST = 500  # rows of a source that are read, harmful ones first
PARTS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5)  # of the wide half's logit beside the whole of the encoder's


def rows_of(data: Path) -> list[dict[str, Any]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for folder in ("train", "dev"):
        for row in read(data / folder):
            if row["source"] in HELD_OUT and row["lang"] == "en":
                found.setdefault(row["source"], []).append(row)
    kept = []
    for rows in found.values():
        rows.sort(key=lambda row: str(row["id"]))
        harmful = [row for row in rows if 1 in row["labels"].values()][: MOST // 2]
        calm = [row for row in rows if 1 not in row["labels"].values()][: MOST - len(harmful)]
        kept += harmful + calm
    return kept


def table(scores: NDArray[np.float64], labels: NDArray[np.float32]) -> dict[str, float]:
    found = {}
    for column, category in enumerate(CATEGORIES):
        known = labels[:, column] != UNKNOWN
        if labels[known, column].sum() >= 20:
            found[category] = round(float(auprc(labels[known, column], scores[known, column])), 3)
    return found | {"mean": round(float(np.mean(list(found.values()))), 3)}


def wide_logits(data: Path, tokenizer: Any, rows: list[dict[str, Any]], made: list[dict[str, Any]]) -> NDArray[np.float64]:
    learnt = [r for r in read(data / "train") if r["lang"] in LANGUAGES and not is_held(r) and r["source"] not in HELD_OUT]

    def ids(some: list[dict[str, Any]]) -> list[NDArray[np.int64]]:
        texts = [row["text"][:LONGEST] for row in some]
        return [np.array(one, dtype=np.int64) for one in tokenizer(texts, add_special_tokens=False)["input_ids"]]

    learnt += made
    other = wide.fit(ids(learnt), np.array([labels_of(r) for r in learnt], dtype=np.float32))
    return other.logits([one[: WINDOW - 2] for one in ids(rows)]).astype(np.float64)


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m training.transfer", description=__doc__)
    arguments.add_argument("data", type=Path)
    arguments.add_argument("encoder", type=Path)
    arguments.add_argument("--work", type=Path, required=True)
    arguments.add_argument("--layers", type=int, nargs="+", default=list(Recipe().layers))
    arguments.add_argument("--rounds", type=int, default=40)
    arguments.add_argument("--seed", type=int, default=Recipe().seed)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--written", type=float, default=0.0, help="share of the draws that `training/written/` has")
    arguments.add_argument(
        "--meaning", type=float, default=Recipe().meaning, help="weight of the untouched encoder's direction"
    )
    arguments.add_argument("--wide", action="store_true", help="the wide half as well")
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    given.work.mkdir(parents=True, exist_ok=True)
    recipe = Recipe(layers=tuple(given.layers), rounds=given.rounds, max_tokens=WINDOW, seed=given.seed, meaning=given.meaning)
    made = written.rows(held=False) if given.written else []
    sources = sorted({row["source"] for row in made})
    shares = {source: given.written / len(sources) for source in sources}
    pool = Pool.load(given.data / "train", made, shares, HELD_OUT)
    rows = rows_of(given.data)
    texts = [row["text"][:LONGEST] for row in rows]
    labels = np.array([labels_of(row) for row in rows], dtype=np.float32)
    tokenizer, model = AutoTokenizer.from_pretrained(given.encoder), fresh(given.encoder, recipe)
    original = untouched(given.encoder)
    steps = optimiser(model, recipe)
    checkpoint = given.work / "transfer.pt"
    first = resume(checkpoint, model, steps)
    progress = trange(first, recipe.rounds, initial=first, total=recipe.rounds, unit="round", mininterval=10)
    for number in progress:
        progress.set_postfix(loss=f"{one_round(number, pool, tokenizer, model, original, steps, recipe):.4f}")
        if (number + 1) % 5 == 0 or number + 1 == recipe.rounds:
            save(checkpoint, model, steps, number + 1)
        if (number + 1) % 10 == 0:
            progress.write(json.dumps({"round": number + 1, **table(logits(model, tokenizer, texts, WINDOW), labels)}))
    deep = logits(model, tokenizer, texts, WINDOW)
    np.savez(given.work / "transfer.npz", deep=deep, labels=labels)
    if given.wide:
        other = wide_logits(given.data, tokenizer, rows, made)
        for part in PARTS:
            print(json.dumps({"deep": 1, "wide": part, **table(deep + part * other, labels)}), flush=True)
        print(json.dumps({"deep": 0, "wide": 1, **table(other, labels)}), flush=True)


if __name__ == "__main__":
    main()
