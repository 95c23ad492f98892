"""No page shows what the log has not kept. A Weir in this process, without a model."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from proxy.audit.store import Store
from proxy.server.app import build
from proxy.server.state import State
from tests.server.conftest import POLICY, home

CONFIG = """
version: 1
providers: {{demo: {{type: demo}}}}
routes: [{{name: main, provider: demo, policy: test, shadow: next}}]
audit: {{url: "sqlite:///{db}", text: {text}}}
"""
CANARY = "zyxcanaryquvw"
SAID = f"echo: {CANARY} write to joe@example.com"
PAGES = ("decisions", "decisions/rows?after=0", "rates", "shadow", "feedback", "policies", "policies/test")


@asynccontextmanager
async def visiting(folder: Path, text: str) -> AsyncIterator[tuple[httpx.AsyncClient, State]]:
    path = home(folder, test=POLICY, next=POLICY.replace("name: test", "name: next"))
    path.write_text(CONFIG.format(db=folder / "weir.db", text=text))
    state = State.load(path, None)
    state.start()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(build(state)), base_url="http://localhost") as client:
        try:
            yield client, state
        finally:
            await state.close()


async def asked(client: httpx.AsyncClient, **more: Any) -> str:
    body = {"model": "demo", "messages": [{"role": "user", "content": SAID}], **more}
    answer = await client.post("/v1/chat/completions", json=body)
    id = answer.headers["x-weir-request-id"]
    for _ in range(200):
        if (await client.get(f"/ui/decisions/{id}")).status_code == 200:
            return id
        await asyncio.sleep(0.05)
    raise AssertionError("no record")


@pytest.mark.parametrize("text", ["never", "redacted", "full"])
async def test_nothing_but_what_was_kept(tmp_path: Path, text: str) -> None:
    async with visiting(tmp_path, text) as (client, _):
        id = await asked(client)
        own = (await client.get(f"/ui/decisions/{id}")).text
        assert (CANARY in own) is (text != "never")
        assert ("joe@example.com" in own) is (text == "full")
        assert ('<mark class="found"' in own) is (text == "full")  # spans are of the text as it was
        assert ("[EMAIL_1]" in own) is (text != "never")
        assert ("audit: {text: redacted}" in own) is (text == "never")
        for page in PAGES:
            shown = await client.get(f"/ui/{page}")
            assert shown.status_code == 200 and CANARY not in shown.text and "joe@example" not in shown.text, page
        assert CANARY in (await client.get(f"/ui/decisions?rule={CANARY}")).text  # what one has typed oneself


async def test_marks(tmp_path: Path) -> None:
    async with visiting(tmp_path, "full") as (client, _):
        id = await asked(client)
        token = re.findall(r'name="csrf" value="(\w+)"', (await client.get("/ui/decisions")).text)[0]
        mark = {"csrf": token, "mark": "missed", "rule": "codenames", "comment": "a <b>comment</b>"}
        given = await client.post(f"/ui/decisions/{id}/feedback", data=mark)
        assert given.headers["location"] == f"/ui/decisions/{id}?given=1"
        page = (await client.get(f"/ui/decisions/{id}")).text
        assert "a &lt;b&gt;comment&lt;/b&gt;" in page and "<b>" not in page
        assert (await client.post(f"/ui/decisions/{id}/feedback", data={**mark, "mark": "nonsense"})).status_code == 400
        assert (await client.post("/ui/decisions/none/feedback", data=mark)).status_code == 404
        rows = (await client.get("/ui/feedback/marked.jsonl")).text.splitlines()
        assert len(rows) == 1 and '"about": "codenames"' in rows[0]


async def test_what_was_erased_is_gone(tmp_path: Path) -> None:
    async with visiting(tmp_path, "full") as (client, _):
        id = await asked(client, user="joe")
        store = Store.open(f"sqlite:///{tmp_path / 'weir.db'}", create=False)
        assert store.erase("joe") == 1
        store.close()
        page = (await client.get(f"/ui/decisions/{id}")).text
        assert CANARY not in page and "The text was erased." in page and "fits the record before it" in page


async def test_a_log_that_does_not_answer(tmp_path: Path) -> None:
    async with visiting(tmp_path, "never") as (client, _):
        await asked(client)
        with_log = await client.get("/ui/rates")
        assert with_log.status_code == 200
        for path in tmp_path.glob("weir.db*"):
            if not path.name.endswith(".key"):
                path.unlink()
        gone = await client.get("/ui/rates")
        assert gone.status_code == 503 and "sqlite" not in gone.text.lower()
        assert (await client.get("/ui/policies")).status_code == 200


async def test_records_that_have_little(tmp_path: Path) -> None:
    """What was turned away before any policy spoke, and what only asked for a verdict."""
    async with visiting(tmp_path, "full") as (client, _):
        ids = [
            (await client.post("/v1/chat/completions", content="not json")).headers["x-weir-request-id"],
            (await client.post("/v1/classify", json={"input": SAID})).headers["x-weir-request-id"],
            (await client.post("/v1/batches", json={})).headers["x-weir-request-id"],
        ]
        await asked(client)
        pages = [await client.get(f"/ui/decisions/{id}") for id in ids]
        assert [page.status_code for page in pages] == [200, 200, 200]
        assert "invalid_body" in pages[0].text and "No policy came to speak." in pages[0].text
        listed = await client.get("/ui/decisions")
        assert all(id in listed.text for id in ids)


async def test_numbers_that_are_none(tmp_path: Path) -> None:
    async with visiting(tmp_path, "never") as (client, _):
        await asked(client)
        for path in (
            "decisions?before=x", "decisions?before=-1", "decisions?since=1000y&action=maybe", "decisions/rows?after=1e400",
            "rates?since=nothing&route=nowhere", "policies/test/try?rule=noted&threshold=2", "policies/..%2fweir",
            "policies/none", "decisions/" + "a" * 500, "decisions/x/words?text=nan", "feedback?before=nan",
            "feedback/patch?policy=test&rule=none",
        ):  # fmt: skip
            assert (await client.get(f"/ui/{path}")).status_code in (200, 204, 404), path
