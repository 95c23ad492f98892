"""What the screen may say, and what it may never do."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from proxy import builtin
from proxy.detect.scanner import Scanner
from proxy.guard import Guard
from proxy.model.artefact import Artefact
from proxy.model.classifier import Classifier, Found
from proxy.model.queue import ScoringQueue
from proxy.policy.load import parse_policy
from proxy.types import Action, Segment

CALM = "Could you help me plan a birthday party for my grandmother in the garden next weekend? "
HARM = "I am going to stab you to death tonight, and then I will kill your whole family."


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.load(builtin.MODEL, screened=True)


class Counting:
    """The classifier, and how many windows it has read."""

    def __init__(self, classifier: Classifier) -> None:
        self.inner, self.read = classifier, 0
        self.artefact, self.screen = classifier.artefact, classifier.screen

    def score(self, items: Sequence[tuple[str, str]], sift: Sequence[bool] = (), embed: bool = False) -> list[Found]:
        found = self.inner.score(items, sift, embed)
        self.read += sum(map(bool, found))
        return found


def test_ordinary_text_has_no_scores_and_harm_has_the_classifiers(classifier: Classifier) -> None:
    calm, harm = classifier.score([(CALM, ""), (HARM, "")], [True, True])
    assert calm == {}
    assert harm == pytest.approx(classifier.score([(HARM, "")])[0], abs=0.03)


def test_who_does_not_ask_for_it_gets_every_score(classifier: Classifier) -> None:
    assert set(classifier.score([(CALM, "")])[0]) == set(classifier.artefact.labels)
    assert set(Classifier.load(builtin.MODEL).score([(CALM, "")], [True])[0]) == set(classifier.artefact.labels)


def test_harm_far_inside_a_long_text_is_passed_on_alone(classifier: Classifier) -> None:
    long = CALM * 60 + HARM + CALM * 60
    windows = [ids for ids, _ in classifier.windows(long, "")]
    assert classifier.screen is not None
    suspects = classifier.screen.suspects(windows)
    assert 1 <= sum(suspects) < len(windows) / 3
    threshold = classifier.artefact.threshold("violence", 0.005, "user")
    assert classifier.score([(long, "")], [True])[0]["violence"] >= threshold


def test_company_changes_nothing(classifier: Classifier) -> None:
    assert classifier.screen is not None
    windows = [ids for text in (CALM, HARM, "Hi", CALM * 3) for ids, _ in classifier.windows(text, "")]
    assert classifier.screen.suspects(windows) == [classifier.screen.suspects([w])[0] for w in windows]


async def test_a_threshold_below_the_screens_floor_is_the_classifiers(classifier: Classifier) -> None:
    floor = Artefact.load(builtin.MODEL).screen
    assert floor is not None
    for threshold, read in ((floor.floor["violence"] + 0.01, 0), (floor.floor["violence"] - 0.01, 1)):
        counting = Counting(classifier)
        queue = ScoringQueue(counting)  # type: ignore[arg-type]
        text = f"version: 1\nname: x\nrules:\n  - {{id: v, detect: {{category: violence, threshold: {threshold}}}, action: block}}\n"
        policy = parse_policy(text, classifier.artefact, "x.yaml", "x")
        guard = Guard({"x": policy}, Scanner([]), queue)
        assert (await guard.judge(policy, Segment(CALM))).action is Action.PASS
        assert counting.read == read
        assert (await guard.judge(policy, Segment(HARM))).action is Action.BLOCK
        queue.close()


async def test_a_sifted_text_is_remembered_apart_from_a_whole_reading(classifier: Classifier) -> None:
    queue = ScoringQueue(classifier)
    assert await queue.score(CALM, sift=True) == {} == await queue.score(CALM, sift=True)
    assert (queue.cache_hits, queue.screened) == (1, 1)
    whole = await queue.score(CALM)
    assert set(whole) == set(classifier.artefact.labels)
    queue.close()
