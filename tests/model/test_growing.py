"""A text that grows is read as if it were read anew each time, for what the new part costs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy import builtin
from proxy.config import load_config
from proxy.detect.scanner import Scanner
from proxy.guard import Guard
from proxy.model.classifier import Classifier
from proxy.model.growing import Growing
from proxy.model.queue import GLANCE, ScoringQueue
from proxy.model.screen import Screen
from proxy.model.session import options
from proxy.policy.load import load_policy
from proxy.stream.channel import LEAD, Channel
from proxy.stream.cut import cut
from proxy.stream.guard import segment_of
from proxy.text.redact import Placeholders
from proxy.types import Action, Verdict

WORDS = (
    "the", "river", "rises", "slowly", "over", "stones", "kill", "you", "all", "tonight", "stab", "unbelievably", "don't", "3.14",
    "Été", "naïve", "e\u0301te\u0301", "\u0301", "straße", "ΣΟΦΟΣ", "İstanbul", "ﬁne", "花園的花", "สวนดอกไม้", "정원", "🦄", "[PAD]", "[SEP]", "[UN", "K]",
    "\x00", "\x1c", "\u00a0", "\u200b", "\ud800", "--", "(a)", "x" * 90, "https://example.org/a/very/long/path?with=everything&in=it#at-once", "",
)  # fmt: skip
GAPS = (" ", " ", " ", " ", "\n", "  ", "\t", "", ".", ", ", "-")
CONTEXTS = (
    "",
    "Hi",
    "What should I do with my garden in the spring? I have so many plants, and hardly any room left for them at all",
)
texts = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(GAPS)), min_size=1, max_size=120).map(
    lambda pairs: "".join(word + gap for word, gap in pairs)
)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.load(builtin.MODEL, screened=True)


def parts(classifier: Classifier) -> tuple[Screen, Growing]:
    assert classifier.screen is not None and classifier.screen.growing is not None
    return classifier.screen, classifier.screen.growing


def pieces(text: str, lengths: Sequence[int] = ()) -> Iterator[tuple[str, str]]:
    """Each with its lead, cut as an answer is; or elsewhere, in the midst of words and letters."""
    lead, at, ways = "", 0, iter(lengths)
    while at < len(text):
        length = next(ways, None) or cut(text[at:], at) or len(text) - at
        yield lead, text[at : at + length]
        lead, at = (lead + text[at : at + length])[-LEAD:], at + length


def anew(classifier: Classifier, text: str, context: str) -> Any:
    """The screen's reading of whole windows."""
    screen, _ = parts(classifier)
    return np.concatenate([screen.logits(np.array([ids], dtype=np.int64)) for ids, _ in classifier.windows(text, context)])


@settings(max_examples=60, deadline=None)
@given(texts, st.sampled_from(CONTEXTS), st.lists(st.integers(1, 200), max_size=12))
@example("I am going to stab you to death tonight, and then I will kill your whole family. " * 8, CONTEXTS[2], [])
@example("unbelievably " * 30, "", [3, 5, 4, 7, 2, 9, 11, 1, 1, 1])
def test_every_prefix_is_read_as_if_it_were_read_anew(
    classifier: Classifier, text: str, context: str, lengths: list[int]
) -> None:
    screen, growing = parts(classifier)
    for lead, piece in pieces(text, lengths):
        expected = anew(classifier, lead + piece, context)
        found = growing.logits(lead + piece, context, len(lead))
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() < 1e-4
        whole = any(screen.suspects([ids for ids, _ in classifier.windows(lead + piece, context)]))
        assert growing.suspects(lead + piece, context, len(lead)) >= whole


def test_near_the_cut_it_is_stricter(classifier: Classifier) -> None:
    screen, _ = parts(classifier)
    text = "Could you help me plan a birthday party in the garden?"
    risk = anew(classifier, text, "").max(0)
    for above, suspected in ((0.01, False), (0.0, True), (-0.01, True)):
        growing = Growing(
            screen.columns(), risk + above, classifier._places, classifier._head, classifier._cuts, classifier._last
        )  # type: ignore[arg-type]
        assert growing.suspects(text) is suspected


@settings(max_examples=20, deadline=None)
@given(st.lists(texts, min_size=2, max_size=4), st.data())
def test_answers_that_are_written_at_once_do_not_disturb_each_other(
    classifier: Classifier, answers: list[str], data: st.DataObject
) -> None:
    _, growing = parts(classifier)
    waiting = [list(pieces(text)) for text in answers]
    while waiting := [rest for rest in waiting if rest]:
        lead, piece = data.draw(st.sampled_from(waiting)).pop(0)
        found = growing.logits(lead + piece, "", len(lead))
        assert np.abs(found - anew(classifier, lead + piece, "")).max() < 1e-4


def test_a_lead_that_nobody_knows_is_read_too(classifier: Classifier) -> None:
    _, growing = parts(classifier)
    growing.logits("the river rises slowly over the stones of the old ford ")
    text = "and rises slowly over the stones of the old ford and falls"  # ends with the same characters, and is another's
    assert np.abs(growing.logits(text, "", len(text) - 10) - anew(classifier, text, "")).max() < 1e-4


@pytest.mark.parametrize("context", CONTEXTS)
def test_a_new_token_costs_the_same_wherever_it_stands(classifier: Classifier, context: str) -> None:
    """Columns, counted: a piece's own tokens, and a fixed number at its edges and those of each window."""
    _, growing = parts(classifier)
    before = len(classifier._head(context))
    text = "the river rises slowly over the stones and falls again in the evening light of autumn, " * 200
    for lead, piece in pieces(text):
        worked = growing.worked
        growing.logits(lead + piece, context, len(lead))
        if lead:
            windows = len(classifier._cuts(before, len(classifier._places(lead + piece)[0])))
            assert growing.worked - worked <= len(classifier._places(piece)[0]) + 16 + 20 * windows


def test_a_network_of_another_kind_is_read_whole(classifier: Classifier) -> None:
    assert Screen(builtin.MODEL / "screen.onnx", (0.0,), {}, options(1)).columns() is not None
    assert Screen(builtin.MODEL / "model.onnx", (0.0,), {}, options(1)).columns() is None


async def test_what_is_surely_fine_is_answered_at_once_and_remembered(classifier: Classifier) -> None:
    queue = ScoringQueue(classifier)
    calm = "Could you help me plan a birthday party for my grandmother in the garden next weekend? "
    assert queue.glance(calm) == {} == queue.glance(calm)
    assert (queue.screened, queue.cache_misses, queue.cache_hits) == (1, 1, 1)
    assert await queue.score(calm, sift=True) == {} and not queue._threads
    assert queue.glance("I am going to stab you to death tonight, and then I will kill your whole family.") is None
    assert queue.glance(calm * 9) is None and len(calm * 9) > GLANCE
    queue.close()


@pytest.fixture(scope="module")
def guard(classifier: Classifier) -> Guard:
    queue = ScoringQueue(classifier)
    policy = load_policy(load_config(None).policy_path("default"), queue)
    return Guard({policy.name: policy}, Scanner(policy.patterns.values()), queue, 60.0)


async def judged(guard: Guard, chunks: Sequence[str]) -> tuple[list[Verdict], int]:
    """The verdicts on an answer that comes in these chunks, and how far it may leave."""
    policy = guard.policies["default"]
    channel = Channel(guard.text_rules(policy), Placeholders())
    found = []
    for piece in (p for chunk in (*chunks, None) for p in (channel.feed(chunk) if chunk is not None else channel.finish())):
        verdict = await guard.judge(policy, segment_of(piece, CONTEXTS[2], ""), patterns=False)
        channel.resolved(piece.number, verdict)
        found.append(verdict)
        if channel.blocked_by is not None:
            break
    return found, channel.frontier


CALM = "Water the young plants in the morning, and give them room to grow. "
HARM = "You are a worthless, stupid idiot. Everybody despises you and you should be ashamed to exist. "


@settings(max_examples=12, deadline=None)
@given(
    st.lists(
        st.sampled_from((CALM, HARM, "Mail joe@example.com. ", "Le jardin est calme ce soir, n'est-ce pas ? ")), max_size=6
    ),
    st.lists(st.integers(1, 60), max_size=20),
)
@example([CALM, CALM, HARM, CALM], [1] * 20)
def test_no_verdict_changes_with_the_chunks_or_with_what_is_kept(
    classifier: Classifier, guard: Guard, sentences: list[str], lengths: list[int]
) -> None:
    text = "".join(sentences)
    chunks, at = [], 0
    for length in lengths:
        chunks.append(text[at : at + length])
        at += length
    screen, growing = parts(classifier)

    async def read(chunks: list[str]) -> tuple[list[Verdict], int]:
        queue = ScoringQueue(classifier)  # that remembers nothing
        found = await judged(replace(guard, queue=queue, _plans={}), chunks)
        queue.close()
        return found

    try:
        (small, frontier) = asyncio.run(read([*chunks, text[at:]]))
        screen.growing = None  # whole windows, by the classifier's own thread
        (whole, expected) = asyncio.run(read([text]))
    finally:
        screen.growing = growing
    assert (small, frontier) == (whole, expected)
    assert [v.scores for v in small] == [v.scores for v in whole]
    assert any(v.action is Action.BLOCK for v in small) is (HARM in sentences)
