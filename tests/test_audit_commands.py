"""`weir audit …` on a log that a real Weir has written."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet
import pytest
from click.testing import CliRunner, Result

from proxy.cli import main
from tests.server.conftest import Upstream, Weir, answer, running, upstream, whole  # noqa: F401
from tests.server.test_audit import ask, records

LIVE = """
version: 1
name: live
rules:
  - {id: mail, detect: {entities: [email]}, action: redact}
  - {id: threats, detect: {category: violence, threshold: 0.5}, action: block}
"""
NEXT = (
    LIVE.replace("name: live", "name: next")
    .replace("threshold: 0.5", "threshold: 0.0001")
    .replace("- {id: mail", "- {id: post")
)
CONFIG = """
version: 1
providers: {{fake: {{type: openai, base_url: "http://127.0.0.1:{port}/v1"}}}}
routes: [{{name: main, provider: fake, policy: live, shadow: next}}]
audit: {{url: "sqlite:///{db}", text: {text}}}
"""
THREAT = "I will find you and kill you tonight with this knife"


@pytest.fixture(scope="module", params=["full", "never"])
def home(request: pytest.FixtureRequest, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:  # noqa: F811
    folder = tmp_path_factory.mktemp("audited")
    upstream.script = lambda body: whole(answer("Yes."))
    config = CONFIG.format(port=upstream.port, db=folder / "weir.db", text=request.param)
    with running(folder, config, live=LIVE, next=NEXT) as weir:
        _traffic(weir)
    (folder / "text").write_text(request.param)
    yield folder


def _traffic(weir: Weir) -> None:
    ask(weir, "Which bus goes to the harbour?", user="ann")
    ask(weir, "Mail me at joe@example.com", user="joe")
    ask(weir, THREAT, user="joe")


def run(home: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["audit", *words, "--config", str(home / "config" / "weir.yaml")], catch_exceptions=False)


def ids(home: Path) -> list[str]:
    return [r.id for r in records(f"sqlite:///{home / 'weir.db'}", 3)]


def test_tail_and_show(home: Path) -> None:
    lines = run(home, "tail").stdout.splitlines()
    assert len(lines) == 3
    assert "400 blocked  block/pass  threats" in lines[2] and "redact/pass  mail" in lines[1]
    (line,) = run(home, "tail", "--action", "block").stdout.splitlines()
    assert ids(home)[2][:12] in line
    assert run(home, "tail", "--since", "2020-01-01", "--until", "2020-01-02").stdout == ""
    assert run(home, "tail", "--since", "whenever").exit_code == 2
    shown = run(home, "show", ids(home)[2][:8]).stdout
    assert '"rule": "threats"' in shown and "# the policy at that time\n\nversion: 1\nname: live" in shown
    assert (THREAT in shown) is ((home / "text").read_text() == "full")
    assert run(home, "show", "nothing").exit_code == 2


def test_exports(home: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in run(home, "export").stdout.splitlines()]
    assert [r["seq"] for r in rows] == [1, 2, 3] and all("texts" not in r for r in rows)
    kept = [json.loads(line) for line in run(home, "export", "--texts").stdout.splitlines()]
    assert ("texts" in kept[0]) is ((home / "text").read_text() == "full")
    out = tmp_path / "out.csv"
    assert run(home, "export", "--format", "csv", "--out", str(out)).exit_code == 0
    with out.open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["action"] for row in table] == ["pass", "redact", "block"] and table[1]["enforced"] == "mail"
    assert run(home, "export", "--format", "parquet").exit_code == 2
    assert run(home, "export", "--format", "parquet", "--out", str(tmp_path / "out.parquet")).exit_code == 0
    frame = pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["status"] for row in frame] == [200, 200, 400] and frame[1]["prompt_redacted"] == 15


def test_all_of_one_person(home: Path) -> None:
    rows = [json.loads(line) for line in run(home, "export", "--person", "joe", "--texts").stdout.splitlines()]
    assert len(rows) == 2 and ("texts" in rows[0]) is ((home / "text").read_text() == "full")
    assert len(run(home, "tail", "--person", "ann").stdout.splitlines()) == 1
    assert run(home, "tail", "--person", "nobody").stdout == ""


def test_replay(home: Path) -> None:
    same = run(home, "replay", "--under", "live")
    assert (same.exit_code, same.stdout.splitlines()[0]) == (0, "0 of 3 requests would be treated differently")
    other = run(home, "replay", "--under", "next")
    assert other.exit_code == 1
    assert "rule mail: +0 -1" in other.stdout
    full = (home / "text").read_text() == "full"
    assert ("rule post: +1 -0" in other.stdout) is full  # by scores alone nobody knows what a new pattern finds
    assert f"by {'text' if full else 'scores'}" in other.stdout


def test_what_the_shadow_did(home: Path) -> None:
    config = str(home / "config" / "weir.yaml")
    told = CliRunner().invoke(main, ["policy", "diff", "live", "next", "--from-audit", "--config", config])
    assert told.exit_code == 1
    assert " of 3 requests would be treated differently" in told.stdout and "rule post: +1 -0" in told.stdout
    back = CliRunner().invoke(main, ["policy", "diff", "next", "live", "--from-audit", "--config", config])
    assert (back.exit_code, back.stdout) == (0, "0 of 0 requests would be treated differently\n")
    assert CliRunner().invoke(main, ["policy", "diff", "next", "live", "--config", config]).exit_code == 2


def test_feedback_becomes_labelled_text(home: Path, tmp_path: Path) -> None:
    bus, _, threat = ids(home)
    assert run(home, "feedback", threat, "wrong_block", "--comment", "a film").exit_code == 0
    assert run(home, "feedback", bus[:10], "missed", "--rule", "violence").exit_code == 0
    assert run(home, "feedback", "nothing", "right").exit_code == 2
    assert "a film" in run(home, "show", threat).stdout
    out = tmp_path / "marked.jsonl"
    told = run(home, "export", "--feedback", "--out", str(out))
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    if (home / "text").read_text() == "never":
        assert rows == [] and "no mark has a text" in told.stderr
        return
    assert [(r["labels"], r["expect"], r["role"]) for r in rows] == [
        ({"violence": 0}, {"action": "pass"}, "user"),
        ({"violence": 1}, {"action": "block"}, "user"),
    ]
    tested = CliRunner().invoke(main, ["policy", "test", str(home / "policies" / "live.yaml"), "--cases", str(out)])
    assert tested.exit_code == 1 and "0 of 2 examples hold" in tested.stdout
    assert CliRunner().invoke(main, ["eval", "--data", str(out), "--no-ci"]).exit_code == 0


def test_verify_checkpoint_erase(home: Path, tmp_path: Path) -> None:
    points = tmp_path / "points.jsonl"
    points.write_text(run(home, "checkpoint").stdout)
    assert run(home, "verify", "--checkpoints", str(points)).exit_code == 0
    assert run(home, "erase", "joe").stdout == "erased in 3 records\n"  # two requests, and the mark on one of them
    assert THREAT not in run(home, "export", "--texts").stdout
    assert run(home, "verify").exit_code == 0
    points.write_text(points.read_text().replace('"seq": ', '"seq": 1'))
    assert "its signature does not hold" in run(home, "verify", "--checkpoints", str(points)).stderr
    with sqlite3.connect(home / "weir.db") as database:
        database.execute("UPDATE records SET facts = replace(facts, '\"block\"', '\"pass\"') WHERE seq = 3")
    database.close()
    broken = run(home, "verify")
    assert broken.exit_code == 1 and "record 3: changed" in broken.stdout
    assert run(home, "prune", "--before", "2020-01-01").stdout == "0 records deleted\n"


def test_without_a_log(tmp_path: Path) -> None:
    told = CliRunner().invoke(main, ["audit", "tail"])
    assert told.exit_code == 2 and "the config has no `audit:`" in told.stderr
    missing = CliRunner().invoke(main, ["audit", "verify", "--url", f"sqlite:///{tmp_path / 'none.db'}"])
    assert missing.exit_code == 2 and "there is no decision log at" in missing.stderr
