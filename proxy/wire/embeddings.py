"""Embeddings: text goes in, numbers come back. https://platform.openai.com/docs/api-reference/embeddings"""

from __future__ import annotations

from proxy.wire.completions import Reader, texts
from proxy.wire.form import Form, form
from proxy.wire.openai import error
from proxy.wire.parts import BadBody, Json, Request, Said, loose, read_settings

_REQUEST = form("prompt", inside="input", plain="dimensions", passed="model user encoding_format")
_ANSWER = form("answer", inside="data", plain="usage", passed="object model")
_DATA = form("answer", "data[]", passed="object index", binary="embedding")


class Embeddings:
    """The API of `embeddings`: `wire.api.Api`. An answer is numbers; a text in it is read like any other."""

    path = "embeddings"
    forms: tuple[Form, ...] = (_REQUEST, form("prompt", text="input"), _ANSWER, _DATA)
    error = staticmethod(error)

    def request(self, body: Json) -> Request:
        if not isinstance(body.get("model"), str):
            raise BadBody("'model' must be a string.", "model")
        if body.get("input") is None:
            raise BadBody("'input' must be a string or an array.", "input")
        found = Request(*texts(body["input"], ("input",)), [])
        read_settings(found, body, _REQUEST, "user")
        return found

    def said(self, answer: Json) -> list[Said]:
        data = answer.get("data")
        parts = loose(answer, _ANSWER, (), "", () if isinstance(data, list) else _ANSWER.passed)
        for index, one in enumerate(data if isinstance(data, list) else ()):
            if not isinstance(one, dict):
                parts += loose({index: one}, _DATA, ("data",), index)
            elif not one.keys() <= _DATA.known:
                parts += loose(one, _DATA, ("data", index), index)
        return [Said(0, answer, parts)]

    def block(self, answer: Json, said: Said, annotation: Json) -> None:
        """There is nothing left of it, and no place to say so."""

    def reader(self, body: Json) -> Reader:
        return Reader(1, include_usage=False)

    def refusal(self, body: Json, text: str) -> tuple[str, bytes] | None:
        return None
