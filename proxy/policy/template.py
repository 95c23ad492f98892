"""A policy to begin with, from a few answers: made of them, or one of those that come with Weir. What comes out is meant to be
read and edited by a person."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from proxy import builtin
from proxy.policy.swap import renamed
from proxy.types import CATEGORIES

PACKS = {path.stem: path for path in sorted(builtin.POLICIES.glob("*.yaml"))}

TEMPLATES = {
    "general": "harm is blocked, personal data and keys are taken out",
    "words": "one rule in words, for a judge",
    "empty": "nothing but the frame",
}
_BLOCKED = {
    "general": ("hate", "harassment", "sexual", "sexual_minors", "violence", "illicit", "jailbreak", "injection"),
}
_ENTITIES = {"general": ("email", "phone", "credit_card", "iban")}
_ATTACKS = ("jailbreak", "injection")
WORDS = """\
# {name}

## INSTRUCTIONS
Classify the content as 1 (violates) or 0 (safe) under this policy. If two parts apply, VIOLATES comes first.

## DEFINITIONS
- Term: what exactly is meant by it here.

## VIOLATES (1)
- V1: what must not pass, as concretely as you can say it.

## SAFE (0)
- S1: what looks alike and is fine.

## EXAMPLES
- "a text just over the line" -> 1
- "a text just within it" -> 0
"""


@dataclass(frozen=True, slots=True)
class Wish:
    """Empty: as the template has it."""

    name: str
    template: str = "general"
    streaming: str = ""
    on_error: str = ""
    block: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    judge: str = ""
    text: str = ""


def begun(wish: Wish) -> str:
    """The text of a policy file."""
    return _from_pack(wish, PACKS[wish.template]) if wish.template in PACKS else _made(wish)


def about(pack: Path) -> str:
    """What a policy says of itself."""
    return str(yaml.safe_load(pack.read_text(encoding="utf-8")).get("description") or "")


def _made(wish: Wish) -> str:
    block = wish.block or _BLOCKED.get(wish.template, ())
    entities = wish.entities or _ENTITIES.get(wish.template, ())
    rules = [*_category_rules(block), *_entity_rule(entities)]
    if wish.template == "general":
        rules.append("  - id: leaked-keys\n    detect: {secrets: true}\n    action: redact")
    rules += [*_keyword_rule(wish), *_worded_rule(wish)]
    examples = ['  - {prompt: "What is the capital of Australia?", expect: {action: pass}}']
    if "email" in entities:
        examples.append('  - {prompt: "Write to joe@example.com", expect: {action: redact, rule: personal-data}}')
    return (
        f"# {wish.name}: {TEMPLATES[wish.template]}.\n"
        "#\n"
        "# fpr is the share of harmless texts that a rule may hit by mistake. Check with `weir policy lint`, run the examples\n"
        "# below with `weir policy test`, and add your own: they are the policy's tests.\n"
        f"version: 1\nname: {wish.name}\n"
        f"on_error: {wish.on_error or 'block'}        # what becomes of a text that could not be judged: block or pass\n"
        f"streaming: {wish.streaming or 'hold'}\n\n"
        + ("rules:\n" + "\n".join(rules) if rules else "rules: []")
        + "\n\nexamples:\n" + "\n".join([*examples, *_keyword_example(wish)]) + "\n"
    )  # fmt: skip


def _from_pack(wish: Wish, pack: Path) -> str:
    """Its own text, comments and all, under the new name; what is wished beside it comes after its rules."""
    text = renamed(pack.read_text(encoding="utf-8"), wish.name)
    for key, value in (("on_error", wish.on_error), ("streaming", wish.streaming)):
        if value:
            text = re.sub(rf"^{key}: \w+", f"{key}: {value}", text, count=1, flags=re.MULTILINE)
    more = [
        *_category_rules(wish.block, "own-"),
        *_entity_rule(wish.entities, "own-"),
        *_keyword_rule(wish),
        *_worded_rule(wish),
    ]
    rules, _, examples = text.partition("\nexamples:\n")
    added = "\n  # Wished for when this policy was begun.\n" + "\n".join(more) + "\n" if more else ""
    return f"{rules}{added}\nexamples:\n{examples}" + "".join(f"{one}\n" for one in _keyword_example(wish))


def _category_rules(categories: Collection[str], before: str = "") -> Iterator[str]:
    for category in (c for c in CATEGORIES if c in categories):
        where = "\n    on: [prompt]\n    roles: [user, document]" if category in _ATTACKS else ""
        name = before + category.replace("_", "-")
        yield f"  - id: {name}\n    detect: {{category: {category}, fpr: 0.001}}{where}\n    action: block"


def _entity_rule(entities: Collection[str], before: str = "") -> Iterator[str]:
    if entities:
        yield f"  - id: {before}personal-data\n    detect: {{entities: [{', '.join(entities)}]}}\n    action: redact"


def _keyword_rule(wish: Wish) -> Iterator[str]:
    if wish.keywords:
        words = json.dumps(list(wish.keywords), ensure_ascii=False)
        yield f"  - id: words\n    detect: {{keywords: {words}}}\n    action: block"


def _keyword_example(wish: Wish) -> Iterator[str]:
    if wish.keywords:
        quoted = json.dumps(f"about {wish.keywords[0]}", ensure_ascii=False)
        yield f"  - {{prompt: {quoted}, expect: {{action: block, rule: words}}}}"


def _worded_rule(wish: Wish) -> Iterator[str]:
    if wish.judge or wish.template == "words":
        words = (wish.text or WORDS.format(name=wish.name)).rstrip("\n").split("\n")
        text = "\n".join(f"      {line}".rstrip() for line in words)
        yield (
            "  # Words for a judge; `weir policy lint` says what a judge would miss in them.\n"
            f"  - id: in-words\n    detect: {{judge: {wish.judge or 'judge'}}}\n    roles: [user, assistant]\n"
            f"    text: |\n{text}\n    action: block"
        )
