"""One look at one page: who looks, in which language, and how the answer is made."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from proxy.ui import chart
from proxy.ui.desk import Desk
from proxy.ui.session import Session
from proxy.ui.translate import named, number, percent, say

HERE = Path(__file__).parent
STATIC = {"weir.css": "text/css", "weir.js": "text/javascript", "weir.svg": "image/svg+xml"}


@dataclass
class Visit:
    desk: Desk
    request: Request
    session: Session
    language: str
    theme: str  # light, dark, or empty: as the system has it
    is_open: bool  # nobody needs to sign in
    fresh: str = ""  # the cookie of a session that has just begun
    form: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def say(self, text: str, **values: object) -> str:
        return say(self.language, text, **values)

    def numbered(self, value: float) -> str:
        """A score."""
        return number(self.language, value, 3)

    def named(self, value: str) -> str:
        return named(self.language, value)

    def given(self, name: str, most: int = 200) -> str:
        """What was sent with the form, or stands in the address."""
        sent = self.form.get(name)
        return (sent[0] if sent else self.request.query_params.get(name, ""))[:most].strip()

    def all(self, name: str) -> list[str]:
        return list(self.form.get(name) or self.request.query_params.getlist(name))

    def number(self, name: str, default: float, least: float, most: float) -> float:
        try:
            found = float(self.given(name).replace(",", "."))
        except ValueError:
            return default
        return default if math.isnan(found) else min(max(found, least), most)

    @cached_property
    def base(self) -> str:
        return str(self.request.scope.get("root_path", "")).rstrip("/")

    @cached_property
    def back(self) -> str:
        """Where one is, for a form that leads back here."""
        url = self.request.url
        path = url.path.removeprefix(self.base).strip("/") if self.request.method == "GET" else "playground"
        return path + (f"?{url.query}" if url.query else "")

    def at(self, path: str, **query: Any) -> str:
        chosen = {name: value for name, value in query.items() if value not in (None, "")}
        return f"{self.base}/{path}" + (f"?{urlencode(chosen, doseq=True)}" if chosen else "")

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        return HTMLResponse(self._rendered(template, **values), status)

    def elsewhere(self, path: str, **query: Any) -> Response:
        return RedirectResponse(self.at(path, **query), 303)

    def missing(self, text: str) -> Response:
        return self.page("message.html", 404, title=self.say("Not found"), text=text)

    def _rendered(self, template: str, **values: Any) -> str:
        here = self.request.url.path.removeprefix(self.base).strip("/")
        return environment().get_template(template).render(
            _=self.say, named=self.named, visit=self, lang=self.language, at=self.at, here=here, moment=moment, iso=iso,
            number=self._number, percent=self._percent, chart=chart, version=version(), csrf=self.session.token, **values,
        )  # fmt: skip

    def _number(self, value: float | None, places: int = 0) -> str:
        return number(self.language, value, places) if value is not None else "–"

    def _percent(self, part: float, whole: float) -> str:
        return percent(self.language, part, whole)


@lru_cache(1)
def environment() -> Environment:
    # Every value is escaped: what is shown was written by whoever wanted to.
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    return made


@lru_cache(1)
def version() -> str:
    """Of the style and the script: a new one is a new address."""
    digest = blake2b(digest_size=6)
    for name in sorted(STATIC):
        digest.update((HERE / "static" / name).read_bytes())
    return digest.hexdigest()


def moment(at: float, seconds: bool = True) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M") + " UTC"


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def now() -> float:
    return time.time()
