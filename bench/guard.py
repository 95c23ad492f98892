"""What the model costs on ordinary text: python -m bench.guard FILE.jsonl.gz… [--sample N]

CPU milliseconds of one thread for 100 tokens, with the screen and without it, and of each part for 128 tokens.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from proxy import builtin
from proxy.evaluate.report import read_rows
from proxy.model.classifier import Classifier


def cpu(work: Callable[[], object]) -> float:
    """Milliseconds of this process."""
    before = time.process_time()
    work()
    return (time.process_time() - before) * 1000


def each(work: Callable[[], object], times: int = 300) -> float:
    work()
    return min(cpu(lambda: [work() for _ in range(times // 5)]) / (times // 5) for _ in range(5))


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m bench.guard", description=__doc__)
    arguments.add_argument("files", type=Path, nargs="+")
    arguments.add_argument("--sample", type=int, default=2000)
    arguments.add_argument("--model", type=Path, default=builtin.MODEL)
    given = arguments.parse_args()
    rows = read_rows(given.files)
    chosen = np.random.default_rng(0).permutation(len(rows))[: given.sample]
    texts = [rows[i]["text"] for i in chosen]
    classifier = Classifier.load(given.model, threads=1, screened=True)
    windows = [w for text in texts for w in classifier.windows(text, "")]
    tokens = sum(len(ids) for ids, _ in windows)
    screen = classifier.screen
    assert screen is not None
    sent_on = sum(screen.suspects([ids])[0] for ids, _ in windows)
    whole = cpu(lambda: [classifier.score([(text, "")]) for text in texts])
    sifted = cpu(lambda: [classifier.score([(text, "")], [True]) for text in texts])
    print(f"{len(texts)} texts, {len(windows)} windows, {tokens} tokens; {sent_on / len(windows):.1%} of the windows sent on")
    print(f"CPU ms for 100 tokens: {whole / tokens * 100:.2f} without the screen, {sifted / tokens * 100:.2f} with it")
    ids = (list(range(2000, 2128)), [0] * 128)
    words = "the quick brown fox jumps over the lazy dog and then " * 12
    print(
        f"128 tokens: screen {each(lambda: screen.suspects([ids[0]])):.3f} ms, "
        f"classifier {each(lambda: classifier.logits([ids]), 50):.2f} ms, "
        f"tokens of a text of {len(words)} characters {each(lambda: classifier.windows(words, '')):.3f} ms"
    )


if __name__ == "__main__":
    main()
