"""How many tokens a provider says it has counted, in whatever words its API has for that."""

from __future__ import annotations

from typing import NamedTuple

from proxy.wire.parts import Json


class Usage(NamedTuple):
    """`cached` are among those of the prompt."""

    prompt: int
    completion: int
    cached: int = 0

    @property
    def total(self) -> int:
        return self.prompt + self.completion

    def merged(self, later: Usage) -> Usage:
        """Anthropic says the prompt's tokens at the start of a stream and the answer's again and again, growing."""
        return Usage(*map(max, self, later))


def usage_of(body: Json) -> Usage | None:
    """In an answer or one event of it."""
    if not isinstance(body, dict):
        return None
    for holder in (body, body.get("response"), body.get("message")):
        found = holder.get("usage") if isinstance(holder, dict) else None
        if isinstance(found, dict):
            return _read(found)
    return None


def _read(found: dict[str, Json]) -> Usage:
    completion = _number(found, "completion_tokens") or _number(found, "output_tokens")
    if "prompt_tokens" in found:
        return Usage(_number(found, "prompt_tokens"), completion, _cached(found.get("prompt_tokens_details")))
    if "input_tokens_details" in found:
        return Usage(_number(found, "input_tokens"), completion, _cached(found["input_tokens_details"]))
    read = _number(found, "cache_read_input_tokens")  # Anthropic counts these apart from `input_tokens`
    prompt = _number(found, "input_tokens") + read + _number(found, "cache_creation_input_tokens")
    return Usage(prompt, completion, read)


def _cached(details: Json) -> int:
    return _number(details, "cached_tokens") if isinstance(details, dict) else 0


def _number(found: dict[str, Json], key: str) -> int:
    value = found.get(key)
    return value if type(value) is int and value > 0 else 0
