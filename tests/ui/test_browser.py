"""The dashboard as people use it: a real Weir with real traffic, in a real Chromium."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from proxy.cli import main
from proxy.ui.french import FRENCH
from tests.server.conftest import Weir, running
from tests.ui import chromium
from tests.ui.chromium import Browser, BrowserContext, Page, expect

LIVE = """
version: 1
name: live
rules:
  # What people send to harm each other.
  - {id: threats, detect: {category: violence, threshold: 0.05}, action: block}   # too low: to be tuned
  - {id: mail, detect: {entities: [email]}, action: redact}
  - {id: birds, detect: {keywords: [sparrowhawk]}, action: block, mode: monitor}
examples:
  - {prompt: "My mail is joe@example.com", expect: {action: redact, rule: mail}}
  - {prompt: "Good morning!", expect: {action: pass}}
"""
NEXT = LIVE.replace("name: live", "name: next").replace("[sparrowhawk]", "[heron]").replace(", mode: monitor", "")
TAUGHT = """
version: 1
name: taught
rules:
  - id: dosage
    detect:
      examples:
        violates: ["Take 40 mg twice a day with food.", "Two tablets in the morning are enough.", "Double the dose tonight."]
        allows: ["Ask your pharmacist how much you may take.", "Our 500 ml bottle comes in packs of six."]
      threshold: 0.03   # low
    action: block
"""
TOKEN = "weir-admin-token-of-ann"
CONFIG = """
version: 1
providers: {{demo: {{type: demo}}}}
routes:
  - {{name: pharmacy, match: {{model: pharmacy}}, provider: demo, policy: taught}}
  - {{name: main, provider: demo, policy: live, shadow: next}}
keys: [{{name: team, sha256: "{key}"}}]
admin: [{{name: ann, sha256: "{admin}"}}]
audit: {{url: "sqlite:///{db}", text: full, language: true}}
"""
THREAT = "I will find you and kill you tonight with this knife."
HOSTILE = '<img src=x onerror="window.harmed=1"><script>window.harmed=1</script>\u202e\u200b I will kill you and your family.'
# Nobody is threatened here, though the words are strong.
DRASTIC = [
    "How do I kill a process that hangs on port 8080?", "This recipe is to die for, you killed it, chef!",
    "Shoot me a mail when the build is dead again.", "We crushed them four to nil, a bloodbath.",
    "That joke killed me, I nearly died laughing.", "I will hit the gym and punch the bag tonight.",
    "I will murder that cake tonight.", "We will slaughter them on Sunday, their keeper is blind.",
]  # fmt: skip
CALM = ["Where can I buy {} near the station?", "My sister likes {} and long walks.", "How do I clean {} at home?"]
THINGS = "apples bread shoes lamps chairs books pens maps tea rice".split()
HARM = [
    "I will stab you with {} tonight and watch you die.",
    "I am going to beat you to death with {}.",
    "I'll kill you, {} man.",
]
PAGES = ("decisions", "rates?since=1h", "shadow", "playground", "policies", "policies/live", "feedback",
         "policies/live/try?rule=threats&threshold=0.99", "feedback/patch?policy=taught&rule=dosage", "nothing")  # fmt: skip
expect.set_options(timeout=20_000)  # a busy machine is slow
SEEING = (Path(__file__).parent / "seeing.js").read_text()


def ask(weir: Weir, text: str, model: str = "demo", **more: Any) -> str:
    """The id of the request."""
    body = {"model": model, "messages": [{"role": "user", "content": text}], **more}
    request = urllib.request.Request(
        weir.url + "/v1/chat/completions", json.dumps(body).encode(), {"authorization": "Bearer sk-team"}
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            answer.read()
            return str(answer.headers["x-weir-request-id"])
    except urllib.error.HTTPError as error:
        with error:
            error.read()
            return str(error.headers["x-weir-request-id"])


@pytest.fixture(scope="module")
def weir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weir]:
    folder = tmp_path_factory.mktemp("seen")
    key, admin = (sha256(one).hexdigest() for one in (b"sk-team", TOKEN.encode()))
    with running(
        folder, CONFIG.format(db=folder / "weir.db", key=key, admin=admin), live=LIVE, next=NEXT, taught=TAUGHT
    ) as one:
        yield one


@pytest.fixture(scope="module")
def ids(weir: Weir) -> dict[str, str]:
    return {
        "calm": ask(weir, "Which bus goes to the harbour, please?"),
        "french": ask(weir, "Quel temps fera-t-il demain à Marseille, et faut-il prendre un parapluie ?"),
        "mail": ask(weir, "echo: write to joe@example.com today"),
        "watched": ask(weir, "echo: look, a sparrowhawk and a heron", stream=True),
        "threat": ask(weir, THREAT),
        "hostile": ask(weir, HOSTILE),
    }


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium.running() as one:
        yield one


@pytest.fixture(scope="module")
def signed_in(browser: Browser, weir: Weir, ids: dict[str, str]) -> Any:
    context = browser.new_context()
    page = context.new_page()
    page.goto(weir.url + "/ui/")
    page.fill("#key", TOKEN)
    page.click("main button")
    page.wait_for_selector("#rows tr")
    state = context.storage_state()
    context.close()
    return state


Opened = Callable[..., Page]


@pytest.fixture
def opened(browser: Browser, weir: Weir, signed_in: Any) -> Iterator[Opened]:
    """A signed-in page; nothing may go wrong on it, and nothing may be asked of another machine."""
    contexts: list[BrowserContext] = []
    wrong: list[str] = []

    def open_(path: str, allowed: tuple[int, ...] = (), **how: Any) -> Page:
        context = browser.new_context(storage_state=signed_in, **{"locale": "en-GB", "reduced_motion": "reduce", **how})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" and not allowed else None)
        page.on("request", lambda asked: None if asked.url.startswith(weir.url) else wrong.append(asked.url))
        page.on("dialog", lambda shown: wrong.append("a dialog"))
        page.goto(f"{weir.url}/ui/{path}")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert wrong == []


def test_the_door(browser: Browser, weir: Weir, ids: dict[str, str]) -> None:
    context = browser.new_context(locale="en-GB")
    page = context.new_page()
    page.goto(weir.url + "/ui/policies")
    expect(page.get_by_label("Admin key")).to_be_focused()
    page.keyboard.type("sk-team")  # a caller's key opens nothing here
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("not an admin key")
    page.get_by_label("Admin key").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Policies")  # where one wanted to go
    (cookie,) = [one for one in context.cookies() if one.get("name") == "weir_session"]
    assert cookie["httpOnly"] and cookie["sameSite"] == "Strict" and cookie["path"] == "/ui"
    assert page.evaluate("document.cookie") == ""
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Admin key")).to_be_visible()
    page.goto(weir.url + "/ui/decisions")
    expect(page.get_by_label("Admin key")).to_be_visible()
    context.close()


def test_the_list_goes_on_and_takes_no_focus(opened: Opened, weir: Weir) -> None:
    page = opened("decisions")
    rows = page.locator("#rows tr")
    before = rows.count()
    field = page.get_by_label("Rule", exact=True)
    field.fill("thre")
    first = rows.first.get_attribute("data-seq")
    ask(weir, "echo: one more")
    expect(rows).to_have_count(before + 1)
    assert int(rows.first.get_attribute("data-seq") or 0) > int(first or 0)
    expect(field).to_be_focused()
    expect(field).to_have_value("thre")
    expect(page.locator("#news")).to_have_text("New decisions: 1")
    page.get_by_role("button", name="Live").click()
    expect(page.get_by_role("button", name="Paused")).to_have_attribute("aria-pressed", "false")
    ask(weir, "echo: and another")
    page.wait_for_timeout(2500)
    expect(rows).to_have_count(before + 1)
    page.get_by_role("button", name="Paused").click()
    expect(rows).to_have_count(before + 2)


def test_filters(opened: Opened, ids: dict[str, str]) -> None:
    page = opened("decisions")
    page.get_by_label("Action").select_option("block")
    page.get_by_label("Time").select_option("1h")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**action=block**")
    badges = page.locator("#rows .badge")
    assert set(badges.all_inner_texts()) == {"Blocked"}
    expect(page.get_by_label("Action")).to_have_value("block")
    page.get_by_role("link", name="Clear").click()
    for label, value, wanted in (("Rule", "birds", ids["watched"]), ("Id", ids["mail"][:9], ids["mail"])):
        page.get_by_label(label, exact=True).fill(value)
        page.get_by_role("button", name="Filter").click()
        expect(page.locator("#rows tr")).to_have_count(1)
        expect(page.locator("#rows a")).to_have_attribute("href", f"/ui/decisions/{wanted}")
        page.get_by_role("link", name="Clear").click()
    page.get_by_label("Route").select_option("pharmacy")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("#none")).to_be_visible()


def test_one_decision_in_full(opened: Opened, ids: dict[str, str]) -> None:
    page = opened(f"decisions/{ids['threat']}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Blocked")
    expect(page.locator(".why")).to_contain_text("by rule threats (classifier: ")
    rules = page.locator(".rules tbody tr")
    assert [rules.nth(n).locator("th").inner_text() for n in range(3)] == ["threats", "mail", "birds"]
    expect(rules.first.get_by_role("img")).to_have_attribute("aria-label", re.compile("score 0.9.., threshold 0.050"))
    expect(page.locator("blockquote").first).to_have_text(THREAT)
    page.get_by_role("link", name="Which words carried it?").click()
    heavy = page.locator("mark.w5")
    expect(heavy.first).to_be_visible(timeout=20_000)
    assert {"kill", "knife."} & set(heavy.all_inner_texts())
    expect(page.get_by_text("fits the record before it", exact=False)).to_have_text("✓ fits the record before it")
    page.get_by_text("The policy as it was").click()
    expect(page.get_by_text("What people send to harm each other", exact=False)).to_be_visible()
    page.goto(page.url.replace(ids["threat"], ids["mail"]))
    expect(page.locator("mark.found").first).to_have_text("joe@example.com")
    page.goto(page.url.replace(ids["mail"], ids["watched"]))
    expect(page.locator(".rules")).to_contain_text("only watched")
    expect(page.get_by_role("complementary")).to_contain_text("next@")  # what the shadow said


def test_a_hostile_text_is_only_a_text(opened: Opened, ids: dict[str, str]) -> None:
    page = opened(f"decisions/{ids['hostile']}")
    expect(page.locator("blockquote").first).to_contain_text('<img src=x onerror="window.harmed=1"><script>')
    expect(page.locator(".hidden-char").first).to_have_text("U+202E")
    page.get_by_role("link", name="Which words carried it?").click()
    expect(page.locator(".explained mark").first).to_be_visible(timeout=20_000)
    page.get_by_label("Comment").fill(HOSTILE)
    page.get_by_label("Right", exact=True).check()
    page.get_by_role("button", name="Save the mark").click()
    expect(page.get_by_role("status").first).to_contain_text("Your mark is recorded")
    expect(page.locator(".marks blockquote")).to_contain_text("<script>")
    page.goto(page.url.split("/decisions")[0] + "/feedback")
    expect(page.locator("tbody")).to_contain_text("<script>")
    page.goto(page.url.replace("feedback", "playground"))
    page.get_by_label("Text, or the messages").fill(HOSTILE)
    page.get_by_role("button", name="Judge").click()
    expect(page.locator(".read").first).to_contain_text("<script>")
    page.goto(page.url.replace("playground", "decisions?rule=%22%3E%3Cscript%3Ewindow.harmed=1%3C/script%3E"))
    expect(page.get_by_label("Rule", exact=True)).to_have_value('"><script>window.harmed=1</script>')
    assert page.evaluate("window.harmed") is None
    assert page.locator("main img, main script").count() == 0


def test_rates_and_shadow(opened: Opened, ids: dict[str, str]) -> None:
    page = opened("rates?since=1h")
    expect(page.locator(".tiles li").first).to_contain_text("requests")
    expect(page.get_by_role("img", name="Decisions over time, as columns")).to_be_visible()
    page.get_by_text("As a table").first.click()
    expect(page.get_by_role("region", name="Decisions over time")).to_contain_text("UTC")
    by_rule = page.get_by_role("region", name="By rule")
    expect(by_rule.get_by_role("row", name="threats")).to_be_visible()
    expect(page.get_by_role("region", name="By language").get_by_role("row", name=re.compile("^fr"))).to_contain_text("100%")
    by_rule.get_by_role("link", name="birds").click()
    expect(page.locator("#rows tr")).to_have_count(1)
    page.goto(page.url.split("/decisions")[0] + "/shadow")
    expect(page.get_by_role("heading", level=2).first).to_contain_text("in the shadow of")
    last = page.get_by_role("region", name="The last differences")
    expect(last).to_contain_text("+birds")
    last.get_by_role("link").first.click()
    assert ids["watched"] in page.url


def test_the_playground(opened: Opened) -> None:
    page = opened("playground")
    page.get_by_label("Text, or the messages").fill(f"{THREAT} Write to joe@example.com")
    page.get_by_label("next").check()
    page.get_by_label("Mark the words that mattered").check()
    page.get_by_role("button", name="Judge").click()
    columns = page.locator("[data-verdict]")
    expect(columns).to_have_count(2)
    live = columns.first
    expect(live.locator("[data-action]")).to_have_text("Blocked")
    assert "kill" in " ".join(live.locator("mark.w5, mark.w4").all_inner_texts())
    slider = live.get_by_role("slider", name="threats")
    slider.focus()
    page.keyboard.press("End")  # to 1: nothing is above
    expect(live.locator("[data-action]")).to_have_text("Redacted")
    expect(columns.last.locator("[data-action]")).to_have_text("Blocked")
    expect(page.locator("#moved")).to_have_text("With this threshold: Redacted")
    expect(slider).to_be_focused()
    live.get_by_role("button", name="Judge again").click()  # the server says the same
    expect(live.locator(".outcome")).to_have_text(re.compile(r"Redacted\s+instead of Blocked"))
    page.get_by_label("Text, or the messages").fill(
        json.dumps([{"role": "user", "content": "Hello"}, {"role": "assistant", "content": THREAT}])
    )
    page.get_by_role("button", name="Judge", exact=True).click()
    expect(columns.first.locator(".read")).to_have_text(["Hello", "Hello", THREAT, THREAT])  # each once more, with its words


def test_policies_and_their_tests(opened: Opened) -> None:
    page = opened("policies")
    page.get_by_role("link", name="live").click()
    expect(page.locator("#tests strong")).to_have_text("2 of 2 hold", timeout=20_000)
    expect(page.locator("#tests tbody tr")).to_have_count(2)
    expect(page.get_by_role("region", name="Rules")).to_contain_text("violence")
    page.goto(page.url.replace("policies/live", "policies"))
    expect(page.get_by_role("row", name=re.compile("^live"))).to_contain_text("2 of 2 hold")


def test_by_keyboard_alone(browser: Browser, weir: Weir, ids: dict[str, str]) -> None:
    context = browser.new_context(locale="en-GB")
    page = context.new_page()
    page.goto(weir.url + "/ui/")
    page.keyboard.type(TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_selector("#rows tr")

    def name() -> str:
        found = page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.innerText || ''")
        return str(found).strip()

    def to(wanted: str, most: int = 60) -> None:
        for _ in range(most):
            page.keyboard.press("Tab")
            if name().startswith(wanted):
                assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"  # one sees where one is
                return
        raise AssertionError(wanted)

    page.keyboard.press("Tab")
    assert name() == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.goto(f"{weir.url}/ui/decisions?rule=mail")
    page.wait_for_selector("#rows tr")
    to(page.locator("#rows a").first.inner_text()[:10])
    page.keyboard.press("Enter")
    page.wait_for_url("**/decisions/*")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "mark":
            break
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("typed")
    page.keyboard.press("Enter")
    expect(page.locator(".marks")).to_contain_text("typed")
    expect(page.locator(".marks")).to_contain_text("ann")
    context.close()


def test_for_every_eye(opened: Opened, weir: Weir, ids: dict[str, str]) -> None:
    """In both colours, wide and narrow: contrast, names and labels, landmarks, nothing wider than the window."""
    page = opened("decisions", allowed=(404,))

    def look(path: str) -> None:
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        for scheme, ground in (("light", "rgb(247, 248, 248)"), ("dark", "rgb(16, 22, 27)")):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground
            for width in (360, 1280):
                page.set_viewport_size({"width": width, "height": 800})
                assert page.evaluate(SEEING) == [], (path, scheme, width)

    for path in (*PAGES, f"decisions/{ids['threat']}", f"decisions/{ids['mail']}"):
        page.goto(f"{weir.url}/ui/{path}")
        look(path)
    page.goto(f"{weir.url}/ui/playground")
    page.get_by_label("Text, or the messages").fill(f"{THREAT} Write to joe@example.com \u200b")
    page.get_by_label("Mark the words that mattered").check()
    page.get_by_role("button", name="Judge").click()
    look("judged")


def test_the_colours_can_be_chosen(opened: Opened, ids: dict[str, str]) -> None:
    page = opened("decisions?action=block", color_scheme="light")
    page.get_by_role("button", name="Dark colours").click()
    body, dark = page.locator("body"), "rgb(16, 22, 27)"
    expect(body).to_have_css("background-color", dark)
    expect(page.get_by_label("Action")).to_have_value("block")  # one stays where one was
    page.get_by_role("link", name="Rates").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Rates")  # the next page is here
    expect(body).to_have_css("background-color", dark)
    page.get_by_role("button", name="Light colours").click()
    expect(body).not_to_have_css("background-color", dark)


def test_in_french(opened: Opened, weir: Weir, ids: dict[str, str]) -> None:
    page = opened("decisions", allowed=(404,), locale="fr-FR")
    expect(page.get_by_role("heading", level=1)).to_have_text("Décisions")
    english = {text for text, french in FRENCH.items() if text != french and not re.search(r"\{", text)}
    same = {"text", "user", "prompt", "judge", "policy", "shadow", "redacted", "examples", "found", "none"}  # rules, YAML
    for path in (*PAGES, f"decisions/{ids['threat']}", f"decisions/{ids['calm']}"):
        page.goto(f"{weir.url}/ui/{path}")
        assert page.get_attribute("html", "lang") == "fr"
        shown = page.evaluate(
            "[...document.querySelectorAll('body *:not(pre, code, script)')].flatMap((one) => [one.ariaLabel, one.title,"
            " ...[...one.childNodes].filter((n) => n.nodeType === 3).map((n) => n.textContent)])"
        )
        assert {(one or "").strip() for one in shown} & (english - same) == set(), path
    page.goto(f"{weir.url}/ui/decisions")
    expect(page.locator("#rows time").first).to_have_text(re.compile(r"nov\.|déc\.|janv\.|\d{4}"))
    page.get_by_role("button", name="Switch to English").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Decisions")


def run(weir: Weir, *words: str) -> str:
    """In a thread of its own: the browser's can run no event loop."""
    command = [*words, "--config", str(weir.folder / "config" / "weir.yaml")]
    with ThreadPoolExecutor(1) as aside:
        result = aside.submit(CliRunner().invoke, main, command, catch_exceptions=False).result()
    assert result.exit_code < 2, result.output
    return result.stdout + result.stderr


def mark(page: Page, weir: Weir, id: str, judgement: str, rule: str = "") -> None:
    page.goto(f"{weir.url}/ui/decisions/{id}")
    page.get_by_label(judgement, exact=True).check()
    if rule:
        page.get_by_label("Rule it is about").select_option(rule)
    page.get_by_role("button", name="Save the mark").click()
    expect(page.get_by_role("status").first).to_contain_text("Your mark is recorded")


def test_from_a_wrong_block_to_a_better_threshold(opened: Opened, weir: Weir, tmp_path: Path) -> None:
    """Traffic is blocked wrongly, somebody says so, the marks tune the threshold, the log shows what that would have changed."""
    asked = {text: ask(weir, text) for text in DRASTIC}
    page = opened("decisions?rule=threats&action=block")
    blocked = {text: id for text, id in asked.items() if page.locator(f'#rows a[href$="{id}"]').count()}
    assert blocked  # at 0.05 the classifier is sure of very little
    for id in blocked.values():
        mark(page, weir, id, "Wrong block")
    page.goto(f"{weir.url}/ui/feedback")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    marked, more = tmp_path / "marked.jsonl", tmp_path / "more.jsonl"
    assert run(weir, "audit", "export", "--feedback", "--out", str(marked)).endswith("rows\n")
    assert Path(download.value.path()).read_text() == marked.read_text()
    rows = [json.loads(line) for line in marked.read_text().splitlines()]
    assert {r["text"] for r in rows if r["mark"] == "wrong_block"} == set(blocked)
    assert all(r["labels"] == {"violence": 0} for r in rows if r["mark"] == "wrong_block")
    plain = [{"text": t.format(w), "labels": {"violence": 0}} for t in CALM for w in THINGS]
    plain += [{"text": t.format(w), "labels": {"violence": 1}} for t in HARM for w in THINGS]
    more.write_text("".join(json.dumps(row) + "\n" for row in plain))
    candidate = tmp_path / "live.yaml"
    candidate.write_text((weir.folder / "policies" / "live.yaml").read_text())
    tune = ["policy", "tune", str(candidate), "--data", str(marked), "--data", str(more), "--cost-ratio", "0.5", "--write"]
    threshold = re.findall(r"\+.*threshold: (0\.\d+)", run(weir, *tune))[0]
    assert f"threshold: {threshold}}}, action: block}}   # too low: to be tuned" in candidate.read_text()
    page.goto(f"{weir.url}/ui/policies/live")
    page.get_by_label("Another threshold for threats", exact=True).fill(threshold)
    page.get_by_role("button", name="Try another threshold for threats").click()
    expect(page.locator(".lead")).to_contain_text(re.compile(r"^[1-9]\d* of \d+ requests"))
    freed = [text for text, id in blocked.items() if page.locator(f'main a[href$="{id}"]').count()]
    assert freed
    expect(page.locator(".patch .add")).to_contain_text(f"threshold: {threshold}")
    page.get_by_label("Read kept texts again").check()
    page.get_by_role("button", name="Try").click()
    expect(page.locator("main")).to_contain_text("By texts that were kept")
    assert [text for text, id in blocked.items() if page.locator(f'main a[href$="{id}"]').count()] == freed
    replayed = run(weir, "audit", "replay", "--under", str(candidate))
    assert all(blocked[text][:8] in replayed for text in freed)
    run(weir, "policy", "promote", str(candidate), "live")
    for _ in range(100):  # the running Weir takes the file up by itself
        id = ask(weir, freed[0])
        page.goto(f"{weir.url}/ui/decisions?id={id}&action=pass")
        if page.locator("#rows tr").count():
            break
        time.sleep(0.2)
    expect(page.locator("#rows .badge")).to_have_text("Passed")


def test_from_a_wrong_block_to_an_example(opened: Opened, weir: Weir, tmp_path: Path) -> None:
    text = "Our 250 ml bottle comes with a spoon for 40 mg."
    id = ask(weir, text, "pharmacy")
    page = opened("decisions")
    mark(page, weir, id, "Wrong block", "dosage")
    page.goto(f"{weir.url}/ui/feedback")
    page.get_by_role("link", name="taught · dosage").click()
    expect(page.locator(".patch .add")).to_contain_text(text)
    marked, file = tmp_path / "marked.jsonl", weir.folder / "policies" / "taught.yaml"
    run(weir, "audit", "export", "--feedback", "--out", str(marked))
    learn = ["policy", "learn", str(file), "--data", str(marked), "--write"]
    assert CliRunner().invoke(main, learn, catch_exceptions=False).exit_code == 0
    assert text in file.read_text() and "# low" in file.read_text()
    page.goto(f"{weir.url}/ui/feedback/patch?policy=taught&rule=dosage")  # the running Weir takes the file up by itself
    for _ in range(100):
        if page.locator(".patch").count() == 0:
            break
        time.sleep(0.2)
        page.reload()
    expect(page.get_by_text("all of them stand in it already")).to_be_visible()
