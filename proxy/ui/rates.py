"""How often what happened, over time: by action, route, rule and language, and what Weir's own work took."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from proxy.audit.rates import Count, Delay, Spoken, Window, counts, delays, shares, spoken
from proxy.audit.store import Store
from proxy.types import Action
from proxy.ui.visit import Visit, moment, now

SPANS = {"1h": (60.0, 60), "1d": (1800.0, 48), "7d": (14400.0, 42), "30d": (86400.0, 30)}  # a step's seconds, and steps
ORDER = (*(str(action) for action in reversed(Action)), "refused")  # the gravest lies lowest


def window_of(visit: Visit, default: str = "1d") -> tuple[str, Window]:
    """Ends with the step that is under way, and begins where a step begins: two looks draw the same columns."""
    span = visit.given("since")
    span = span if span in SPANS else default
    width, count = SPANS[span]
    end = (now() // width + 1) * width
    return span, Window(end - width * count, width, count, visit.given("route") or None)


async def show(visit: Visit) -> Response:
    span, window = window_of(visit)

    def read(store: Store) -> tuple[list[Count], list[Spoken], list[Delay], list[Delay]]:
        return counts(store, window), spoken(store, window), delays(store, window), delays(store, window, "completion")

    found, said, prompt, answer = await visit.desk.log(read)
    total = sum(one.requests for one in found)
    series = [(action, _steps(window, [(c.step, c.requests) for c in found if c.action == action])) for action in ORDER]
    ends = (moment(window.since, False), moment(window.until, False))
    times = [moment(window.since + window.width * step, False) for step in range(window.steps)]
    halves = [_line(window, [(d.step, d.half) for d in prompt]), _line(window, [(d.step, d.most) for d in prompt])]
    return visit.page(
        "rates.html",
        span=span, spans=tuple(SPANS), window=window, ends=ends, times=times, total=total,
        series=[(name, values) for name, values in series if any(values)], halves=halves, order=ORDER,
        by_route=list(shares(found, "route")), by_language=list(shares(found, "language")), by_rule=_by_rule(window, said),
        missed=sum(c.requests for c in found if c.missed), delay=_overall(prompt), answer_delay=_overall(answer),
        routes=[route.name for route in visit.desk.config.routes],
        says_language=bool(visit.desk.config.audit and visit.desk.config.audit.language),
    )  # fmt: skip


def _steps(window: Window, found: Sequence[tuple[int, int]]) -> list[int]:
    values = [0] * window.steps
    for step, requests in found:
        if 0 <= step < window.steps:
            values[step] += requests
    return values


def _line(window: Window, found: Sequence[tuple[int, float]]) -> list[float | None]:
    values: list[float | None] = [None] * window.steps
    for step, value in found:
        if 0 <= step < window.steps:
            values[step] = value
    return values


def _by_rule(window: Window, said: Sequence[Spoken]) -> list[tuple[str, int, int, list[int]]]:
    """Rule, how often it took effect, how often it only watched, and that by step."""
    rules: dict[str, list[Spoken]] = {}
    for one in said:
        rules.setdefault(one.rule, []).append(one)
    rows = []
    for name, own in rules.items():
        enforced = sum(one.requests for one in own if one.enforced)
        watched = sum(one.requests for one in own if not one.enforced)
        rows.append((name, enforced, watched, _steps(window, [(one.step, one.requests) for one in own])))
    return sorted(rows, key=lambda row: -(row[1] + row[2]))


def _overall(found: Sequence[Delay]) -> tuple[float, float] | None:
    """The typical and the worst step, weighed by requests."""
    total = sum(one.requests for one in found)
    return (sum(d.half * d.requests for d in found) / total, max(d.most for d in found)) if total else None
