"""Categories learnt from examples: on the model that is shipped, with paraphrases that were not among them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.taught import FOLDER, measure
from proxy import builtin
from proxy.detect.scanner import Scanner
from proxy.guard import Guard
from proxy.model.artefact import ModelError
from proxy.model.classifier import Classifier
from proxy.model.fewshot import fit
from proxy.model.learner import Learner
from proxy.model.queue import ScoringQueue
from proxy.policy.lint import lint
from proxy.policy.load import Detectors, parse_policy
from proxy.types import Action, Segment

POLICY = """\
version: 1
rules:
  - id: dosage
    detect:
      examples:
        violates:
          - Take 40 mg twice a day with food.
          - Two tablets in the morning and one before bed should be enough.
          - The usual amount is 500 milligrams three times daily for a week.
          - You can double the dose tonight if the pain does not stop.
        allows: [Please ask your pharmacist how much you may take., Our 500 ml bottle is sold in packs of six.]
      fpr: 0.02
    on: [completion]
    action: block
"""


@pytest.fixture(scope="module")
def queue():
    queue = ScoringQueue(Classifier.load(builtin.MODEL))
    yield queue
    queue.close()


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_rates_hold_on_texts_like_the_background() -> None:
    rng = np.random.default_rng(1)
    centre = rng.normal(size=24)
    ordinary = unit(rng.normal(size=(800, 24)))
    head = fit(unit(centre + rng.normal(size=(20, 24))), unit(rng.normal(size=(0, 24)).reshape(0, 24)), ordinary)
    others, alike = unit(rng.normal(size=(4000, 24))), unit(centre + rng.normal(size=(200, 24)))
    for fpr in (0.01, 0.05):
        share = float((head.scores(others.astype(np.float16)) >= head.threshold(fpr)).mean())
        assert 0.2 * fpr < share < 2.5 * fpr
    assert (head.scores(alike.astype(np.float16)) >= head.threshold(0.05)).mean() > 0.6
    assert head.threshold(0.0001) > head.threshold(0.001) > head.threshold(0.01)


def test_realistic_categories(queue: ScoringQueue) -> None:
    found = [measure(file, queue.classifier, queue.learner) for file in sorted(FOLDER.glob("*.yaml"))]
    assert len(found) == 6
    assert sum(one.found for one in found) >= 0.6 * sum(one.of for one in found)
    # Those that must pass are near misses of the same topic, harder than the ordinary texts that the rate is about.
    assert sum(one.alarms for one in found) <= 0.2 * sum(one.calm for one in found)


def test_a_rule_of_examples_decides(queue: ScoringQueue) -> None:
    policy = parse_policy(POLICY, queue.classifier.artefact, "p.yaml", "p", detectors=Detectors({}, queue.learner))
    guard = Guard({"p": policy}, Scanner([]), queue)

    def judged(text: str, direction: str = "completion") -> Action:
        role = "user" if direction == "prompt" else "assistant"
        return asyncio.run(guard.judge(policy, Segment(text, role, direction))).action  # type: ignore[arg-type]

    assert judged("Take 25 mg of it three times a day with food.") is Action.BLOCK
    assert judged("Take 25 mg of it three times a day with food.", "prompt") is Action.PASS
    assert judged("Your parcel will come on Thursday between two and four.") is Action.PASS
    verdict = asyncio.run(guard.judge(policy, Segment("Take two tablets of 40 mg each morning.", "assistant", "completion")))
    assert [(o.rule, o.decided_by) for o in verdict.outcomes] == [("dosage", "examples")]


def test_what_was_learnt_is_remembered(queue: ScoringQueue) -> None:
    texts = ["one thing is said", "another thing is said", "a third thing is said"]
    assert queue.learner.learn(texts, []) is queue.learner.learn(list(texts), [])
    assert queue.learner.learn(texts, []) is not queue.learner.learn(texts[:2], texts[2:])


def test_a_model_without_embeddings_says_so(queue: ScoringQueue) -> None:
    bare = Classifier.load(builtin.MODEL)
    bare.artefact = replace(bare.artefact, embeds=False)
    with pytest.raises(ModelError, match="no embedding output"):
        Learner(bare).learn(["a", "b", "c"], [])


def test_without_a_model_the_rule_fails_closed() -> None:
    policy = parse_policy(POLICY, None, "p.yaml", "p")
    guard = Guard({"p": policy}, Scanner([]), None)
    verdict = asyncio.run(guard.judge(policy, Segment("anything at all", "assistant", "completion")))
    assert verdict.action is Action.BLOCK and verdict.unavailable


def test_lint_reads_what_is_taught(tmp_path: Path, queue: ScoringQueue) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("""\
version: 1
rules:
  - id: mine
    detect:
      examples:
        violates: [take two pills a day, take two pills a day, the bus is late]
        allows: [The bus is late]
    action: block
examples:
  - {prompt: hello, expect: {action: pass}}
""")
    found = [str(p) for p in lint(path, queue.classifier.artefact, Detectors({}, queue.learner))]
    for message in (
        "violates[1] stands there twice",
        "allows[0] contradicts itself: violates[2] is the same text",
        "3 examples are few; from 8 on a rule begins to hold, 30 are good",
    ):
        assert any(message in one for one in found), found
