"""Who says what a judge says: a server over HTTP, or a model on this machine."""

from __future__ import annotations

from typing import Any, Protocol

from proxy.judge.format import Message, Reply


class NoAnswer(Exception):
    """`unwell`: the judge itself is in trouble, which the breaker counts. The reason has no word of the question in it."""

    def __init__(self, reason: str, unwell: bool = True) -> None:
        super().__init__(reason)
        self.reason, self.unwell = reason, unwell


class Speaker(Protocol):
    async def say(self, messages: list[Message], settings: dict[str, Any]) -> Reply:
        """Raises NoAnswer. `settings` are the format's."""
        ...

    async def warm(self) -> None:
        """What a first question would else wait for. Never raises for the judge's sake."""
        ...

    async def close(self) -> None: ...
