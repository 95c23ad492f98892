"""What the model costs on ordinary text: python -m bench.guard FILE.jsonl.gz… [--sample N]

CPU milliseconds of one thread for 100 tokens, with the screen and without it, and of each part for 128 tokens; what a longer
stream costs; and what the screen sends on for what it keeps.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from proxy import builtin
from proxy.config import load_config
from proxy.evaluate import prefixes
from proxy.evaluate.report import read_rows
from proxy.model.classifier import Classifier
from proxy.workbench import load_queue, open_guard


def cpu(work: Callable[[], object]) -> float:
    """Milliseconds of this process."""
    before = time.process_time()
    work()
    return (time.process_time() - before) * 1000


def each(work: Callable[[], object], times: int = 300) -> float:
    work()
    return min(cpu(lambda: [work() for _ in range(times // 5)]) / (times // 5) for _ in range(5))


async def stream(texts: list[str]) -> list[tuple[int, float]]:
    """Words of a streamed answer, and what 100 of them cost in milliseconds: everything that is done for it, under the built-in
    policy, the screen and the patterns included. Nothing stops it on its way."""
    config = load_config(None)
    queue = load_queue(config)
    guard, policy = open_guard(config.policy_path("default"), queue, config)
    policy = replace(policy, rules=tuple(replace(rule, enforced=False) for rule in policy.rules))
    rules, words = guard.text_rules(policy), " ".join(texts).split()
    found = []
    for count in (50, 250, 1000, 4000):  # the first to warm up
        some, words = " ".join(words[:count]), words[count:]
        before = time.process_time()
        await prefixes.stream(some, 0, "hold", 0, rules, lambda segment: guard.judge(policy, segment, patterns=False))
        found.append((count, (time.process_time() - before) * 1000 / count * 100))
    queue.close()
    return found[1:]


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
    answers = [r["text"] for r in rows if r.get("role") == "assistant"]
    for count, cost in asyncio.run(stream(answers)):
        print(f"a streamed answer of {count} words: {cost:.1f} ms for 100 of them")
    for point in classifier.artefact.manifest["screen"]["curve"]:
        print(f"the screen sends {point['sent_on']:.1%} of ordinary texts on where it keeps {point['kept']:.1%}")


if __name__ == "__main__":
    main()
