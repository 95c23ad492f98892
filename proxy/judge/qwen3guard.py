"""Qwen3Guard-Gen: three grades of safety, its own categories. `Controversial` is taken as the operator's rule says."""

from __future__ import annotations

import re
from typing import Any

from proxy.judge.format import Message, Question, Reply, defused
from proxy.types import Opinion

_GRADES = {"Safe": 0.0, "Controversial": 0.5, "Unsafe": 1.0}
_SAFETY = re.compile(r"\ASafety: (Safe|Unsafe|Controversial)\Z")
_CATEGORIES = re.compile(r"\ACategories: ([A-Za-z][A-Za-z &,/()-]*)\Z")
_REFUSAL = re.compile(r"\ARefusal: (?:Yes|No)\Z")


class Qwen3Guard:
    """`strict`: what is controversial is a violation too."""

    settings: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, strict: bool) -> None:
        self._strict = strict

    def messages(self, question: Question, fence: str, again: bool) -> list[Message]:
        content = defused(question.content)
        if question.direction == "prompt":
            return [{"role": "user", "content": content}]
        return [{"role": "user", "content": defused(question.before) or "-"}, {"role": "assistant", "content": content}]

    def read(self, reply: Reply) -> Opinion | None:
        lines = [line.strip() for line in reply.text.strip().splitlines() if line.strip()]
        grade = _SAFETY.match(lines[0]) if lines else None
        named = _CATEGORIES.match(lines[1]) if len(lines) > 1 else None
        if grade is None or named is None or not all(_REFUSAL.match(line) for line in lines[2:]):
            return None
        score = _GRADES[grade[1]]
        codes = tuple(c.strip() for c in named[1].split(",") if c.strip() not in ("None", ""))
        return Opinion(score == 1.0 or (self._strict and score > 0), score, codes)
