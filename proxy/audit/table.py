"""Records as flat rows, for spreadsheets and data frames."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from proxy.audit.store import Record

TEXTS = (
    "id time kind about route key provider model policy classifier action answer ended error rules enforced not_inspected "
    "subject"
).split()
NUMBERS = (
    "seq status prompt_inspected prompt_not_inspected prompt_redacted completion_inspected completion_not_inspected "
    "completion_redacted completion_withheld prompt_ms first_text_ms total_ms prompt_tokens completion_tokens"
).split()


def flat(record: Record) -> dict[str, Any]:
    facts = record.facts
    chars, ms, usage, rules = (facts.get(name) or {} for name in ("chars", "ms", "usage", "rules"))
    row: dict[str, Any] = {name: facts.get(name) for name in TEXTS}
    row |= {
        "seq": record.seq, "time": datetime.fromtimestamp(record.at, UTC).isoformat(), "subject": record.subject,
        "status": facts.get("status"), "rules": " ".join(one["rule"] for one in rules),
        "enforced": " ".join(one["rule"] for one in rules if one["enforced"]),
        "not_inspected": "; ".join(facts.get("not_inspected") or ()),
        "prompt_ms": ms.get("prompt"), "first_text_ms": ms.get("first_text"), "total_ms": ms.get("total"),
        "prompt_tokens": usage.get("prompt"), "completion_tokens": usage.get("completion"),
    }  # fmt: skip
    for direction, names in (
        ("prompt", "inspected not_inspected redacted"),
        ("completion", "inspected not_inspected redacted withheld"),
    ):
        row |= {f"{direction}_{name}": chars.get(direction, {}).get(name) for name in names.split()}
    return {name: row.get(name) for name in ("seq", *TEXTS, *NUMBERS[1:])}


def write_csv(records: Iterable[Record], out: TextIO) -> int:
    writer = csv.DictWriter(out, ["seq", *TEXTS, *NUMBERS[1:]])
    writer.writeheader()
    count = 0
    for record in records:
        # A spreadsheet must not take a name for a formula.
        row = {k: f"'{v}" if isinstance(v, str) and v[:1] in tuple("=+-@\t\r") else v for k, v in flat(record).items()}
        writer.writerow(row)
        count += 1
    return count


def write_parquet(records: Iterable[Record], out: Path) -> int:
    """Raises ModuleNotFoundError without pyarrow."""
    import pyarrow
    import pyarrow.parquet

    whole = {"seq", "status", "prompt_tokens", "completion_tokens"}
    kinds = {
        name: pyarrow.float64()
        if name.endswith("_ms")
        else pyarrow.int64()
        if name in NUMBERS or name in whole
        else pyarrow.string()
        for name in ("seq", *TEXTS, *NUMBERS[1:])
    }
    schema, count = pyarrow.schema(list(kinds.items())), 0
    with pyarrow.parquet.ParquetWriter(out, schema) as writer:
        batch: list[dict[str, Any]] = []
        for record in records:
            batch.append(flat(record))
            count += 1
            if len(batch) >= 10_000:
                writer.write_table(pyarrow.Table.from_pylist(batch, schema=schema))
                batch = []
        writer.write_table(pyarrow.Table.from_pylist(batch, schema=schema))
    return count
