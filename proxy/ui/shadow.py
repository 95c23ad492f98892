"""What a second policy would have done with the same traffic, as it was recorded."""

from __future__ import annotations

from collections import Counter
from typing import Any

from starlette.responses import Response

from proxy.audit.rates import Differing, compared, differences, differing
from proxy.audit.store import Record, Store
from proxy.ui.rates import SPANS, window_of
from proxy.ui.visit import Visit

LISTED = 50


async def show(visit: Visit) -> Response:
    span, window = window_of(visit, "7d")

    def read(store: Store) -> tuple[dict[tuple[str, str], int], list[Differing], list[Record]]:
        return compared(store, window), differing(store, window), differences(store, window, LISTED)

    both, changes, records = await visit.desk.log(read)
    pairs = [
        (live, other, n, sorted((c for c in changes if (c.policy, c.shadow) == (live, other)), key=lambda c: -c.requests))
        for (live, other), n in sorted(both.items(), key=lambda pair: -pair[1])
    ]
    lines = [(record, one) for record in records for one in record.facts.get("shadow") or () if _differs(one)]
    gained = Counter(rule for _, one in lines for rule in one["gained"])
    lost = Counter(rule for _, one in lines for rule in one["lost"])
    config = visit.desk.config
    return visit.page(
        "shadow.html", span=span, spans=tuple(SPANS), window=window, pairs=pairs, lines=lines, gained=gained, lost=lost,
        routes=[route.name for route in config.routes], shadows=[route for route in config.routes if route.shadow],
    )  # fmt: skip


def _differs(one: dict[str, Any]) -> bool:
    return bool(one["gained"] or one["lost"] or one["action"] != one["shadow"])
