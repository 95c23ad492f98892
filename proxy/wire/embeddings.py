"""Embeddings: text goes in, numbers come back. https://platform.openai.com/docs/api-reference/embeddings"""

from __future__ import annotations

from proxy.wire.completions import Reader, texts
from proxy.wire.openai import error
from proxy.wire.parts import BadBody, Field, Json, Request, Said, is_prose, strings

_OPAQUE = frozenset("model user encoding_format".split())
_KNOWN = _OPAQUE | {"input", "dimensions"}


class Embeddings:
    """The API of `embeddings`: `wire.api.Api`. Nothing in an answer is text."""

    path = "embeddings"
    error = staticmethod(error)

    def request(self, body: Json) -> Request:
        if not isinstance(body.get("model"), str):
            raise BadBody("'model' must be a string.", "model")
        if body.get("input") is None:
            raise BadBody("'input' must be a string or an array.", "input")
        fields, media = texts(body["input"], ("input",))
        for key, value in body.items():
            if key != "input" and key not in _OPAQUE:
                fields += (Field(p, t, "user", prose=is_prose(t)) for p, t in strings(value, (key,)) if t)
        return Request(fields, media, [(key,) for key in body if key not in _KNOWN])

    def said(self, answer: Json) -> list[Said]:
        return []

    def block(self, answer: Json, said: Said, annotation: Json) -> None:
        """Never asked for: there is no answer to block."""

    def reader(self, body: Json) -> Reader:
        return Reader(1, include_usage=False)

    def refusal(self, body: Json, text: str) -> tuple[str, bytes] | None:
        return None
