"""The pages under /ui, who may see them, and what every answer says to the browser."""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import secrets
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import parse_qs

from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from proxy.audit import AuditError
from proxy.config import is_loopback
from proxy.server.state import State
from proxy.ui import decision, decisions, feedback, playground, policies, rates, shadow
from proxy.ui.desk import Desk, NoLog
from proxy.ui.session import COOKIE, LASTS, Sessions, holder
from proxy.ui.translate import LANGUAGES, preferred
from proxy.ui.visit import HERE, STATIC, Visit, now

Handler = Callable[[Visit], Awaitable[Response]]

log = logging.getLogger("weir")

SECRET = "WEIR_SESSION_KEY"  # what signs sessions; `weir serve` makes one that its workers share
LARGEST = 2 * 1024 * 1024  # bytes of a form
_SLOW = 0.5  # seconds that a wrong key costs
_YEAR = 365 * 86400
_HEADERS = {
    # Nothing from elsewhere, nothing inline: a text that got past the escaping could still do nothing.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Pages:
    """The ASGI application at /ui."""

    def __init__(self, state: State) -> None:
        self.desk = Desk(state)
        self._sessions = Sessions(os.environ.get(SECRET, "").encode() or secrets.token_bytes(32))
        pages: list[tuple[str, str, Handler]] = [
            ("GET", "/", _start),
            ("GET", "/decisions", decisions.show),
            ("GET", "/decisions/rows", decisions.rows),
            ("GET", "/decisions/{id}", decision.show),
            ("GET", "/decisions/{id}/words", decision.words),
            ("POST", "/decisions/{id}/feedback", feedback.give),
            ("GET", "/rates", rates.show),
            ("GET", "/shadow", shadow.show),
            ("GET", "/playground", playground.show),
            ("POST", "/playground", playground.show),
            ("GET", "/policies", policies.show),
            ("GET", "/policies/{name}", policies.one),
            ("GET", "/policies/{name}/tests", policies.tests),
            ("POST", "/policies/{name}/tests", policies.test),
            ("GET", "/policies/{name}/try", policies.attempt),
            ("GET", "/feedback", feedback.show),
            ("GET", "/feedback/marked.jsonl", feedback.marked),
            ("GET", "/feedback/patch", feedback.patch),
        ]
        routes = [Route(path, self._guarded(handler), methods=[method]) for method, path, handler in pages]
        routes += [
            Route("/login", self._login, methods=["GET", "POST"]),
            Route("/logout", self._logout, methods=["POST"]),
            Route("/settings", self._settings, methods=["POST"]),
            Route("/static/{name}", _static, methods=["GET"]),
        ]
        self.app = Starlette(routes=routes, exception_handlers={404: self._missing, 405: self._missing})

    async def close(self) -> None:
        await self.desk.close()

    # -- who may

    def _visit(self, request: Request) -> Visit:
        config = self.desk.config
        cookies = request.cookies
        language = cookies.get("weir_language", "")
        if language not in LANGUAGES:
            language = preferred(request.headers.get("accept-language", ""))
        theme = cookies.get("weir_theme", "")
        session, fresh = self._sessions.read(cookies.get(COOKIE, ""), now(), config.admin), ""
        if session is None:  # forms need one, before anybody has signed in too
            fresh = self._sessions.begin(now())
            session = self._sessions.read(fresh, now(), ())
            assert session is not None
        is_open = config.is_open and not config.admin
        theme = theme if theme in ("light", "dark") else ""
        return Visit(self.desk, request, session, language, theme, is_open, fresh)

    def _guarded(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            visit = self._visit(request)
            refused = self._refused(visit)
            if refused is None and not visit.is_open and not visit.session.name:
                back = request.url.path if request.method == "GET" else ""
                refused = visit.elsewhere("login", back=back.removeprefix(visit.base).strip("/"))
            if refused is None and request.method == "POST":
                refused = await self._forged(visit)
            return self._finished(visit, refused or await self._shown(visit, handler))

        return endpoint

    def _refused(self, visit: Visit) -> Response | None:
        """Where nobody at all may look."""
        if visit.is_open:
            # Without a key any page in a browser on this machine could ask us under a name of its own.
            if not is_loopback(visit.request.url.hostname or ""):
                text = visit.say("Without an admin key the dashboard answers on this machine only, by its name localhost.")
                return visit.page("message.html", 403, title=visit.say("Not here"), text=text)
            return None
        if not self.desk.config.admin:
            return visit.page("closed.html", 403)
        return None

    async def _forged(self, visit: Visit) -> Response | None:
        """Reads the form. Refuses one that does not come from a page of ours."""
        request, token = visit.request, visit.session.token
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > LARGEST:
                return visit.page("message.html", 413, title=visit.say("Too long"), text=visit.say("This is too long."))
        visit.form = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=1000)
        site = request.headers.get("sec-fetch-site", "same-origin")
        sent = (visit.form.get("csrf") or [""])[0]
        if site != "same-origin" or not hmac.compare_digest(sent.encode(), token.encode()):
            text = visit.say("This form is out of date. Please load the page again, and repeat what you did.")
            return visit.page("message.html", 403, title=visit.say("Please try again"), text=text)
        return None

    async def _shown(self, visit: Visit, handler: Handler) -> Response:
        try:
            return await handler(visit)
        except NoLog:
            return visit.page("nolog.html")
        except (AuditError, SQLAlchemyError) as problem:
            log.error("the dashboard could not read the decision log", extra={"fields": {"problem": type(problem).__name__}})
            text = visit.say("The decision log does not answer. Please try again in a moment.")
            return visit.page("message.html", 503, title=visit.say("No answer"), text=text)
        except Exception as problem:  # its words might be somebody's: neither the log nor the page has them
            where = traceback.extract_tb(problem.__traceback__)[-1]
            fields = {"problem": type(problem).__name__, "file": Path(where.filename).name, "line": where.lineno}
            log.error("a page of the dashboard failed", extra={"fields": fields})
            text = visit.say("This page has failed; the log says where.")
            return visit.page("message.html", 500, title=visit.say("Something went wrong"), text=text)

    def _finished(self, visit: Visit, response: Response) -> Response:
        response.headers.update(_HEADERS)
        response.headers["cache-control"] = "no-store"
        if visit.fresh and COOKIE not in response.headers.get("set-cookie", ""):
            self._begin(visit, response, visit.fresh)
        return response

    @staticmethod
    def _begin(visit: Visit, response: Response, cookie: str) -> None:
        forwarded = visit.request.headers.get("x-forwarded-proto", visit.request.url.scheme)
        response.set_cookie(
            COOKIE, cookie, LASTS, path=visit.base or "/", secure=forwarded == "https", httponly=True, samesite="strict"
        )

    # -- coming, going, settings

    async def _login(self, request: Request) -> Response:
        visit = self._visit(request)
        refused = self._refused(visit)
        back = _inside(visit.given("back"))
        if refused is None and (visit.is_open or (visit.session.name and request.method == "GET")):
            refused = visit.elsewhere(back)
        if refused is not None:
            return self._finished(visit, refused)
        if request.method == "GET":
            return self._finished(visit, visit.page("login.html", back=back, wrong=False))
        if (wrong := await self._forged(visit)) is not None:
            return self._finished(visit, wrong)
        entry = holder(visit.given("key", 500), self.desk.config.admin, now())
        if entry is None:
            await asyncio.sleep(_SLOW)
            return self._finished(visit, visit.page("login.html", 401, back=_inside(visit.given("back")), wrong=True))
        response = visit.elsewhere(_inside(visit.given("back")))
        self._begin(visit, response, self._sessions.begin(now(), entry))
        return self._finished(visit, response)

    async def _logout(self, request: Request) -> Response:
        visit = self._visit(request)
        response = await self._forged(visit)
        if response is None:
            response = visit.elsewhere("login")
            response.delete_cookie(COOKIE, path=visit.base or "/")
        return self._finished(visit, response)

    async def _settings(self, request: Request) -> Response:
        """The language and the colours, which anybody may choose."""
        visit = self._visit(request)
        response = self._refused(visit) or await self._forged(visit)
        if response is None:
            response = visit.elsewhere(_inside(visit.given("back", 2000)))
            for name, allowed in (("language", LANGUAGES), ("theme", ("light", "dark", ""))):
                if name in visit.form and visit.given(name) in allowed:
                    response.set_cookie(
                        f"weir_{name}", visit.given(name), _YEAR, path=visit.base or "/", httponly=True, samesite="strict"
                    )
        return self._finished(visit, response)

    async def _missing(self, request: Request, problem: Exception) -> Response:
        visit = self._visit(request)
        return self._finished(visit, self._refused(visit) or visit.missing(visit.say("There is no such page.")))


async def _start(visit: Visit) -> Response:
    return visit.elsewhere("decisions")


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in STATIC:
        return Response(status_code=404, headers=_HEADERS)
    headers = {**_HEADERS, "cache-control": "public, max-age=31536000, immutable"}
    return Response(await asyncio.to_thread((HERE / "static" / name).read_bytes), 200, headers, STATIC[name])


def _inside(path: str) -> str:
    """A way back may lead to our own pages only."""
    path = path.lstrip("/")
    return path if not set(path) & set("\\\r\n") and ":" not in path.split("?")[0] else ""
