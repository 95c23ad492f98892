"""Who may see the dashboard, and what every answer says to a browser. Without a model, without a browser."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from proxy.server.app import build
from proxy.server.state import State
from proxy.ui.session import COOKIE
from tests.server.conftest import POLICY, home

CONFIG = """
version: 1
providers:
  demo: {type: demo}
  paid: {type: openai, api_key: "sk-upstream-secret-1234"}
routes: [{name: main, provider: demo, policy: test, fallbacks: [paid]}]
"""
TOKEN = "weir-admin-of-ann"
KEYS = f'keys: [{{name: team, sha256: "{sha256(b"sk-team").hexdigest()}"}}]\n'
ADMIN = f'admin: [{{name: ann, sha256: "{sha256(TOKEN.encode()).hexdigest()}"}}]\n'


@asynccontextmanager
async def visiting(folder: Path, more: str = "", host: str = "localhost", **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    path = home(folder, test=POLICY)
    path.write_text(CONFIG + more)
    app = build(State.load(path, None))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}", headers=headers) as client:
        yield client


def form_of(answer: httpx.Response) -> str:
    return re.findall(r'name="csrf" value="(\w+)"', answer.text)[0]


async def test_open_on_this_machine_only(tmp_path: Path) -> None:
    async with visiting(tmp_path) as client:
        assert (await client.get("/ui/policies")).status_code == 200
        told = await client.get("/ui", follow_redirects=True)
        assert told.status_code == 200 and "No decision log" in told.text  # it says what to do
        for name in ("evil.example", "127.0.0.1.evil.example", "10.0.0.1"):  # a page that has its own name point to us
            answer = await client.get("/ui/policies", headers={"host": name})
            assert answer.status_code == 403 and "personal-data" not in answer.text
        for name in ("127.0.0.1:8080", "[::1]:8080", "localhost:1"):
            assert (await client.get("/ui/policies", headers={"host": name})).status_code == 200


async def test_with_keys_and_without_an_admin_nobody(tmp_path: Path) -> None:
    async with visiting(tmp_path, KEYS) as client:
        for path in ("/ui/decisions", "/ui/policies", "/ui/login", "/ui/nothing"):
            answer = await client.get(path, headers={"authorization": "Bearer sk-team"})
            assert answer.status_code == 403 and "weir key new NAME --admin" in answer.text
        assert (await client.post("/ui/playground", content="text=a")).status_code == 403


@pytest.mark.parametrize("keys", ["", KEYS])
async def test_signing_in_and_out(tmp_path: Path, keys: str) -> None:
    async with visiting(tmp_path, keys + ADMIN, host="weir.example") as client:
        turned_away = await client.get("/ui/policies")
        assert turned_away.status_code == 303 and turned_away.headers["location"] == "/ui/login?back=policies"
        door = await client.get("/ui/login?back=policies")
        wrong = await client.post("/ui/login", data={"csrf": form_of(door), "key": "sk-team", "back": "policies"})
        assert wrong.status_code == 401 and "not an admin key" in wrong.text
        stolen = await client.post("/ui/login", data={"csrf": "", "key": TOKEN})
        assert stolen.status_code == 403
        inside = await client.post("/ui/login", data={"csrf": form_of(door), "key": TOKEN, "back": "policies"})
        assert inside.status_code == 303 and inside.headers["location"] == "/ui/policies"
        cookie = inside.headers["set-cookie"].lower()
        assert cookie.startswith(COOKIE) and "httponly" in cookie and "samesite=strict" in cookie and "path=/ui" in cookie
        page = await client.get("/ui/policies")
        assert page.status_code == 200
        assert TOKEN not in page.text
        out = await client.post("/ui/logout", data={"csrf": form_of(page)})
        assert out.headers["location"] == "/ui/login"
        assert (await client.get("/ui/policies")).status_code == 303


async def test_a_way_back_leads_nowhere_else(tmp_path: Path) -> None:
    async with visiting(tmp_path, ADMIN) as client:
        door = await client.get("/ui/login")
        for back in ("https://evil.example/", "//evil.example", "\\\\evil.example", "/\\evil.example", "x\r\nset-cookie: a=b"):
            inside = await client.post("/ui/login", data={"csrf": form_of(door), "key": TOKEN, "back": back})
            where = httpx.URL("http://localhost/").join(inside.headers["location"])
            assert where.host == "localhost" and where.path.startswith("/ui/")
            client.cookies.clear()
            door = await client.get("/ui/login")


async def test_a_session_ends_with_its_key(tmp_path: Path) -> None:
    path = home(tmp_path, test=POLICY)
    path.write_text(CONFIG + ADMIN)
    state = State.load(path, None)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(build(state)), base_url="http://localhost") as client:
        door = await client.get("/ui/login")
        await client.post("/ui/login", data={"csrf": form_of(door), "key": TOKEN})
        assert (await client.get("/ui/policies")).status_code == 200
        other = sha256(b"another").hexdigest()
        for line in (f'admin: [{{name: ann, sha256: "{other}"}}]\n', ADMIN.replace("}]", ", expires: 2020-01-01}]")):
            path.write_text(CONFIG + line)
            assert state.reload()
            assert (await client.get("/ui/policies")).status_code == 303


async def test_forged_forms_and_cookies(tmp_path: Path) -> None:
    async with visiting(tmp_path) as client:
        page = await client.get("/ui/playground")
        sent = {"csrf": form_of(page), "text": "hello"}
        assert (await client.post("/ui/playground", data=sent)).status_code == 200
        assert (await client.post("/ui/playground", data={**sent, "csrf": "0" * 64})).status_code == 403
        assert (await client.post("/ui/playground", data=sent, headers={"sec-fetch-site": "cross-site"})).status_code == 403
        assert (await client.post("/ui/playground", data={**sent, "text": "x" * (3 << 20)})).status_code == 413
        value = client.cookies[COOKIE]
        client.cookies.clear()  # the token alone is nothing
        assert (await client.post("/ui/playground", data=sent)).status_code == 403
        client.cookies.set(COOKIE, value[:-1] + ("0" if value[-1] != "0" else "1"))
        assert (await client.post("/ui/playground", data=sent)).status_code == 403


async def test_an_open_session_is_none_once_there_is_an_admin(tmp_path: Path) -> None:
    path = home(tmp_path, test=POLICY)
    path.write_text(CONFIG)
    state = State.load(path, None)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(build(state)), base_url="http://localhost") as client:
        assert (await client.get("/ui/policies")).status_code == 200
        path.write_text(CONFIG + ADMIN)
        assert state.reload()
        assert (await client.get("/ui/policies")).status_code == 303


async def test_what_every_answer_says(tmp_path: Path) -> None:
    async with visiting(tmp_path) as client:
        for path in ("/ui/policies", "/ui/policies/test", "/ui/nothing", "/ui/static/weir.js", "/ui/static/none"):
            answer = await client.get(path)
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "sk-upstream-secret" not in answer.text
            if "static" not in path:
                assert answer.headers["cache-control"] == "no-store"
                assert not re.search(r"\son\w+=|<script(?! src=\"/ui)|style=", answer.text)  # nothing inline
        assert (await client.get("/ui/static/..%2fapp.py")).status_code == 404
        assert (await client.delete("/ui/policies")).status_code == 404


async def test_behind_tls_the_cookie_says_so(tmp_path: Path) -> None:
    async with visiting(tmp_path, ADMIN) as client:
        answer = await client.get("/ui/login", headers={"x-forwarded-proto": "https"})
        assert "secure" in answer.headers["set-cookie"].lower()
        assert "secure" not in (await client.get("/ui/login")).headers["set-cookie"].lower()


async def test_language_and_colours(tmp_path: Path) -> None:
    async with visiting(tmp_path, **{"accept-language": "fr-CA, en;q=0.5"}) as client:
        page = await client.get("/ui/policies")
        assert '<html lang="fr">' in page.text and "<h1>Politiques</h1>" in page.text
        back = await client.post("/ui/settings", data={"csrf": form_of(page), "language": "en", "back": "policies?a=1"})
        assert back.headers["location"] == "/ui/policies?a=1"
        page = await client.get("/ui/policies")
        assert '<html lang="en">' in page.text
        await client.post("/ui/settings", data={"csrf": form_of(page), "theme": "dark", "back": "policies"})
        assert 'data-theme="dark"' in (await client.get("/ui/policies")).text
        await client.post("/ui/settings", data={"csrf": form_of(page), "theme": '"><script>', "language": "xx"})
        assert 'data-theme="dark"' in (await client.get("/ui/policies")).text


async def test_a_route_may_be_called_ui(tmp_path: Path) -> None:
    path = home(tmp_path, test=POLICY)
    path.write_text(CONFIG.replace("name: main", "name: ui"))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(build(State.load(path, None))), base_url="http://localhost"
    ) as client:
        body = {"model": "demo", "messages": [{"role": "user", "content": "hello"}]}
        assert (await client.post("/ui/v1/chat/completions", json=body)).status_code == 200
