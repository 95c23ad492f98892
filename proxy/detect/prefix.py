r"""The prefix closure of a regular expression: a regex of all non-empty beginnings of its matches.

    pref(ab) = pref(a) | a pref(b)      pref(a|b) = pref(a) | pref(b)      pref(a{m,n}) = a{0,n-1} pref(a)

Searched for at the end of a text it tells what could still become a match when more text arrives, from its first
character. Assertions at the end of a beginning are dropped: the text that would decide them is not there yet.
"""

from __future__ import annotations

import re
import re._constants as c
import re._parser as parser
from typing import Any

_CATEGORIES = {
    c.CATEGORY_DIGIT: r"\d", c.CATEGORY_NOT_DIGIT: r"\D", c.CATEGORY_SPACE: r"\s", c.CATEGORY_NOT_SPACE: r"\S",
    c.CATEGORY_WORD: r"\w", c.CATEGORY_NOT_WORD: r"\W",
}  # fmt: skip
_ANCHORS = {c.AT_BOUNDARY: r"\b", c.AT_NON_BOUNDARY: r"\B", c.AT_BEGINNING: "^", c.AT_BEGINNING_STRING: r"\A",
            c.AT_END: "$", c.AT_END_STRING: r"\z"}  # fmt: skip


class Unsupported(Exception):
    """The expression uses something that has no closure here."""


def closure(regex: str) -> str:
    """The prefix closure of `regex`, in RE2 syntax, not anchored. Raises Unsupported."""
    try:
        tree = parser.parse(regex.replace(r"\z", r"\Z"))
    except re.error as error:
        raise Unsupported(str(error)) from error
    return ("(?i)" if tree.state.flags & re.IGNORECASE else "") + _prefix(list(tree))


def _prefix(nodes: list[Any]) -> str:
    """The beginnings that end within `nodes`, at least one character long."""
    if not nodes:
        raise Unsupported("empty")
    (kind, value), rest = nodes[0], nodes[1:]
    whole = _whole(kind, value)
    if kind is c.AT:
        return whole + _prefix(rest) if rest else ""
    here = _prefix_one(kind, value)
    if not rest or all(k is c.AT for k, _ in rest):
        return here
    further = _prefix(rest)
    options = [o for o in (here, f"{whole}{further}") if o]
    return f"(?:{'|'.join(options)})"


def _prefix_one(kind: Any, value: Any) -> str:
    if kind in (c.LITERAL, c.NOT_LITERAL, c.ANY, c.IN):
        return _whole(kind, value)
    if kind is c.SUBPATTERN:
        return _prefix(list(value[3]))
    if kind is c.BRANCH:
        options = [begun for option in value[1] if len(option) and (begun := _prefix(list(option)))]
        return f"(?:{'|'.join(options)})" if options else ""
    if kind in (c.MAX_REPEAT, c.MIN_REPEAT):
        _, most, inner = value
        again = f"(?:{_all(list(inner))})"
        count = "*" if most is c.MAXREPEAT else f"{{0,{most - 1}}}"
        return f"(?:{again}{count}{_prefix(list(inner))})" if most is c.MAXREPEAT or most > 1 else _prefix(list(inner))
    raise Unsupported(str(kind))


def _all(nodes: list[Any]) -> str:
    return "".join(_whole(kind, value) for kind, value in nodes)


def _whole(kind: Any, value: Any) -> str:
    if kind is c.LITERAL:
        return _char(value)
    if kind is c.NOT_LITERAL:
        return f"[^{_char(value)}]"
    if kind is c.ANY:
        return "."
    if kind is c.IN:
        return _class(value)
    if kind is c.AT:
        return _ANCHORS[value]
    if kind is c.SUBPATTERN:
        flags = "i" if value[1] & 2 else ""
        return f"(?{flags}:{_all(list(value[3]))})"
    if kind is c.BRANCH:
        return f"(?:{'|'.join(_all(list(option)) for option in value[1])})"
    if kind in (c.MAX_REPEAT, c.MIN_REPEAT):
        least, most, inner = value
        bound = "" if most is c.MAXREPEAT else str(most)
        return f"(?:{_all(list(inner))}){{{least},{bound}}}"
    raise Unsupported(str(kind))


def _class(items: list[Any]) -> str:
    out = ""
    for kind, value in items:
        if kind is c.NEGATE:
            out += "^"
        elif kind is c.LITERAL:
            out += _char(value)
        elif kind is c.RANGE:
            out += f"{_char(value[0])}-{_char(value[1])}"
        elif kind is c.CATEGORY:
            out += _CATEGORIES[value]
        else:
            raise Unsupported(str(kind))
    return f"[{out}]"


def _char(code: int) -> str:
    return chr(code) if chr(code).isalnum() and code < 128 else f"\\x{{{code:x}}}"
