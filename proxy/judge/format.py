"""What a family of judges is asked, and what it may answer. Pure; one module a family."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from proxy.types import Direction, Opinion


@dataclass(frozen=True, slots=True)
class Question:
    """Does `content` violate `policy`? `before` is what was said earlier, for understanding only."""

    policy: str = field(repr=False)
    content: str = field(repr=False)
    role: str = "user"
    direction: Direction = "prompt"
    before: str = field(default="", repr=False)


class Reply(NamedTuple):
    """What the model said: its answer, the reasoning that the server gave apart, the likelihoods of the first token."""

    text: str
    reasoning: str = ""
    first: Sequence[tuple[str, float]] = ()  # (token, log probability)


Message = dict[str, str]


class Format(Protocol):
    """`fence` is random and stands nowhere in the question."""

    settings: dict[str, Any]  # what goes into the request beside the messages

    def messages(self, question: Question, fence: str, again: bool) -> list[Message]:
        """`again`: the first answer was no label; say once more what a label is."""
        ...

    def read(self, reply: Reply) -> Opinion | None:
        """None if the answer is anything but a label."""
        ...


def defused(text: str) -> str:
    """`text` without the tokens by which chat templates mark turns: a server may take them for its own. Half a surrogate
    pair is no text to it."""
    return text.replace("<|", "< |").replace("|>", "| >").encode("utf-8", "replace").decode()


def likelihood(first: Sequence[tuple[str, float]], yes: str, no: str) -> float | None:
    """P(yes) among yes and no, from the likelihoods of the first token; None if the server gave neither."""
    shares = {yes: 0.0, no: 0.0}
    for token, logprob in first:
        word = token.strip().lower()
        for name in shares:
            # A tokenizer may cut a label: `uns` can only begin one of the two.
            if word and name.startswith(word):
                shares[name] += math.exp(min(logprob, 0.0))
    total = sum(shares.values())
    return shares[yes] / total if total > 0 else None
