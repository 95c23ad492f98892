"""Marked texts as more examples of a rule, written into the file's own text so that its comments stay."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import yaml

from proxy.policy.data import Row

MOST = 300  # texts that one list may have
_KINDS = ("examples", "unless")
Edit = tuple[int, bool, str]  # where, whether a new list begins there, what is inserted


class Added(NamedTuple):
    """`side`: `violates`, or `allows`."""

    rule: str
    side: str
    text: str


class Learnt(NamedTuple):
    """The file's new text. `left`: rows that say nothing of a rule which goes by examples, or for which there is no room."""

    text: str
    added: tuple[Added, ...]
    left: int


def learnt(text: str, rows: Iterable[Row], only: str = "") -> Learnt:
    """`only`: the one rule that is to learn; a row that names no rule is then about it. What stands there already is not
    added again; a text that was on the other side is left for a person to decide."""
    rules = _taught(text)
    known = {name: {str(one.value) for seq in sides.values() for one in seq.value} for name, (_, sides) in rules.items()}
    room = {(name, side): MOST - len(seq.value) for name, (_, sides) in rules.items() for side, seq in sides.items()}
    added: list[Added] = []
    left = 0
    for row in rows:
        about = row.about or row.example.rule or only
        if about not in rules or (only and about != only):
            left += 1
            continue
        side, said = _side(row), row.example.text
        if said in known[about]:
            continue
        if not said.strip() or room.setdefault((about, side), MOST) <= 0:
            left += 1
            continue
        known[about].add(said)
        room[about, side] -= 1
        added.append(Added(about, side, said))
    edits = [edit for name, (given, sides) in rules.items() for edit in _edits(text, given, sides, name, added)]
    # From the end on, so that places stay true; where a list ends and another begins, the first is made longer before.
    for at, _, new in sorted(edits, reverse=True):
        text = text[:at] + new + text[at:]
    return Learnt(text, tuple(added), left)


def _side(row: Row) -> str:
    wrong = row.mark == "wrong_block" if row.mark else str(row.example.action) == "pass"
    return "allows" if wrong else "violates"


def _taught(text: str) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Rule -> the mapping of its examples, and the lists in it."""
    found = {}
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    for rule in _get(root, "rules").value:
        detect = _get(rule, "detect")
        given = next((value for key, value in detect.value if key.value in _KINDS), None)
        if given is not None:
            found[str(_get(rule, "id").value)] = (given, {key.value: value for key, value in given.value})
    return found


def _get(node: Any, name: str) -> Any:
    return next(value for key, value in node.value if key.value == name)


def _edits(text: str, given: Any, sides: dict[str, Any], rule: str, added: Sequence[Added]) -> list[Edit]:
    edits = []
    for side in ("violates", "allows"):
        new = [quoted(one.text) for one in added if (one.rule, one.side) == (rule, side)]
        if new:
            begins = side not in sides
            at, inserted = _first(text, given, side, new) if begins else _more(text, sides[side], new)
            edits.append((at, begins, inserted))
    return edits


def _more(text: str, listed: Any, new: Sequence[str]) -> tuple[int, str]:
    if not listed.value:
        return listed.end_mark.index - 1, ", ".join(new)
    last = listed.value[-1]
    if not listed.flow_style:
        dash = "\n" + " " * listed.start_mark.column + "- "
        return _line_end(text, last), "".join(dash + one for one in new)
    lines = [one.start_mark.line for one in listed.value[-2:]]
    own_line = lines[0] != lines[-1] or last.start_mark.line != listed.start_mark.line
    between = ",\n" + " " * last.start_mark.column if own_line else ", "
    return last.end_mark.index, "".join(between + one for one in new)


def _first(text: str, given: Any, side: str, new: Sequence[str]) -> tuple[int, str]:
    """The list is not there yet: after the last one that is."""
    key, last = given.value[-1]
    if given.flow_style:
        return last.end_mark.index, f", {side}: [{', '.join(new)}]"
    end = _line_end(text, last.value[-1] if last.value and not last.flow_style else last)
    indent = "\n" + " " * key.start_mark.column
    return end, f"{indent}{side}:" + "".join(f"{indent}  - {one}" for one in new)


def _line_end(text: str, node: Any) -> int:
    """Behind whatever is said of the node in its line."""
    end = node.end_mark.index
    if getattr(node, "style", None) in ("|", ">"):
        end = len(text[:end].rstrip())
    found = text.find("\n", end)
    return len(text) if found < 0 else found


def quoted(text: str) -> str:
    """In one line; what cannot be seen is written by its number."""
    out = []
    for char in text:
        if char in '"\\':
            out.append("\\" + char)
        elif char == "\n":
            out.append("\\n")
        elif char == "\t":
            out.append("\\t")
        elif char.isprintable():
            out.append(char)
        else:
            out.append(f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}")
    return f'"{"".join(out)}"'
