"""What an API is to Weir: where text lives in its bodies, and how it says what Weir itself has to say.

One implementation a module; the server knows nothing of any body's shape.
"""

from __future__ import annotations

from typing import Any, Protocol

from proxy.stream.guard import Reader
from proxy.wire.form import Form
from proxy.wire.parts import Json, Request, Said


class Api(Protocol):
    path: str  # below the root, as in "chat/completions"
    forms: tuple[Form, ...]  # every field that it documents

    def request(self, body: Json) -> Request:
        """Raises BadBody."""
        ...

    def said(self, answer: Json) -> list[Said]:
        """Every answer in a body that is not streamed. Raises BadBody."""
        ...

    def block(self, answer: Json, said: Said, annotation: Json) -> None:
        """Marks one answer, whose refused text is gone already, as ended by the filter."""
        ...

    def reader(self, body: Json) -> Reader:
        """Of the streamed answer to this request."""
        ...

    def refusal(self, body: Json, text: str) -> tuple[str, bytes] | None:
        """(content type, body) of an answer in which the assistant refuses; None where no assistant speaks."""
        ...

    def error(self, status: int, /, message: str, kind: str, param: str | None, code: str | None, **more: Any) -> bytes: ...
