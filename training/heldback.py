"""python -m training.heldback FOLDER: made, written and judged rows that no training learns from, for `weir eval --data FILE`.

One file a source; a row is as in the pool.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from training import ours, written


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m training.heldback", description=__doc__)
    arguments.add_argument("folder", type=Path)
    given = arguments.parse_args()
    by_source: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in [*ours.rows(seed=7, held=True), *written.judged()]:
        by_source[row["source"]].append(row)
    given.folder.mkdir(parents=True, exist_ok=True)
    for source, rows in by_source.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (given.folder / f"{source}.jsonl").write_text(text, encoding="utf-8")
        print(f"{len(rows):6} {source}")


if __name__ == "__main__":
    main()
