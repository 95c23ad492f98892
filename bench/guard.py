"""What the model costs on ordinary text: python -m bench.guard FILE.jsonl.gz… [--sample N]

CPU milliseconds of one thread for 100 tokens, with the screen and without it, and of each part for 128 tokens; what a streamed
answer costs, beside the same words read whole; and what the screen sends on for what it keeps.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from proxy import builtin
from proxy.config import load_config
from proxy.evaluate import prefixes
from proxy.evaluate.report import read_rows
from proxy.guard import CONTEXT
from proxy.model.classifier import Classifier
from proxy.model.queue import ScoringQueue
from proxy.types import Segment, Verdict
from proxy.workbench import load_queue, open_guard


def cpu(work: Callable[[], object]) -> float:
    """Milliseconds of this process."""
    before = time.process_time()
    work()
    return (time.process_time() - before) * 1000


def each(work: Callable[[], object], times: int = 300) -> float:
    work()
    return min(cpu(lambda: [work() for _ in range(times // 5)]) / (times // 5) for _ in range(5))


@dataclass(slots=True)
class Streamed:
    """Answers of so many words: their pieces, those of them that the classifier read, and milliseconds: streamed, streamed with
    a screen that reads each piece's lead again, and read whole by the model alone."""

    words: int
    answers: int = 0
    pieces: int = 0
    read: int = 0
    streamed: float = 0.0
    again: float = 0.0
    whole: float = 0.0


async def stream(texts: list[str], context: str) -> list[Streamed]:
    """Everything that is done for the words of an answer, under the built-in policy, the screen and the patterns included.
    Nothing stops it on its way."""
    config = load_config(None)
    queue = load_queue(config)
    guard, policy = open_guard(config.policy_path("default"), queue, config)
    policy = replace(policy, rules=tuple(replace(rule, enforced=False) for rule in policy.rules))
    rules, words = guard.text_rules(policy), " ".join(texts).split()
    classifier, screen = queue.classifier, queue.classifier.screen
    assert screen is not None
    growing, looks = screen.growing, list[Verdict]()

    async def cost(text: str) -> float:
        fresh = replace(guard, queue=ScoringQueue(classifier), _plans={})  # that remembers nothing
        looks.clear()

        async def judge(segment: Segment) -> Verdict:
            looks.append(await fresh.judge(policy, replace(segment, context=context), patterns=False))
            return looks[-1]

        before = time.process_time()
        await prefixes.stream(text, 0, "hold", 0, rules, judge)
        spent = (time.process_time() - before) * 1000
        assert fresh.queue is not None
        fresh.queue.close()
        return spent

    found = []
    for count, answers in ((50, 2), (250, 8), (1000, 3), (4000, 1)):  # the first to warm up
        found.append(one := Streamed(count))
        while one.answers < answers and len(words) >= count:
            text, words = " ".join(words[:count]), words[count:]
            rounds = []
            for _ in range(3):  # the best of them: whatever else the machine does only adds
                screen.growing = None
                again = await cost(text)
                screen.growing = growing
                rounds.append((await cost(text), again, cpu(partial(classifier.score, [(text, context)], [True]))))
            streamed, again, whole = map(min, zip(*rounds, strict=True))
            one.streamed, one.again, one.whole = one.streamed + streamed, one.again + again, one.whole + whole
            one.pieces, one.read, one.answers = one.pieces + len(looks), one.read + sum(map(has_scores, looks)), one.answers + 1
    queue.close()
    return [one for one in found[1:] if one.answers]


def has_scores(verdict: Verdict) -> bool:
    return bool(verdict.scores)


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
    text = "the quick brown fox jumps over the lazy dog and then " * 12
    print(
        f"128 tokens: screen {each(lambda: screen.suspects([ids[0]])):.3f} ms, "
        f"classifier {each(lambda: classifier.logits([ids]), 50):.2f} ms, "
        f"tokens of a text of {len(text)} characters {each(lambda: classifier.windows(text, '')):.3f} ms"
    )
    question = next(r["text"] for r in rows if r.get("role") == "user" and len(r["text"]) >= CONTEXT)[-CONTEXT:]
    answers = [rows[i]["text"] for i in chosen if rows[i].get("role") == "assistant"]
    for context in ("", question):
        for one in asyncio.run(stream(answers, context)):
            words, asked = one.words * one.answers / 100, " to a question" if context else ""
            print(
                f"a streamed answer of {one.words} words{asked}: {one.streamed / words:.1f} ms for "
                f"100 of them, {one.again / words:.1f} with every lead screened again, {one.whole / words:.1f} if read whole; "
                f"the classifier read {one.read / one.pieces:.0%} of {one.pieces // one.answers} pieces"
            )
    for point in classifier.artefact.manifest["screen"]["curve"]:
        print(f"the screen sends {point['sent_on']:.1%} of ordinary texts on where it keeps {point['kept']:.1%}")


if __name__ == "__main__":
    main()
