"""Texts from files for the policy commands: JSON lines or CSV, `.gz` too.

A case has a text, and may say what is expected of it and which categories it belongs to:

    {"prompt": "…" | "completion": "…" | "text": "…", "role": "user", "tool": "…", "expect": {"action": "block", "rule": "r"}}
    text,role,tool,action,rule
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from proxy.policy.load import Example
from proxy.policy.schema import RoleName
from proxy.types import CATEGORIES, Action, Direction
from proxy.yamlfile import FileError, Problem, did_you_mean

_ROLES = get_args(RoleName)
_ACTIONS = {str(action): action for action in Action}


@dataclass(frozen=True, slots=True)
class Row:
    """One text. `expected`: it says what should become of it. `labels`: category -> whether it belongs there. Of a decision
    that somebody has marked: as what (`mark`), and the rule that it is `about`."""

    example: Example
    expected: bool
    labels: Mapping[str, bool] = field(default_factory=dict)
    id: str = ""
    mark: str = ""
    about: str = ""


def read_rows(path: Path) -> list[Row]:
    """Raises FileError with everything that is wrong, by line."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = raw.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError([Problem(str(path), 1, f"cannot be read ({type(error).__name__})")]) from None
    is_csv = path.name.removesuffix(".gz").endswith(".csv")
    rows: list[Row] = []
    problems: list[Problem] = []
    for line, values in _of_csv(text) if is_csv else _of_lines(text):
        try:
            rows.append(row_of(values, str(path), line))
        except ValueError as error:
            problems.append(Problem(str(path), line, str(error)))
    if problems:
        raise FileError(problems)
    return rows


def _of_lines(text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except ValueError:
                yield number, None


def _of_csv(text: str) -> Iterator[tuple[int, Any]]:
    reader = csv.DictReader(io.StringIO(text), strict=True)
    line = 2
    try:
        for values in reader:
            yield line, {k: v for k, v in values.items() if v not in ("", None)} if None not in values else None
            line = reader.line_num + 1
    except csv.Error:
        yield line, None


def row_of(values: Any, file: str, line: int) -> Row:
    """Raises ValueError."""
    if not isinstance(values, dict):
        raise ValueError("not a JSON object, or not a row of the header's columns")
    texts = [(key, values[key]) for key in ("prompt", "completion", "text") if key in values]
    if len(texts) != 1 or not isinstance(texts[0][1], str):
        raise ValueError('needs exactly one of "prompt", "completion" and "text"')
    kind, text = texts[0]
    tool = values.get("tool")
    if tool is not None and not isinstance(tool, str):
        raise ValueError('"tool" is the name of one')
    role = values.get("role") or ("assistant" if kind == "completion" else "user" if tool is None else "document")
    if role not in _ROLES:
        raise ValueError(f'unknown role "{str(role)[:40]}"; one of: {", ".join(_ROLES)}')
    direction: Direction = "prompt" if kind == "prompt" or (kind == "text" and role != "assistant") else "completion"
    expect = values["expect"] if isinstance(values.get("expect"), dict) else values
    action = expect.get("action")
    if action is not None and action not in _ACTIONS:
        raise ValueError(f'unknown action "{str(action)[:40]}"{did_you_mean(str(action), _ACTIONS)}')
    rule = expect.get("rule")
    labels = values.get("labels") or {}
    if not isinstance(labels, dict) or any(v not in (0, 1, None) for v in labels.values()):
        raise ValueError('"labels" is a mapping of categories to 0, 1 or null')
    if other := [c for c in labels if c not in CATEGORIES]:
        raise ValueError(f'unknown category "{str(other[0])[:40]}"{did_you_mean(str(other[0]), CATEGORIES)}')
    example = Example(text, direction, _ACTIONS.get(action or "pass", Action.PASS), rule, line, role, file, tool=tool)
    known = {c: bool(v) for c, v in labels.items() if v is not None}
    id, mark, about = (str(values.get(name) or "") for name in ("id", "mark", "about"))
    return Row(example, action is not None, known, id or f"{Path(file).name}:{line}", mark, about)
