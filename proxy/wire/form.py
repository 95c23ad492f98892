"""What an API's bodies hold, declared once: readers go by it, docs/coverage.md is made of it, and a test plants a violation
in every line of it. What no form declares is inspected all the same.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal


class How(enum.Enum):
    """What becomes of a field."""

    TEXT = "inspected, redacted"
    JSON = "inspected as the JSON that it is, redacted"
    NAME = "inspected by patterns alone, redacted"
    PLAIN = "a number or a switch; a text in its place is inspected, redacted"
    MEDIA = "not read: `media:` passes, flags or refuses it"
    BINARY = "not read: data, not text"
    REPEAT = "cut like the text that it repeats"
    PASSED = "passed as it is"

    @property
    def seen(self) -> bool:
        """Whether a violation there is caught."""
        return self in (How.TEXT, How.JSON, How.NAME, How.PLAIN, How.REPEAT)


Body = Literal["prompt", "answer", "stream"]


@dataclass(frozen=True)
class Form:
    """The documented fields of one kind of object.

    `place` leads to it: `messages[]` is in a list, `content[text]` in a list and of that type, `delta{text_delta}` of that
    type by itself. In a stream of events it begins below the event of the type `event`. Fields that are `inside` have forms
    of their own; by those that `steer`, a type or a number, the reader finds its way, and reads any other value like a text.
    In what is `free`, such as a schema, callers name things as they like.
    """

    bodies: tuple[Body, ...]
    place: str
    how: dict[str, How]
    inside: frozenset[str] = frozenset()
    steer: frozenset[str] = frozenset()
    event: str = ""
    free: bool = False

    @cached_property
    def known(self) -> frozenset[str]:
        return self.inside | self.steer | self.how.keys()

    def of(self, *hows: How) -> frozenset[str]:
        return frozenset(name for name, how in self.how.items() if how in hows)

    @cached_property
    def apart(self) -> frozenset[str]:
        """What is not read with the rest: it passes, or is read in its own way."""
        return self.inside | self.steer | self.of(How.PASSED, How.BINARY, How.MEDIA, How.REPEAT)

    @cached_property
    def passed(self) -> frozenset[str]:
        return self.of(How.PASSED, How.BINARY)

    @cached_property
    def media(self) -> frozenset[str]:
        return self.of(How.MEDIA)


def form(bodies: str, place: str = "", *, inside: str = "", steer: str = "", event: str = "", **fields: str) -> Form:
    """`form("prompt", "messages[]", text="content", passed="id")`: each keyword is one of How, in small letters."""
    how = {name: How[kind.upper()] for kind, names in fields.items() for name in names.split()}
    typed = bool(event) or place.endswith("}") or (place.endswith("]") and not place.endswith("[]"))
    steers = {*steer.split(), *(["type"] if typed and "type" not in how else [])}
    return Form(tuple(bodies.split()), place, how, frozenset(inside.split()), frozenset(steers), event)  # type: ignore[arg-type]


def free(one: Form) -> Form:
    return replace(one, free=True)


def undocumented(body: Any, forms: tuple[Form, ...]) -> Iterator[tuple[str | int, ...]]:
    """The places in a request of fields that no form of their object knows."""
    known: dict[str, frozenset[str]] = {}
    for one in forms:
        if "prompt" in one.bodies and not one.free:
            known[one.place] = known.get(one.place, frozenset()) | one.known
    for place, names in known.items():
        for path, holder in _holders(body, _STEP.findall(place), ()):
            yield from ((*path, key) for key in holder if key not in names)


_STEP = re.compile(r"(\w+)(\[\w*\]|\{\w+\})?")


def _holders(
    value: Any, steps: list[tuple[str, str]], path: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any]]]:
    if not isinstance(value, dict):
        return
    if not steps:
        yield path, value
        return
    (name, kind), *rest = steps
    inner, wanted = value.get(name), kind[1:-1]
    each = enumerate(inner) if kind.startswith("[") and isinstance(inner, list) else [("", inner)]
    for index, one in each:
        if isinstance(one, dict) and (not wanted or one.get("type") == wanted):
            yield from _holders(one, rest, (*path, name, index) if isinstance(index, int) else (*path, name))


def rows(forms: tuple[Form, ...]) -> Iterator[tuple[Body, Form, How, list[str]]]:
    """Of each body and form, the fields that are treated alike."""
    for body in ("prompt", "answer", "stream"):
        for one in forms:
            if body in one.bodies:
                for how in How:
                    if names := [name for name, own in one.how.items() if own is how]:
                        yield body, one, how, names
