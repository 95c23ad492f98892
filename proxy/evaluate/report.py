"""Labelled rows and their scores in, a report out."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from proxy.evaluate import metrics
from proxy.types import CATEGORIES
from proxy.yamlfile import FileError, Problem

Row = dict[str, Any]
ENOUGH = 5  # positives and negatives below which a slice is noise


def read_rows(paths: Iterable[Path]) -> list[Row]:
    """`{"id", "text", "role", "lang", "labels": {category: 0|1|null}, "source"}` a line. Raises FileError with file:line."""
    rows: list[Row] = []
    problems: list[Problem] = []
    for path in paths:
        opened: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
        try:
            with opened(path, "rt", encoding="utf-8") as lines:
                for number, line in enumerate(lines, 1):
                    if line.strip():
                        row, wrong = _row(line)
                        rows.append(row)
                        if wrong:
                            problems.append(Problem(str(path), number, wrong))
        except (OSError, UnicodeDecodeError) as error:
            problems.append(Problem(str(path), 1, f"cannot be read ({type(error).__name__})"))
    if problems:
        raise FileError(problems[:20])
    return rows


def _row(line: str) -> tuple[Row, str]:
    try:
        row = json.loads(line)
    except ValueError:
        return {}, "is not JSON"
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        return {}, 'needs a "text"'
    if not isinstance(row.get("labels"), dict):
        return row, 'needs "labels": {category: 0, 1 or null}'
    unknown = [c for c in row["labels"] if c not in CATEGORIES]
    return row, f'unknown category "{unknown[0]}"' if unknown else ""


@dataclass(frozen=True, slots=True)
class Report:
    rows: int
    categories: dict[str, dict[str, Any]]
    slices: dict[str, dict[str, dict[str, float]]]  # by language, source, role, length: mean AUPRC and so on
    measured: dict[str, Any] = field(default_factory=dict)  # what `evaluate.measure` adds, under its names

    def json(self) -> dict[str, Any]:
        return {
            "rows": self.rows, "mean_auprc": self.mean, "categories": self.categories, "slices": self.slices, **self.measured,
        }  # fmt: skip

    @property
    def mean(self) -> float:
        return float(np.mean([m["auprc"] for m in self.categories.values()])) if self.categories else float("nan")

    def table(self) -> str:
        if not self.rows:
            return "\n".join(self._measured()).strip()
        head = f"{'category':14} {'pos':>6} {'neg':>7} {'AUPRC':>7} {'AUROC':>7} {'F1':>6} {'R@1%':>6} {'R@0.1%':>7} {'ECE':>6}"
        lines = [f"{self.rows} rows", head]
        for name, m in self.categories.items():
            lines.append(
                f"{name:14} {m['positives']:6.0f} {m['negatives']:7.0f} {m['auprc']:7.3f} {m['auroc']:7.3f} {m['f1']:6.3f} "
                f"{m['recall_1pct']:6.3f} {m['recall_01pct']:7.3f} {m['ece']:6.3f}"
            )
        lines.append(f"{'mean':14} {'':14} {self.mean:7.3f}")
        for kind, found in self.slices.items():
            lines += ["", f"{'by ' + kind:28} {'rows':>6} {'AUPRC':>7} {'flagged benign':>15}"]
            lines += (
                f"{n:28} {m['rows']:6.0f} {m['auprc']:7.3f} {m['false_positives']:15.4f}" for n, m in sorted(found.items())
            )
        return "\n".join([*lines, *self._measured()])

    def _measured(self) -> list[str]:
        lines: list[str] = []
        if found := self.measured.get("policy"):
            lines += ["", f"{'under the policy':18} {'rows':>6} {'pass':>7} {'flag':>7} {'redact':>7} {'block':>7}"]
            lines += (
                f"{kind:18} {m['rows']:6} {m['pass']:7.3f} {m['flag']:7.3f} {m['redact']:7.3f} {m['block']:7.3f}"
                for kind, m in found.items()
            )
        if found := self.measured.get("evasion"):
            lines += ["", f"{'evasion (' + str(found['rows']) + ' rows)':24} {'recall':>7} {'lost':>7}"]
            lines += (f"{way:24} {m['recall']:7.3f} {m['lost']:7.3f}" for way, m in found["ways"].items())
        if found := self.measured.get("prefixes"):
            lines += [
                "",
                f"as streams: {found['rows']} of {found['sampled']} harmful rows, those that are stopped as a whole answer",
                f"{'':18} {'stopped':>8} {'words p50':>10} {'p90':>6} {'released':>9}",
            ]
            lines += (
                f"{mode:18} {m['stopped']:8.3f} {m['words_p50']:10.0f} {m['words_p90']:6.0f} {m['released']:9.3f}"
                for mode, m in found["modes"].items()
            )
        if found := self.measured.get("identity"):
            stopped = f"stopped {found['false_positives']:.4f}, spread {found['spread']:.3f}"
            lines += ["", f"groups: {found['rows']} harmless sentences, {stopped}"]
            lines += (f"  {name}: {rate:.3f}" for name, rate in found["worst"].items() if rate)
        for kind, table in self.measured.get("by_slice", {}).items():
            lines += _slice_lines(kind, table)
        return lines


def _slice_lines(kind: str, table: dict[str, dict[str, Any]]) -> list[str]:
    """All slices of a few; of many, those that differ from the others."""
    wide = 16  # slices that are shown whole

    def cell(line: dict[str, Any], name: str, count: str) -> str:
        low, high = line[f"{name}_95"]
        mark = "*" if line[f"{name}_differs"] else " "
        return f"{line[count]:7} {line[name]:6.3f}{mark} [{low:.3f}, {high:.3f}]" if line[count] else f"{0:7}{'':23}"

    shown = {n: m for n, m in table.items() if len(table) <= wide or m["false_positives_differs"] or m["recall_differs"]}
    left = f"; {len(table) - len(shown)} more do not differ from the others" if len(shown) < len(table) else ""
    head = f"{'harmless':>9} {'stopped':>7} {'95 %':>14} {'harmful':>10} {'recall':>7} {'95 %':>14}"
    return [
        "", f"{'by ' + kind:28} {head}",
        *(f"{n:28}   {cell(m, 'false_positives', 'harmless')}   {cell(m, 'recall', 'harmful')}" for n, m in shown.items()),
        f"  * differs from the others{left}",
    ]  # fmt: skip


def evaluate(
    rows: Sequence[Row], scores: Sequence[dict[str, float]], thresholds: dict[str, float], intervals: bool = False
) -> Report:
    categories: dict[str, dict[str, Any]] = {}
    for name in CATEGORIES:
        labels, found = _pick(rows, scores, name)
        if (labels == 1).sum() and (labels == 0).sum():
            categories[name] = {
                "positives": float((labels == 1).sum()),
                "negatives": float((labels == 0).sum()),
                "auprc": metrics.auprc(labels, found),
                "auroc": metrics.auroc(labels, found),
                "f1": metrics.f1(labels, found, thresholds.get(name, 0.5)),
                "threshold": thresholds.get(name, 0.5),
                "recall_1pct": metrics.recall_at(labels, found, 0.01),
                "recall_01pct": metrics.recall_at(labels, found, 0.001),
                "ece": metrics.calibration_error(labels, found),
                "brier": metrics.brier(labels, found),
            }
            if intervals:
                categories[name]["auprc_95"] = metrics.interval(labels, found)
    return Report(
        len(rows), categories, {k: _slices(k, rows, scores, thresholds) for k in ("lang", "role", "length", "source")}
    )


def points(rows: Sequence[Row], scores: Sequence[dict[str, float]]) -> dict[str, tuple[metrics.Array, metrics.Array]]:
    """Labels and scores of each category that the rows have both kinds of."""
    found = {name: _pick(rows, scores, name) for name in CATEGORIES}
    return {name: pair for name, pair in found.items() if 0 < pair[0].sum() < len(pair[0])}


def _slice_of(row: Row, kind: str) -> str:
    if kind != "length":
        return str(row.get(kind, ""))
    return next(f"up to {most}" for most in (50, 200, 800, 1 << 30) if len(row["text"]) <= most).replace(
        str(1 << 30), "the longest"
    )


def _pick(rows: Sequence[Row], scores: Sequence[dict[str, float]], name: str) -> tuple[metrics.Array, metrics.Array]:
    known = [
        (float(r["labels"][name]), s.get(name, 0.0))
        for r, s in zip(rows, scores, strict=True)
        if r["labels"].get(name) is not None
    ]
    table = np.array(known, dtype=np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _slices(
    kind: str, rows: Sequence[Row], scores: Sequence[dict[str, float]], thresholds: dict[str, float]
) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for value in sorted({_slice_of(r, kind) for r in rows}):
        picked = [(r, s) for r, s in zip(rows, scores, strict=True) if _slice_of(r, kind) == value]
        some_rows, some_scores = [r for r, _ in picked], [s for _, s in picked]
        areas = []
        for name in CATEGORIES:
            labels, one = _pick(some_rows, some_scores, name)
            if min((labels == 1).sum(), (labels == 0).sum()) >= ENOUGH:
                areas.append(metrics.auprc(labels, one))
        calm = [s for r, s in picked if all(v == 0 for v in r["labels"].values())]
        wrong = [any(s.get(c, 0.0) >= thresholds.get(c, 0.5) for c in CATEGORIES) for s in calm]
        found[value] = {
            "rows": float(len(picked)),
            "auprc": float(np.mean(areas)) if areas else float("nan"),
            "false_positives": float(np.mean(wrong)) if wrong else float("nan"),
        }
    return found


def write_scores(path: Path, rows: Sequence[Row], scores: Sequence[dict[str, float]]) -> None:
    with path.open("w", encoding="utf-8") as out:
        for row, score in zip(rows, scores, strict=True):
            out.write(json.dumps({"id": row.get("id"), "scores": {k: round(v, 6) for k, v in score.items()}}) + "\n")
