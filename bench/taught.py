"""Categories that a team would teach: recall and false alarms on paraphrases that were held back, and the time to learn.

python -m bench.taught [--model FOLDER]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml

from proxy import builtin
from proxy.model.classifier import Classifier
from proxy.model.learner import Learner

FOLDER = Path(__file__).with_suffix("")
FPR = 0.02


class Taught(NamedTuple):
    name: str
    seconds: float
    found: int
    of: int
    alarms: int
    calm: int


def measure(file: Path, classifier: Classifier, learner: Learner, fpr: float = FPR) -> Taught:
    given = yaml.safe_load(file.read_text(encoding="utf-8"))
    topic = given.get("topic", False)
    started = time.perf_counter()
    first, second = ("allows", "violates") if topic else ("violates", "allows")
    head = learner.learn(given[first], given[second])
    seconds = time.perf_counter() - started
    line = head.threshold_of_topic(fpr) if topic else head.threshold(fpr)

    def hits(texts: list[str]) -> int:
        found = classifier.score([(text, "") for text in texts], embed=True)
        likeness = [float(np.max(head.scores(one.embeddings))) for one in found if one.embeddings is not None]
        return sum((p <= line) if topic else (p >= line) for p in likeness)

    held = given["held"]
    return Taught(file.stem, seconds, hits(held["violates"]), len(held["violates"]), hits(held["allows"]), len(held["allows"]))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, default=builtin.MODEL)
    classifier = Classifier.load(parser.parse_args().model)
    learner = Learner(classifier)
    print("| category | learnt in | found | false alarms |\n|---|---|---|---|")
    for file in sorted(FOLDER.glob("*.yaml")):
        one = measure(file, classifier, learner)
        print(f"| {one.name} | {one.seconds * 1000:.0f} ms | {one.found} of {one.of} | {one.alarms} of {one.calm} |")


if __name__ == "__main__":
    main()
