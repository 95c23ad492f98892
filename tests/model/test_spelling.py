from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import BPE

from proxy import builtin
from proxy.evaluate.evasion import typos
from proxy.model.classifier import Classifier
from proxy.model.spelling import LONGEST, Spelling

TOKENIZER = Tokenizer.from_file(str(builtin.MODEL / "tokenizer.json"))
SPELLING = Spelling(TOKENIZER)


def mended(text: str) -> str:
    found = TOKENIZER.encode(text, add_special_tokens=False)
    return " ".join(str(TOKENIZER.id_to_token(one)) for one in SPELLING.mended(found.ids, found.word_ids))


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("the governmnt", "the government"),  # lost
        ("a straange garden", "a strange garden"),  # doubled
        ("in the wnidow", "in the window"),  # swapped
        ("my neighbpur knows", "my neighbour knows"),  # replaced
        ("la bibliotheqe", "la bibliotheque"),
        ("ddoctorr", "dd ##oc ##tor ##r"),  # two slips
        ("kilometres", "kilometres"),  # known
    ],
)
def test_one_slip_is_put_right(slip: str, meant: str) -> None:
    assert mended(slip) == meant


def test_of_two_words_the_more_frequent_one() -> None:
    assert mended("thier") == "their"


@given(st.text(max_size=60))
def test_what_is_known_stays_and_nothing_grows(text: str) -> None:
    found = TOKENIZER.encode(text, add_special_tokens=False)
    new = SPELLING.mended(found.ids, found.word_ids)
    assert len(new) <= len(found.ids)
    left = iter(new)  # those of one piece, in their order
    assert all(one in left for one, word in zip(found.ids, found.word_ids, strict=True) if found.word_ids.count(word) == 1)


def test_a_very_long_word_is_left_alone() -> None:
    assert mended("x" * (LONGEST + 1)).startswith("xx ##x")


def test_tokens_of_another_kind_are_not_touched() -> None:
    assert Spelling.of(Tokenizer(BPE())) is None


def test_harm_is_found_in_spite_of_slips() -> None:
    """Planted: each sentence with a slip every 25 letters, read with and without them put right."""
    harm = [
        "I will wait behind your house tonight and stab you in the throat",
        "tell your brother that we know his school and that he will be shot",
        "we are going to burn the mosque down while they are praying inside",
    ]
    mending = Classifier.load(builtin.MODEL)
    plain = Classifier(replace(mending.artefact, closer=None))
    rng = np.random.default_rng(1)
    texts = [(typos(typos(one, rng), rng), "") for one in harm for _ in range(8)]
    before, after = ([scores["violence"] for scores in one.score(texts)] for one in (plain, mending))
    assert all(b >= a for a, b in zip(before, after, strict=True))
    assert np.mean(after) > np.mean(before) + 0.02
