"""docs/telemetry.md has every metric that there is, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from proxy import metrics

DOCS = Path(__file__).parents[2] / "docs"


def exposed() -> dict[str, tuple[str, tuple[str, ...]]]:
    """name as it is asked for -> (kind, labels)."""
    found = {}
    for one in {id(c): c for c in metrics.registry._collector_to_names}.values():
        kind = one._type  # type: ignore[attr-defined]
        name = one._name + ("_total" if kind == "counter" else "")  # type: ignore[attr-defined]
        found[name] = (kind, tuple(one._labelnames))  # type: ignore[attr-defined]
    return found


def test_the_table_is_what_the_code_has() -> None:
    told = {}
    for line in (DOCS / "telemetry.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| `weir_"):
            names, kind, labels, meaning = (cell.strip() for cell in line.strip("|").split("|"))
            assert meaning
            for name in re.findall(r"`(\w+)`", names):
                assert name not in told
                told[name] = (kind, tuple(filter(None, labels.replace(" ", "").split(","))))
    assert told == exposed()
