"""Llama Guard and its kin: the server's chat template carries the policy, the answer is `safe`, or `unsafe` and codes."""

from __future__ import annotations

import re
from typing import Any

from proxy.judge.format import Message, Question, Reply, defused, likelihood
from proxy.types import Opinion

_CODE = re.compile(r"[A-Z]{1,3}\d{1,3}")
_MARK = re.compile(r"<(?=/?(?:BEGIN|END) )", re.IGNORECASE)  # <END CONVERSATION>, of the template


class LlamaGuard:
    settings: dict[str, Any] = {"logprobs": True, "top_logprobs": 5}  # noqa: RUF012

    def messages(self, question: Question, fence: str, again: bool) -> list[Message]:
        content = _MARK.sub("< ", defused(question.content))
        if question.direction == "prompt":
            return [{"role": "user", "content": content}]
        before = _MARK.sub("< ", defused(question.before)) or "-"
        return [{"role": "user", "content": before}, {"role": "assistant", "content": content}]

    def read(self, reply: Reply) -> Opinion | None:
        label, *more = [line.strip() for line in reply.text.strip().splitlines() if line.strip()] or [""]
        codes = tuple(code.strip() for line in more for code in line.split(","))
        if label not in ("safe", "unsafe") or not all(_CODE.fullmatch(code) for code in codes):
            return None
        if label == "safe" and codes:
            return None
        violates = label == "unsafe"
        score = likelihood(reply.first, "unsafe", "safe")
        return Opinion(violates, score if score is not None else float(violates), codes)
