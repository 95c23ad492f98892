"""Rows that are made from templates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from proxy.evaluate import identity
from proxy.types import CATEGORIES
from training import attacks, intimacy, lookalikes, people
from training.made import fill, is_held

Rows = list[dict[str, Any]]
MAKERS: dict[str, Callable[[], Rows]] = {
    "people": lambda: people.rows(held=False), "people held back": lambda: people.rows(held=True), "lookalikes": lookalikes.rows,
    "attacks": lambda: attacks.rows(7), "intimacy": intimacy.rows,
}  # fmt: skip


@pytest.mark.parametrize("maker", MAKERS)
def test_rows_are_whole_and_none_comes_twice(maker: str) -> None:
    rows = MAKERS[maker]()
    assert all("{" not in row["text"] and list(row["labels"]) == list(CATEGORIES) for row in rows)
    assert {row["lang"] for row in rows} == {"en", "fr", "de", "es"}
    harmful = {row["text"] for row in rows if 1 in row["labels"].values()}
    calm = {row["text"] for row in rows if all(value == 0 for value in row["labels"].values())}
    assert harmful and calm and not harmful & calm


def test_the_same_groups_are_spoken_of_in_both_ways() -> None:
    rows = people.rows(held=False)
    for lang in ("en", "fr", "de", "es"):
        groups = [
            {r["group"] for r in rows if r["lang"] == lang and (r["labels"]["hate"] == 1) is hateful}
            for hateful in (True, False)
        ]
        assert groups[0] == groups[1] and len(groups[0]) > 20


def test_what_is_held_back_is_not_learnt() -> None:
    learnt, held = people.rows(held=False), people.rows(held=True)
    assert not {r["text"] for r in learnt} & {r["text"] for r in held}
    assert not {r["text"] for r in learnt} & {r["text"] for r in identity.rows()}
    assert not {r["group"] for r in learnt if r["lang"] != "en"} & people.HELD_BACK
    assert {"deaf", "lesbian"} <= people.HELD_BACK - {r["group"] for r in learnt}


def test_one_in_eight_of_the_others_is_held_back() -> None:
    rows = [*lookalikes.rows(), *attacks.rows(7), *intimacy.rows()]
    assert 0.08 < sum(is_held(row) for row in rows) / len(rows) < 0.17


def test_attacks_are_the_same_for_the_same_seed() -> None:
    assert attacks.rows(3, 200) == attacks.rows(3, 200) != attacks.rows(4, 200)


def test_every_slot_is_filled_in_every_way() -> None:
    assert list(fill("{a} and {b}, {a}", {"a": ("x", "y"), "b": ("z",)})) == ["x and z, x", "y and z, y"]
