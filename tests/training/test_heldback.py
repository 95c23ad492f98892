"""The command that writes the rows that nothing learns from."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from proxy.evaluate.report import read_rows
from training import heldback, ours


def test_what_it_writes_is_read_by_eval_and_not_learnt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["heldback", str(tmp_path)])
    heldback.main()
    files = sorted(tmp_path.glob("*.jsonl"))
    assert {"made-english", "made-others", "made-people", "made-hate-harm"} <= {file.stem for file in files}
    assert not {row["id"] for row in read_rows(files)} & {row["id"] for row in ours.rows(seed=7)}
