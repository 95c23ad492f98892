"""Rows that are made from templates."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proxy.evaluate import identity
from proxy.types import CATEGORIES
from training import attacks, intimacy, lookalikes, people, written
from training.made import fill, is_held

Rows = list[dict[str, Any]]
MAKERS: dict[str, Callable[[], Rows]] = {
    "people": lambda: people.rows(held=False), "people held back": lambda: people.rows(held=True), "lookalikes": lookalikes.rows,
    "attacks": lambda: attacks.rows(7), "intimacy": intimacy.rows,
    "written": lambda: written.rows(held=False), "written, held back": lambda: written.rows(held=True),
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


def test_what_is_written_has_its_header_s_labels(tmp_path: Path) -> None:
    file = tmp_path / "some.txt"
    file.write_text("# x\n[de user violence ?harassment]\nIch {a|b} {c|d|e}.\n\n[fr document -]\nUne ligne\\net une autre\n")
    (one, *_), (other, lang, role, harm) = written.lines(file)
    assert len(written.fillings(one)) == 6 and "Ich b e." in written.fillings(one)
    assert (other, lang, role, harm) == ("Une ligne\net une autre", "fr", "document", {})
    assert next(written.lines(file))[1:] == ("de", "user", {"violence": 1, "harassment": None})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Hello\n", ":1: no header above it"), ("[en user -]\na {b} c\n", ":2: no header above it, or a brace"),
        ("[en user violance]\n", ":1: no category violance"), ("[xx user -]\n", ":1: no language of ours: xx"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_says_where(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "some.txt"
    file.write_text(text)
    with pytest.raises(ValueError, match=re.escape(f"some.txt{problem}")):
        list(written.lines(file))


def test_of_a_line_with_many_choices_the_same_few_are_taken() -> None:
    line = "".join(f"{{{i}|x{i}}} " for i in range(8))
    assert written.fillings(line) == written.fillings(line) and 6 < len(written.fillings(line)) <= written.FILLINGS


def test_a_line_and_all_its_fillings_are_held_back_together() -> None:
    learnt, held = written.rows(held=False), written.rows(held=True)
    assert not {row["text"] for row in learnt} & {row["text"] for row in held}
    assert 0.09 < len(held) / (len(held) + len(learnt)) < 0.16


def test_nothing_of_what_is_judged_is_learnt() -> None:
    judged = written.judged()
    learnt = {row["text"] for maker in MAKERS.values() for row in maker()}
    assert not {row["text"] for row in judged} & learnt
    assert {row["lang"] for row in judged} == {"en", "fr", "de", "es"}
    assert {row["role"] for row in judged} == {"user", "assistant", "document"}


def test_shares_of_what_is_written_add_up_and_small_files_are_not_drowned() -> None:
    found = written.shares(0.4)
    assert sum(found.values()) == pytest.approx(0.4)
    assert set(found) == {row["source"] for held in (False, True) for row in written.rows(held)}
    lines = {
        f"made-{file.stem}-calm": sum(not harm for *_, harm in written.lines(file)) for file in written.FOLDER.glob("*.txt")
    }
    large, small = max(lines, key=lines.__getitem__), "made-replies-calm"
    assert found[large] > found[small] > found[large] * lines[small] / lines[large]
