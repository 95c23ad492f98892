"""Rows that are made from templates, in the form of the pool's."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proxy.types import CATEGORIES

_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Filled:
    text: str
    lang: str
    source: str
    role: str = "user"


def row(one: Filled, harm: Mapping[str, int | None], **more: Any) -> dict[str, Any]:
    """`harm`: the categories that it is of, or may be (None). What touches one is unknown there; the rest is 0, and with no
    harm all of it."""
    touching = {other for category in harm for other in NEAR.get(category, ())}
    labels: dict[str, int | None] = {c: harm.get(c, None if c in touching else 0) for c in CATEGORIES}
    digest = hashlib.blake2b(f"{one.role} {one.text}".encode(), digest_size=6).hexdigest()
    source = f"made-{one.source}"
    return {
        "id": f"{source}-{digest}",
        "text": one.text,
        "role": one.role,
        "lang": one.lang,
        "labels": labels,
        "source": source,
    } | more


# What harm of one kind often is as well: left unknown.
NEAR = {
    "hate": ("harassment", "violence", "illicit"),
    "harassment": ("hate", "violence"),
    "sexual": ("harassment",),
    "jailbreak": ("injection", "illicit", "harassment", "hate", "violence", "sexual"),
    "injection": ("jailbreak", "illicit"),
    "illicit": ("violence",),
    "violence": ("illicit", "harassment", "hate"),
    "self_harm": ("violence", "illicit"),
}


def fill(template: str, slots: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Every filling of `{name}` slots, in order."""
    names = list(dict.fromkeys(_SLOT.findall(template)))
    for values in itertools.product(*(slots[name] for name in names)):
        text = template
        for name, value in zip(names, values, strict=True):
            text = text.replace(f"{{{name}}}", value)
        yield text


def is_held(made: Mapping[str, Any], every: int = 8) -> bool:
    """One template filling in `every`, by its hash: for measurement only."""
    return int(str(made["id"])[-4:], 16) % every == 0
