"""A policy to begin with, from a few answers. What comes out is meant to be read and edited by a person."""

from __future__ import annotations

import json
from dataclasses import dataclass

from proxy.types import CATEGORIES

TEMPLATES = {
    "general": "harm is blocked, personal data and keys are taken out",
    "support": "a customer bot: patient with customers, strict with the bot",
    "agent": "an agent with tools: planted instructions and leaking keys",
    "words": "one rule in words, for a judge",
    "empty": "nothing but the frame",
}
_BLOCKED = {
    "general": ("hate", "harassment", "sexual", "sexual_minors", "violence", "illicit", "jailbreak", "injection"),
    "support": ("hate", "sexual", "sexual_minors", "illicit", "jailbreak", "injection"),
    "agent": ("jailbreak", "injection"),
}
_ENTITIES = {"general": ("email", "phone", "credit_card", "iban"), "support": ("credit_card", "iban", "us_ssn", "fr_nir")}
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
    name: str
    template: str = "general"
    streaming: str = "hold"
    on_error: str = "block"
    block: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    judge: str = ""
    text: str = ""


def begun(wish: Wish) -> str:
    """The text of a policy file."""
    rules: list[str] = []
    block = wish.block or _BLOCKED.get(wish.template, ())
    for category in (c for c in CATEGORIES if c in block):
        where = "\n    on: [prompt]\n    roles: [user, document]" if category in _ATTACKS else ""
        name = category.replace("_", "-")
        rules.append(f"  - id: {name}\n    detect: {{category: {category}, fpr: 0.001}}{where}\n    action: block")
    entities = wish.entities or _ENTITIES.get(wish.template, ())
    if entities:
        rules.append(f"  - id: personal-data\n    detect: {{entities: [{', '.join(entities)}]}}\n    action: redact")
    if wish.template in ("general", "support", "agent"):
        rules.append("  - id: leaked-keys\n    detect: {secrets: true}\n    action: redact")
    if wish.keywords:
        rules.append(
            f"  - id: words\n    detect: {{keywords: {json.dumps(list(wish.keywords), ensure_ascii=False)}}}\n    action: block"
        )
    if wish.judge or wish.template == "words":
        words = (wish.text or WORDS.format(name=wish.name)).rstrip("\n").split("\n")
        text = "\n".join(f"      {line}".rstrip() for line in words)
        rules.append(
            "  # Words for a judge; `weir policy lint` says what a judge would miss in them.\n"
            f"  - id: in-words\n    detect: {{judge: {wish.judge or 'judge'}}}\n    roles: [user, assistant]\n"
            f"    text: |\n{text}\n    action: block"
        )
    examples = ['  - {prompt: "What is the capital of Australia?", expect: {action: pass}}']
    if "email" in entities:
        examples.append('  - {prompt: "Write to joe@example.com", expect: {action: redact, rule: personal-data}}')
    if wish.keywords:
        quoted = json.dumps(f"about {wish.keywords[0]}", ensure_ascii=False)
        examples.append(f"  - {{prompt: {quoted}, expect: {{action: block, rule: words}}}}")
    return (
        f"# {wish.name}: {TEMPLATES[wish.template]}.\n"
        "#\n"
        "# fpr is the share of harmless texts that a rule may hit by mistake. Check with `weir policy lint`, run the examples\n"
        "# below with `weir policy test`, and add your own: they are the policy's tests.\n"
        f"version: 1\nname: {wish.name}\n"
        f"on_error: {wish.on_error}        # what becomes of a text that could not be judged: block or pass\n"
        f"streaming: {wish.streaming}\n\n"
        + ("rules:\n" + "\n".join(rules) if rules else "rules: []")
        + "\n\nexamples:\n" + "\n".join(examples) + "\n"
    )  # fmt: skip
