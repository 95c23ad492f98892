"""A report as one HTML file that needs nothing else: tables, precision and recall, calibration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np

from proxy.evaluate.metrics import Array

SIZE = 180
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --ink: #2563eb; --soft: #8888; }
@media (prefers-color-scheme: dark) { :root { --ink: #7aa2ff; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 74rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; }
.plots { display: flex; flex-wrap: wrap; gap: 1.2rem; } figure { margin: 0; } figcaption { text-align: center; }
svg { overflow: visible; } svg text { font-size: 10px; fill: currentColor; opacity: .7; }
.frame { fill: none; stroke: var(--line); } .curve { fill: none; stroke: var(--ink); stroke-width: 1.8; }
.even { stroke: var(--soft); stroke-dasharray: 3 3; } .dot { fill: var(--ink); }
"""


def page(title: str, report: dict[str, Any], points: dict[str, tuple[Array, Array]]) -> str:
    """`points`: labels and scores of each category."""
    parts = [f"<h1>{escape(title)}</h1><p>{report['rows']} rows, mean AUPRC {report['mean_auprc']:.3f}</p>"]
    parts.append(_table("category", report["categories"]))
    plots = (_figure(f"{name}: precision over recall", _pr_curve(*pair)) for name, pair in points.items())
    parts.append(f'<h2>Precision and recall</h2><div class="plots">{"".join(plots)}</div>')
    plots = (_figure(f"{name}: how often, over how sure", _calibration(*pair)) for name, pair in points.items())
    parts.append(f'<h2>Calibration</h2><div class="plots">{"".join(plots)}</div>')
    for kind, found in report["slices"].items():
        parts.append(f"<h2>By {escape(kind)}</h2>{_table(kind, found)}")
    for name, title_, key in (
        ("policy", "Under the policy", None), ("evasion", "Evasion", "ways"), ("prefixes", "Prefixes of streams", "modes"),
        ("identity", "Sentences about groups", "by_language"),
    ):  # fmt: skip
        if name in report:
            parts.append(f"<h2>{title_}</h2>{_table(name, report[name][key] if key else report[name])}")
    for kind, found in report.get("by_slice", {}).items():
        parts.append(f"<h2>Under the policy, by {escape(kind)}</h2>{_table(kind, found)}")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style><body>{''.join(parts)}</body></html>\n"
    )


def _table(first: str, rows: dict[str, dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(key for row in rows.values() for key in row))
    head = "".join(f"<th>{escape(c.replace('_', ' '))}</th>" for c in (first, *columns))
    body = "".join(
        f"<tr><td>{escape(name)}</td>{''.join(f'<td>{_cell(row.get(c))}</td>' for c in columns)}</tr>"
        for name, row in sorted(rows.items(), key=lambda pair: -float(pair[1].get("rows", pair[1].get("positives", 0))))
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "–".join(_cell(v) for v in value)
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.0f}" if value.is_integer() and value > 1 else f"{value:.3f}"
    return "" if value is None else escape(str(value))


def _figure(caption: str, inside: str) -> str:
    frame = f'<rect class="frame" width="{SIZE}" height="{SIZE}"/>'
    places = ((0, SIZE + 12, 0), (SIZE - 5, SIZE + 12, 1), (-12, 8, 1))
    ticks = "".join(f'<text x="{x}" y="{y}">{what}</text>' for x, y, what in places)
    size = f'width="{SIZE}" height="{SIZE + 16}"'
    return (
        f'<figure><svg {size} role="img" aria-label="{escape(caption)}">{frame}{ticks}{inside}</svg>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _line(points: Iterable[tuple[float, float]]) -> str:
    path = " ".join(f"{x * SIZE:.1f},{(1 - y) * SIZE:.1f}" for x, y in points)
    return f'<polyline class="curve" points="{path}"/>'


def _pr_curve(labels: Array, scores: Array) -> str:
    hits = labels[np.argsort(-scores, kind="stable")]
    true = np.cumsum(hits)
    recall, precision = true / max(1.0, hits.sum()), true / np.arange(1, len(hits) + 1)
    shown = np.unique(np.linspace(0, len(hits) - 1, 300).astype(int)) if len(hits) > 300 else np.arange(len(hits))
    keep = np.union1d(shown, np.flatnonzero(hits)[:: max(1, int(hits.sum()) // 200)])
    return _line(zip(recall[keep], precision[keep], strict=True))


def _calibration(labels: Array, scores: Array) -> str:
    bins = np.minimum((scores * 10).astype(int), 9)
    found: Sequence[tuple[float, float]] = [
        (float(scores[bins == b].mean()), float(labels[bins == b].mean())) for b in range(10) if (bins == b).sum() >= 5
    ]
    dots = "".join(f'<circle class="dot" r="2.5" cx="{x * SIZE:.1f}" cy="{(1 - y) * SIZE:.1f}"/>' for x, y in found)
    return f'<line class="even" x1="0" y1="{SIZE}" x2="{SIZE}" y2="0"/>{_line(found)}{dots}'
