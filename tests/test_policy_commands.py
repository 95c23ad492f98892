"""`weir policy …` as a shell runs it."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from proxy.audit.entry import Entry
from proxy.audit.feedback import given
from proxy.audit.store import Store
from proxy.cli import main
from proxy.policy.lint import tokens_about
from proxy.policy.template import PACKS, TEMPLATES, WORDS
from tests.judge.scripted import ScriptedJudge, said, serving

BIRDS = """\
version: 1
rules:
  - {id: birds, detect: {keywords: [bluebird]}, action: block}
  - {id: mail, detect: {entities: [email]}, action: redact}
examples:
  - {prompt: a bluebird, expect: {action: block, rule: birds}}
"""


def weir(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def lines(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def test_promote_swaps_and_keeps_the_old_one(tmp_path: Path, birds: Path) -> None:
    candidate = tmp_path / "next.yaml"
    candidate.write_text(
        BIRDS.replace("version: 1", "version: 1\nname: next  # soon").replace("[bluebird]", "[bluebird, robin]")
    )
    result = weir("policy", "promote", candidate, birds)
    assert result.exit_code == 0, result.output
    assert "name: birds  # soon" in birds.read_text() and "robin" in birds.read_text()
    assert (tmp_path / "birds.yaml.before").read_text() == BIRDS
    assert candidate.read_text().count("name: next") == 1


def test_promote_leaves_all_alone_when_an_example_does_not_hold(tmp_path: Path, birds: Path) -> None:
    candidate = tmp_path / "next.yaml"
    candidate.write_text(BIRDS.replace("[bluebird]", "[robin]"))
    result = weir("policy", "promote", candidate, birds)
    assert (result.exit_code, birds.read_text()) == (1, BIRDS)
    assert "stays as it is: 1 of the examples" in result.output
    assert weir("policy", "promote", candidate, birds, "--untested").exit_code == 0
    assert "[robin]" in birds.read_text()


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    path = tmp_path / "birds.yaml"
    path.write_text(BIRDS)
    return path


def test_cases_and_junit(tmp_path: Path, birds: Path) -> None:
    cases = lines(
        tmp_path / "cases.jsonl",
        {"prompt": "a robin", "action": "pass"},
        {"text": "joe@example.com", "role": "document", "action": "redact", "rule": "mail"},
        {"prompt": "joe@example.com", "action": "redact", "rule": "birds"},
    )
    out = tmp_path / "out.xml"
    result = weir("policy", "test", birds, "--cases", cases, "--junit", out)
    assert result.exit_code == 1
    assert f"{birds}: 3 of 4 examples hold" in result.output
    assert f"{cases}:3: prompt case\n  expected  redact by birds\n  got       redact by mail" in result.output
    suite = ElementTree.parse(out).getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("4", "1")
    (failure,) = suite.iter("failure")
    assert "got       redact by mail" in (failure.text or "")
    assert "joe@" not in out.read_text() + result.output


def test_a_case_must_say_what_it_expects(tmp_path: Path, birds: Path) -> None:
    silent = weir("policy", "test", birds, "--cases", lines(tmp_path / "c.jsonl", {"prompt": "x"}))
    assert silent.exit_code == 2 and "c.jsonl:1" in silent.output
    other = weir(
        "policy", "test", birds, "--cases", lines(tmp_path / "d.jsonl", {"prompt": "x", "action": "block", "rule": "no"})
    )
    assert other.exit_code == 2 and "no rule 'no'" in other.output


def test_diff_counts_and_lists(tmp_path: Path, birds: Path) -> None:
    after = tmp_path / "after.yaml"
    after.write_text(BIRDS.replace("[bluebird]", "[robin]").split("examples")[0])
    data = lines(tmp_path / "d.jsonl", {"prompt": "a robin"}, {"prompt": "a bluebird", "id": "b7"}, {"prompt": "a wren"})
    result = weir("policy", "diff", birds, after, "--data", data)
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "2 of 3 texts would be treated differently",
        "       1  pass -> block",
        "       1  block -> pass",
        "  rule birds: +1 -1",
        f"{data}:1: pass -> block by birds",
        f"{data}:2: block by birds -> pass  [b7]",
    ]
    assert "'a robin'" in weir("policy", "diff", birds, after, "--data", data, "--show").output
    same = weir("policy", "diff", birds, birds, "--data", data)
    assert (same.exit_code, same.output) == (0, "0 of 3 texts would be treated differently\n")


CALM = ["Where can I buy {} near the station?", "My sister likes {} and long walks.", "How do I clean {} at home?"]
THINGS = "apples bread shoes lamps chairs books pens maps tea rice salt soap rugs bikes hats nuts milk eggs oats figs".split()
HARM = [
    "I will stab you with {} tonight and watch you die.",
    "I am going to beat you to death with {}.",
    "I'll kill you, {} man.",
]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "rows.jsonl"
    rows = [{"text": t.format(w), "labels": {"violence": 0}} for t in CALM for w in THINGS]
    rows += [{"text": t.format(w), "labels": {"violence": 1}} for t in HARM for w in THINGS[:10]]
    return lines(path, *rows)


def test_tune_writes_a_patch_that_applies(tmp_path: Path, labelled: Path) -> None:
    file = tmp_path / "mine.yaml"
    before = "version: 1\nrules:\n  # threats\n  - {id: threats, detect: {category: violence, fpr: 0.0005}, action: block}\n"
    file.write_text(before)
    result = weir("policy", "tune", file, "--data", labelled, "--fpr", "0.02")
    assert result.exit_code == 0, result.output
    assert file.read_text() == before
    assert "false alarms" in result.stderr and "recall" in result.stderr
    assert (
        "-  - {id: threats" in result.stdout
        and "+  - {id: threats, detect: {category: violence, threshold: 0." in result.stdout
    )
    if patch := shutil.which("patch"):
        subprocess.run([patch, "-p1"], input=result.stdout, text=True, cwd=tmp_path, check=True, capture_output=True)
        patched = file.read_text()
        file.write_text(before)
    written = weir("policy", "tune", file, "--data", labelled, "--fpr", "0.02", "--write")
    assert written.exit_code == 0
    assert file.read_text() == (patched if patch else file.read_text()) != before
    assert "# threats" in file.read_text()
    assert weir("policy", "lint", file).exit_code == 0


def test_tune_leaves_alone_what_it_cannot_measure(tmp_path: Path, labelled: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("version: 1\nrules:\n  - {id: h, detect: {category: hate}, action: block}\n"
                    "  - {id: v, detect: {category: violence}, action: block}\n")  # fmt: skip
    result = weir("policy", "tune", file, "--data", labelled, "--fpr", "0.001")
    assert "h: left alone: 0 texts of hate and 0 others" in result.stderr
    assert "v: left alone: a rate of 0.001 cannot be measured on 60 harmless texts; give 1000 or more" in result.stderr
    assert result.stdout == ""
    assert "threshold:" in weir("policy", "tune", file, "--data", labelled, "--cost-ratio", "5").stdout
    assert weir("policy", "tune", file, "--data", labelled, "--cost-ratio", "5", "--fpr", "0.1").exit_code == 2


@pytest.mark.parametrize("template", list(TEMPLATES))
def test_new_makes_a_policy_that_holds(tmp_path: Path, template: str) -> None:
    file = tmp_path / "mine.yaml"
    made = weir("policy", "new", "mine", "--template", template, "--keyword", 'blue "bird"', "--out", file, "--yes")
    assert made.exit_code == 0, made.output
    lint = weir("policy", "lint", file)
    assert lint.exit_code == 0, lint.output
    assert "warning" not in lint.output or template == "words", lint.output
    if template != "words":  # it would need its judge
        test = weir("policy", "test", file)
        assert test.exit_code == 0, test.output
    again = weir("policy", "new", "mine", "--out", file, "--yes")
    assert again.exit_code == 2 and "exists already" in again.output


def test_new_from_a_policy_that_comes_with_weir(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    made = weir("policy", "new", "mine", "--template", "code-assistant", "--keyword", "bluebird", "--streaming", "buffer",
                "--redact", "us_ssn", "--out", file, "--yes")  # fmt: skip
    assert made.exit_code == 0, made.output
    theirs, mine = PACKS["code-assistant"].read_text().splitlines(), file.read_text().splitlines()
    assert [one for one in theirs if one not in mine] == ["name: code-assistant", "streaming: hold"]
    assert "name: mine" in mine and "streaming: buffer" in mine and "# For an agent" in mine[0]
    assert "fine" in weir("policy", "lint", file).output
    held = weir("policy", "test", file)
    assert held.exit_code == 0, held.output
    assert weir("check", "a bluebird", "--policy", file).exit_code == 1


def test_new_asks_at_a_terminal(tmp_path: Path) -> None:
    """What is not given is asked; a pack has its own answers to most."""
    asked = by_hand(tmp_path, "general\nbuffer\nn\nbluebird, robin\n")
    assert all(word in asked for word in ("Begin with", "education", "For minors", "Streams", "could not be judged", "Words"))
    made = (tmp_path / "policies" / "mine.yaml").read_text()
    assert all(part in made for part in ("streaming: buffer", "on_error: pass", '["bluebird", "robin"]', "category: hate"))
    (tmp_path / "policies" / "mine.yaml").unlink()
    asked = by_hand(tmp_path, "nonsense\nhealth\n\n")
    assert "is not one of" in asked and "Streams" not in asked
    assert "name: mine" in (tmp_path / "policies" / "mine.yaml").read_text()


def by_hand(folder: Path, answers: str) -> str:
    """`weir policy new mine`, with somebody at the keyboard; what they were shown."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "proxy", "policy", "new", "mine"]
    with subprocess.Popen(command, cwd=folder, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        os.write(ours, answers.encode())
        out, told = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 0, told.decode()
    assert b"is yours to edit" in out
    return told.decode()


def test_new_by_flags(tmp_path: Path) -> None:
    words = tmp_path / "words.md"
    words.write_text(WORDS.format(name="mine"))
    made = weir("policy", "new", "mine", "--template", "empty", "--block", "hate", "--redact", "email", "--judge", "careful",
                "--text", words, "--streaming", "buffer", "--on-error", "pass", "--out", "-", "--yes")  # fmt: skip
    assert made.exit_code == 0
    for part in ("category: hate", "entities: [email]", "judge: careful", "streaming: buffer", "on_error: pass", "## SAFE (0)"):
        assert part in made.stdout
    assert weir("policy", "new", "no/slash", "--yes").exit_code == 2


def test_lint_reads_the_words_for_a_judge(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"

    def lint(text: str) -> str:
        body = "\n".join("      " + line for line in text.splitlines())
        file.write_text(
            "version: 1\nrules:\n  - id: r\n    detect: {judge: j}\n    action: block\n    text: |\n" + body
            + "\nexamples:\n  - {prompt: a, expect: {action: pass}}\n"
        )  # fmt: skip
        return weir("policy", "lint", file).output

    assert f"{file}:6: warning: a judge goes best by" in lint("Roses only. Generally.")
    assert "missing: instructions, definitions, violates, safe, examples" in lint("Roses only.")
    assert '"generally" leaves the judge to guess' in lint("Roses only. Generally.")
    full = WORDS.format(name="x") + "- A sentence that says plainly what is meant by it.\n" * 30
    assert 400 <= tokens_about(full) <= 600
    assert "fine" in lint(full)


def test_a_policy_in_words_is_tested_by_its_judge(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    config = tmp_path / "config" / "weir.yaml"
    file = tmp_path / "mine.yaml"
    file.write_text(
        "version: 1\nrules:\n  - {id: roses, detect: {judge: j}, text: '# Roses only', action: block}\n"
        "examples:\n  - {prompt: a tulip, expect: {action: block, rule: roses}}\n  - {prompt: a rose, expect: {action: pass}}\n"
    )
    with serving() as judge:
        _scripted(judge)
        config.write_text(
            "version: 1\nproviders: {d: {type: demo}}\nroutes: [{name: r, provider: d, policy: p}]\n"
            f"detectors: {{j: {{type: judge, base_url: '{judge.url}', model: m}}}}\n"
        )
        (tmp_path / "policies").mkdir()
        (tmp_path / "policies" / "p.yaml").write_text("version: 1\nrules: []\n")
        result = weir("policy", "test", file, "--config", config)
        assert (result.exit_code, result.output) == (0, f"{file}: 2 of 2 examples hold\n")
        assert 'unknown judge "k"' in weir("policy", "lint", _other(file), "--config", config).output


def _scripted(judge: ScriptedJudge) -> None:
    judge.script = lambda body: said("1" if "tulip" in body["messages"][-1]["content"] else "0")


def _other(file: Path) -> Path:
    other = file.with_name("other.yaml")
    other.write_text(file.read_text().replace("judge: j", "judge: k"))
    return other


def test_tune_from_what_people_said_of_decisions(tmp_path: Path) -> None:
    """Marks in a decision log, exported, become a threshold; how dear a miss is moves it."""
    log, marked, file = f"sqlite:///{tmp_path / 'weir.db'}", tmp_path / "marked.jsonl", tmp_path / "mine.yaml"
    threats = [t.format(w) for t in HARM for w in THINGS[:10]]
    calm = [t.format(w) for t in CALM for w in THINGS]
    store = Store.open(log, "a secret of at least sixteen characters")
    rules = [{"rule": "threats", "direction": "prompt", "place": "messages[0].content", "action": "block", "enforced": True,
              "label": "violence", "score": 0.9, "threshold": 0.5, "spans": [], "by": "classifier"}]  # fmt: skip
    for number, text in enumerate(threats + calm):
        kept = [{"direction": "prompt", "place": "messages[0].content", "role": "user", "text": text}]
        store.append([Entry("request", f"{number:032x}", 1e6 + number, {"rules": rules, "language": "en"}, {"texts": kept})])
        store.append([given(store, f"{number:032x}", "right" if number < len(threats) else "wrong_block")])
    store.close()
    environment = {"WEIR_AUDIT_KEY": "a secret of at least sixteen characters"}
    exported = CliRunner().invoke(main, ["audit", "export", "--feedback", "--url", log, "--out", str(marked)], env=environment)
    assert exported.exit_code == 0, exported.output
    file.write_text("version: 1\nrules:\n  - {id: threats, detect: {category: violence, fpr: 0.0005}, action: block}\n")
    lines = {ratio: weir("policy", "tune", file, "--data", marked, "--cost-ratio", ratio) for ratio in (0.01, 100)}
    found = {ratio: re.search(r"threshold: ([0-9.]+)", told.stdout) for ratio, told in lines.items()}
    assert all(found.values()), lines[100].output
    dear, cheap = (float(match[1]) for match in (found[100], found[0.01]) if match)
    assert dear <= cheap
    interval = r"[0-9.]+% \([0-9]+/{}; [0-9.]+% to [0-9.]+%\)"
    assert re.search("false alarms " + interval.format(len(calm)), lines[100].stderr)
    assert re.search("recall       " + interval.format(len(threats)), lines[100].stderr)
