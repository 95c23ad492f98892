"""docs/compliance.md and its French sister: every command that they give as evidence is run, on the log of a real Weir."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from proxy import builtin
from proxy.cli import main
from proxy.evaluate import dialect, identity
from tests.server.conftest import start

DOCS = Path(__file__).parents[1] / "docs"
CONFIG = """
version: 1
providers: {demo: {type: demo}}
routes: [{name: all, provider: demo, policy: support}]
"""
ID = "5a1cf419"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def commands(text: str) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("weir ")]


def words(line: str) -> list[str]:
    return shlex.split(line, comments=True)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """Where the page's reader stands, and a request that was redacted."""
    folder = tmp_path_factory.mktemp("compliance")
    (folder / "config").mkdir()
    shutil.copytree(builtin.POLICIES, folder / "policies")
    (own,) = re.findall(r"```yaml\n(.*?)```", page("compliance.md"), re.DOTALL)
    (folder / "config" / "weir.yaml").write_text(CONFIG + own)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        weir = start(folder / "config" / "weir.yaml", folder / "log")
        try:
            ids = []
            for text in ("Mail me at joe@example.com", "Where is my parcel?"):
                body = {"model": "m", "user": "joe@example.com", "messages": [{"role": "user", "content": text}]}
                request = urllib.request.Request(weir.url + "/v1/chat/completions", json.dumps(body).encode())
                with urllib.request.urlopen(request, timeout=20) as response:
                    ids.append(response.headers["x-weir-request-id"])
        finally:
            weir.stop()
        yield folder, ids[0]


def run(line: str) -> tuple[int, str]:
    told, _, file = line.partition(" > ")
    found = CliRunner().invoke(main, words(told)[1:])
    if file:
        Path(words(file)[0]).write_text(found.stdout)
    return found.exit_code, found.output


def test_the_commands_do_what_they_say(home: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, id = home
    monkeypatch.chdir(folder)
    monkeypatch.setenv("WEIR_CONFIG", "config/weir.yaml")
    for table in ("GROUPS", "TEMPLATES", "THREATS"):
        monkeypatch.setattr(identity, table, {lang: some[:2] for lang, some in getattr(identity, table).items()})
    monkeypatch.setattr(dialect, "HARMLESS", {name: some[:1] for name, some in dialect.HARMLESS.items()})
    told = {}
    for line in commands(page("compliance.md")):
        code, told[line.partition("#")[0].strip()] = run(line.replace(ID, id[:8]))
        assert code in ((0, 1) if "exit 1: " in line else (0,)), (line, told)
    assert told["weir audit verify --checkpoints checkpoints.jsonl"] == "4 records: whole\n"  # as they began, and as they ended
    assert "redact/pass  contact-data" in told["weir audit tail --since 1d"]
    assert len((folder / "month.csv").read_text().splitlines()) == 5
    kept = [json.loads(line) for line in (folder / "joe.jsonl").read_text().splitlines()]
    assert [one["texts"][0]["text"] for one in kept if one["kind"] == "request"][1] == "Where is my parcel?"
    assert told["weir audit erase joe@example.com"].startswith("erased in")
    assert "no log" not in told["weir doctor --offline"]


def test_both_pages_say_the_same() -> None:
    english, french = page("compliance.md"), page("compliance.fr.md")

    def shape(line: str) -> list[str]:
        found = words(line)
        at = found.index("--comment") + 1 if "--comment" in found else len(found)
        return [*found[:at], *found[at + 1 :]]  # a comment is in its own language

    assert [shape(line) for line in commands(english)] == [shape(line) for line in commands(french)]
    assert re.findall(r"\| (`[^|]*`) \|$", english, re.MULTILINE) == re.findall(r"\| (`[^|]*`) \|$", french, re.MULTILINE)
    assert re.findall(r"```yaml\n(.*?)```", english, re.DOTALL) == re.findall(r"```yaml\n(.*?)```", french, re.DOTALL)
    for text in (english, french):
        assert text.count("\n## ") == english.count("\n## ")
        for link in re.findall(r"\]\(([^)#]+)", text):
            assert (DOCS / link).is_file(), link
        for command in re.findall(r"\| `(weir [^`]+)` \|$", text, re.MULTILINE):
            assert any(line.startswith(command.split(" --")[0]) for line in commands(text)) or command == "weir eval"
