from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.evaluate import metrics
from proxy.evaluate.report import evaluate, read_rows, write_scores
from proxy.yamlfile import FileError

LABELS = np.array([1, 0, 1, 0, 0], dtype=np.float64)
SCORES = np.array([0.9, 0.8, 0.7, 0.2, 0.1])


def test_figures_worked_out_by_hand() -> None:
    assert metrics.auprc(LABELS, SCORES) == pytest.approx((1 + 2 / 3) / 2)
    assert metrics.auroc(LABELS, SCORES) == pytest.approx(5 / 6)
    assert metrics.f1(LABELS, SCORES, 0.75) == pytest.approx(0.5)
    assert metrics.recall_at(LABELS, SCORES, 0.0) == pytest.approx(0.5)
    assert metrics.recall_at(LABELS, SCORES, 0.34) == pytest.approx(1.0)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=2, max_size=40))
def test_ties_and_order_do_not_matter(pairs: list[tuple[bool, int]]) -> None:
    table = np.array(pairs, dtype=np.float64)
    if not 0 < table[:, 0].sum() < len(table):
        return
    again = table[np.random.default_rng(1).permutation(len(table))]
    for metric in (metrics.auprc, metrics.auroc):
        value = metric(table[:, 0], table[:, 1])
        assert 0 <= value <= 1
        assert value == pytest.approx(metric(again[:, 0], again[:, 1]))


def test_a_label_that_nobody_gave_counts_for_nothing() -> None:
    rows = [{"text": "a", "labels": {"hate": v, "violence": None}, "lang": "en"} for v in (1, 0, 1, 0, 0)]
    report = evaluate(rows, [{"hate": s, "violence": 0.5} for s in SCORES], {"hate": 0.75})
    assert set(report.categories) == {"hate"}
    assert report.mean == pytest.approx(metrics.auprc(LABELS, SCORES))
    assert report.slices["lang"]["en"]["rows"] == 5
    assert "hate" in report.table()


def test_rows_are_read_and_scores_written(tmp_path: Path) -> None:
    row = {"id": "1", "text": "x", "role": "user", "lang": "en", "labels": {"hate": 1}, "source": "s"}
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as out:
        out.write(json.dumps(row) + "\n\n")
    rows = read_rows([tmp_path / "a.jsonl.gz"])
    assert rows == [row]
    write_scores(tmp_path / "s.jsonl", rows, [{"hate": 0.25}])
    assert json.loads((tmp_path / "s.jsonl").read_text()) == {"id": "1", "scores": {"hate": 0.25}}


@pytest.mark.parametrize("line", ["{", '{"id": 1}', '{"text": "a"}', '{"text": "a", "labels": {"hats": 1}}'])
def test_a_bad_row_is_told_with_its_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "a", "labels": {}}\n' + line + "\n")
    with pytest.raises(FileError, match=r"a\.jsonl:2"):
        read_rows([file])
