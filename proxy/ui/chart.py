"""Small drawings as SVG. Colours are classes of the style, so that they follow it from light to dark; each has its words."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

WIDTH, HEIGHT = 1140, 190
_METER = 140
_SPARK = (120, 24)
_TOP = 12  # above the highest bar


def meter(score: float, threshold: float | None, label: str) -> Markup:
    """A score from 0 to 1 against its threshold."""
    held = min(max(score, 0.0), 1.0)
    over = threshold is None or score >= threshold
    bar = Markup('<rect class="{}" x="0" y="3" width="{:.1f}" height="8" rx="2"/>').format(
        "bar over" if over else "bar", max(held * _METER, 1.5)
    )
    line = (
        Markup('<line class="limit" x1="{0:.1f}" x2="{0:.1f}" y1="0" y2="14"/>').format(min(threshold, 1.0) * _METER)
        if threshold is not None
        else Markup("")
    )
    return Markup(
        '<svg class="meter" viewBox="0 0 {0} 14" width="{0}" height="14" role="img" aria-label="{1}">'
        '<rect class="track" x="0" y="3" width="{0}" height="8" rx="2"/>{2}{3}</svg>'
    ).format(_METER, label, bar, line)


def spark(values: Sequence[float], steps: int) -> Markup:
    """Decorative: the numbers stand beside it."""
    width, height = _SPARK
    top = max(values, default=0) or 1
    step = width / max(steps, 1)
    bars = Markup("").join(
        Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
            index * step, height - max(value / top * height, 1), max(step - 1, 0.8), max(value / top * height, 1)
        )
        for index, value in enumerate(values)
        if value
    )
    return Markup(
        '<svg class="spark" viewBox="0 0 {0} {1}" width="{0}" height="{1}" aria-hidden="true" focusable="false">'
        '<line class="base" x1="0" x2="{0}" y1="{1}" y2="{1}"/>{2}</svg>'
    ).format(width, height, bars)


def stacked(series: Sequence[tuple[str, Sequence[int]]], ends: tuple[str, str], label: str) -> Markup:
    """Columns of parts that lie on each other, the first lowest; the name of a part is its class."""
    steps = max((len(values) for _, values in series), default=0)
    top = max((sum(values[i] for _, values in series) for i in range(steps)), default=0) or 1
    width, rects = WIDTH / max(steps, 1), []
    for index in range(steps):
        y = float(HEIGHT)
        for name, values in series:
            tall = values[index] / top * (HEIGHT - _TOP)
            if not tall:
                continue
            y -= tall
            rects.append(
                Markup('<rect class="part-{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
                    name, index * width + 0.5, y, max(width - 1, 0.8), tall
                )
            )
    return _frame(Markup("").join(rects), str(top), ends, label)


def lines(series: Sequence[tuple[str, Sequence[float | None]]], unit: str, ends: tuple[str, str], label: str) -> Markup:
    """One line each; where there is no value it is broken."""
    steps = max((len(values) for _, values in series), default=0)
    top = max((value for _, values in series for value in values if value is not None), default=0.0) or 1.0
    drawn = []
    for name, values in series:
        for run in _runs(values):
            points = [((index + 0.5) * WIDTH / steps, HEIGHT - value / top * (HEIGHT - _TOP)) for index, value in run]
            if len(points) == 1:
                drawn.append(Markup('<circle class="dot-{}" cx="{:.1f}" cy="{:.1f}" r="3"/>').format(name, *points[0]))
            else:
                path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
                drawn.append(Markup('<polyline class="line-{}" points="{}"/>').format(name, path))
    return _frame(Markup("").join(drawn), f"{top:.3g} {unit}", ends, label)


def _runs(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    runs: list[list[tuple[int, float]]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((index, value))
    return [run for run in runs if run]


def _frame(inside: Markup, top: str, ends: tuple[str, str], label: str) -> Markup:
    return Markup(
        '<svg class="chart" viewBox="0 0 {w} {tall}" role="img" aria-label="{label}" preserveAspectRatio="xMidYMid meet">'
        '<line class="grid" x1="0" x2="{w}" y1="{t}" y2="{t}"/><line class="grid" x1="0" x2="{w}" y1="{m}" y2="{m}"/>'
        '{inside}<line class="base" x1="0" x2="{w}" y1="{h}" y2="{h}"/>'
        '<text x="0" y="{up}">{top}</text><text x="0" y="{low}">{first}</text>'
        '<text x="{w}" y="{low}" text-anchor="end">{last}</text></svg>'
    ).format(
        w=WIDTH, h=HEIGHT, tall=HEIGHT + 22, t=_TOP, m=(HEIGHT + _TOP) / 2, up=_TOP - 3, low=HEIGHT + 16, label=label,
        inside=inside, top=top, first=ends[0], last=ends[1],
    )  # fmt: skip
