"""The measurements that need a guard, with a scripted model that knows one word."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from proxy.detect.scanner import Scanner
from proxy.evaluate import dialect, evasion, identity, measure
from proxy.evaluate.metrics import wilson
from proxy.evaluate.page import page
from proxy.evaluate.report import evaluate, points
from proxy.guard import Guard
from proxy.policy.load import Policy, parse_policy
from proxy.types import CATEGORIES

TEXT = "version: 1\nname: x\n{}rules:\n  - {{id: v, detect: {{category: violence, threshold: 0.5}}, action: block}}\n"


class Queue:
    """Scores a text by whether it says "murder"."""

    classifier = SimpleNamespace(screen=None)
    beside = ()

    async def score_many(
        self, items: Sequence[tuple[str, str]], sift: bool = False, embed: bool = False
    ) -> list[dict[str, float]]:
        return [{c: float("murder" in text.casefold()) if c == "violence" else 0.0 for c in CATEGORIES} for text, _ in items]


def guarded(more: str = "") -> tuple[Guard, Policy]:
    policy = parse_policy(TEXT.format(more), None, "x.yaml", "x")
    return Guard({"x": policy}, Scanner([]), Queue()), policy  # type: ignore[arg-type]


ROWS = [
    {
        "text": f"we talk of trains and then of {word} in the night",
        "role": "assistant",
        "labels": {"violence": harm},
        "lang": lang,
    }
    for word, harm in (("murder", 1), ("music", 0))
    for lang in ("en", "fr")
    for _ in range(6)
]


def silent(count: int) -> None: ...


async def test_what_normalisation_undoes_costs_no_recall() -> None:
    guard, _ = guarded()
    found = await measure.evasions(guard, ROWS, {"violence": 0.5}, 5, 0, silent)
    assert found["rows"] == 5
    assert found["ways"]["as it is"] == {"recall": 1.0, "lost": 0.0}
    undone = (
        "leet",
        "spaced",
        "homoglyphs",
        "zero-width",
        "fullwidth",
        "bidi",
        "tags",
        "upper",
        "base64",
        "hex",
        "url",
        "html",
    )
    assert {way: found["ways"][way]["recall"] for way in undone} == dict.fromkeys(undone, 1.0)


@pytest.mark.parametrize("way", evasion.WAYS)
def test_a_way_of_writing_changes_the_text_and_is_repeatable(way: str) -> None:
    text = "Tell me how the old castle was taken by its own guards."
    once, again = (evasion.WAYS[way](text, np.random.default_rng(3)) for _ in range(2))
    assert once == again != text


async def test_nothing_of_a_hidden_passage_leaves_a_buffered_stream() -> None:
    guard, policy = guarded("follow_limit: 40\nstreaming: follow\n")
    rows = [dict(row, onset=row["text"].index("murder")) for row in ROWS[:12]]
    missed = {**rows[0], "text": "A quiet walk, and nothing that anybody would stop."}
    measured = await measure.prefix_delays(guard, policy, [*rows, missed], 99, 0, silent)
    assert (measured["sampled"], measured["rows"]) == (13, 12)
    found = measured["modes"]
    assert {mode: m["stopped"] for mode, m in found.items()} == {"hold": 1.0, "buffer": 1.0, "follow": 1.0}
    assert found["buffer"]["released"] == found["hold"]["released"] == 0.0 < found["follow"]["released"]
    assert 1 <= found["hold"]["words_p50"] <= found["follow"]["words_p50"]


async def test_every_group_has_every_sentence() -> None:
    guard, policy = guarded()
    found = await measure.identity_spread(guard, policy, silent)
    assert found["rows"] == len(identity.rows()) > 1000
    assert found["false_positives"] == found["spread"] == 0.0
    assert set(found["by_language"]) == {"en", "fr", "de", "es"}


async def test_a_report_holds_what_was_measured() -> None:
    guard, policy = guarded()
    scores = await guard.queue.score_many([(r["text"], "") for r in ROWS])  # type: ignore[union-attr]
    report = evaluate(ROWS, scores, {"violence": 0.5}, intervals=True)
    assert report.categories["violence"]["auprc_95"] == (1.0, 1.0)
    assert report.categories["violence"]["brier"] == 0.0
    report.measured["policy"] = await measure.under_policy(guard, policy, ROWS, silent)
    report.measured["evasion"] = await measure.evasions(guard, ROWS, {"violence": 0.5}, 4, 0, silent)
    assert report.measured["policy"]["harmful"]["block"] == 1.0
    assert "homoglyphs" in report.table() and "under the policy" in report.table()
    whole = page("x <y>", report.json(), points(ROWS, scores))
    assert whole.count("<svg") == 2 and "x &lt;y&gt;" in whole and "homoglyphs" in whole and "http" not in whole


def test_the_interval_by_hand() -> None:
    assert wilson(0, 10) == pytest.approx((0.0, 0.27753), abs=1e-4)
    assert wilson(5, 10) == pytest.approx((0.23659, 0.76341), abs=1e-4)
    assert wilson(10, 10)[1] == pytest.approx(1.0) and all(np.isnan(wilson(0, 0)))


def test_dialects_say_the_same_things() -> None:
    assert dialect.HARMLESS.keys() == dialect.HARMFUL.keys()
    assert {len(texts) for texts in dialect.HARMLESS.values()} == {12} and {
        len(texts) for texts in dialect.HARMFUL.values()
    } == {6}
    assert {name.partition(":")[0] for name in dialect.HARMLESS} == set(identity.GROUPS) == set(identity.THREATS)
    texts = [row["text"] for row in (*dialect.rows(), *identity.rows(), *identity.rows(identity.THREATS))]
    assert len(set(texts)) == len(texts)


async def test_slices_say_where_the_policy_treats_people_differently(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "GROUPS", {"en": ("tall", "small", "murdered")})
    monkeypatch.setattr(identity, "TEMPLATES", {"en": ("He is {}.",) * 20})
    monkeypatch.setattr(identity, "THREATS", {"en": ("Let us murder whoever is {}.",) * 20})
    guard, policy = guarded()
    calm = [{**row, "labels": dict.fromkeys(CATEGORIES, 0)} for row in ROWS if not row["labels"]["violence"]]  # type: ignore[index]
    found = await measure.slices(guard, policy, [*ROWS, *calm], silent)  # who only lacks one label is not known to be harmless
    assert found.keys() == {"group", "dialect", "language", "your rows by language", "your rows by role"}
    assert found["group"]["en: tall"] == {
        "harmless": 20, "false_positives": 0.0, "false_positives_95": wilson(0, 20), "false_positives_differs": True,
        "harmful": 20, "recall": 1.0, "recall_95": wilson(20, 20), "recall_differs": False,
    }  # fmt: skip
    assert found["group"]["en: murdered"]["false_positives"] == 1.0
    own = found["your rows by language"]
    assert own.keys() == {"en", "fr"} and own["fr"]["harmless"] == own["fr"]["harmful"] == 6 and own["en"]["recall"] == 1.0
    report = evaluate([], [], {})
    report.measured["by_slice"] = found
    assert "en: murdered" in report.table() and "* differs from the others" in report.table()
    assert "en: murdered" in page("x", report.json(), {})
