from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy import builtin
from proxy.model.classifier import Classifier
from proxy.model.explain import CALLS, explain
from proxy.model.queue import ScoringQueue

CALM = "Could you help me plan a birthday party for my grandmother in the garden next weekend? "
HARM = "I am going to stab you to death tonight."


@pytest.fixture(scope="module")
def queue() -> Iterator[ScoringQueue]:
    one = ScoringQueue(Classifier.load(builtin.MODEL))
    yield one
    one.close()


@pytest.mark.parametrize("text", [HARM, CALM + HARM + " " + CALM, CALM * 25 + HARM + " " + CALM * 25])
async def test_the_words_that_threaten_weigh_most(queue: ScoringQueue, text: str) -> None:
    found = await explain(queue.score_many, text, "violence")
    assert found.calls <= CALLS
    heaviest = {text[w.span.start : w.span.end] for w in found.weights[:3]}
    assert heaviest & {"stab", "death", "kill", "tonight."}
    threat = text.index(HARM)
    assert all(threat <= w.span.start < threat + len(HARM) for w in found.weights[:2])
    assert found == await explain(queue.score_many, text, "violence")


async def test_a_text_without_words_has_no_reasons(queue: ScoringQueue) -> None:
    assert (await explain(queue.score_many, "  \n", "hate")).weights == ()


@given(st.lists(st.sampled_from(["tea", "cake", "poison", "a", "würzig"]), max_size=4000))
@settings(max_examples=60, deadline=None)
async def test_it_reads_few_texts_and_points_at_the_cause(words: list[str]) -> None:
    read = 0

    async def score(items: Sequence[tuple[str, str]]) -> Sequence[Mapping[str, float]]:
        nonlocal read
        read += len(items)
        return [{"illicit": min(0.9, 0.1 + 0.2 * text.count("poison"))} for text, _ in items]

    text = " ".join(words)
    found = await explain(score, text, "illicit")
    assert read == found.calls <= CALLS
    spans = sorted(w.span for w in found.weights)
    assert all(a.end <= b.start for a, b in pairwise(spans))
    if words.count("poison") == 1:
        assert "poison" in text[found.weights[0].span.start : found.weights[0].span.end]
