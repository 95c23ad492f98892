"""The commands as a shell runs them: what they say, and the exit code."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from proxy import builtin
from proxy.cli import main

HARM = "I am going to stab you to death tonight, and then I will kill your whole family."


def weir(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, list(arguments), input=stdin)


def test_check_says_what_and_why() -> None:
    calm = weir("check", "What is the capital of France?")
    assert (calm.exit_code, calm.stdout.split()[0]) == (0, "pass")
    redacted = weir("check", "-", "--json", stdin="Write to joe@example.com")
    found = json.loads(redacted.stdout)
    assert (redacted.exit_code, found["action"]) == (0, "redact")
    assert found["redactions"] == [{"span": [9, 24], "label": "EMAIL"}]
    blocked = weir("check", HARM)
    assert blocked.exit_code == 1
    assert "violence" in blocked.stdout and "classifier" in blocked.stdout


def test_check_with_a_file_and_a_role(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("version: 1\nrules:\n  - {id: w, detect: {keywords: [bluebird]}, roles: [document], action: block}\n")
    assert weir("check", "a bluebird", "--policy", str(file)).exit_code == 0
    assert weir("check", "a bluebird", "--policy", str(file), "--role", "document").exit_code == 1


def test_check_of_what_a_tool_is_called_with() -> None:
    command, policy = '{"command": "rm -rf /"}', ("--policy", "code-assistant", "--role", "assistant")
    assert "destroys-files: block" in weir("check", command, *policy, "--tool", "bash").output
    assert weir("check", command, *policy, "--tool", "write_file").exit_code == 0
    assert weir("check", command, *policy).exit_code == 0


def test_a_broken_file_is_exit_code_2_with_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("version: 1\nrules:\n  - {id: w, detect: {keywords: [a]}, action: blok}\n")
    for command in (("policy", "lint"), ("policy", "test")):
        result = weir(*command, str(file))
        assert result.exit_code == 2
        assert f"{file}:3" in result.output and "block" in result.output
    missing = weir("check", "x", "--policy", str(tmp_path / "none.yaml"))
    assert missing.exit_code == 2 and "none.yaml" in missing.output


def test_policy_test_says_which_example_does_not_hold(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(
        "version: 1\nrules:\n  - {id: w, detect: {keywords: [bluebird]}, action: block}\nexamples:\n"
        "  - {prompt: a bluebird, expect: {action: block, rule: w}}\n  - {prompt: a robin, expect: {action: block}}\n"
    )
    result = weir("policy", "test", str(file))
    assert result.exit_code == 1
    assert "1 of 2" in result.output and f"{file}:6" in result.output


@pytest.mark.parametrize("name", sorted(path.stem for path in builtin.POLICIES.glob("*.yaml")))
def test_the_shipped_policies_are_clean_and_their_examples_hold(name: str) -> None:
    file = str(builtin.CONFIG.parent.parent / "policies" / f"{name}.yaml")
    lint = weir("policy", "lint", file)
    assert (lint.exit_code, "fine" in lint.output) == (0, True), lint.output
    test = weir("policy", "test", file)
    assert test.exit_code == 0, test.output


def test_eval_measures_and_writes_scores(tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    texts = [(HARM, 1), ("Good morning, how are you?", 0), ("What is the time in Tokyo now?", 0)]
    data.write_text(
        "".join(json.dumps({"id": str(i), "text": t, "labels": {"violence": v}}) + "\n" for i, (t, v) in enumerate(texts))
    )
    out = tmp_path / "scores.jsonl"
    result = weir("eval", "--data", str(data), "--scores", str(out), "--json", "--policy", "default")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["categories"]["violence"]["auprc"] == 1.0
    scores = [json.loads(line) for line in out.read_text().splitlines()]
    assert [s["id"] for s in scores] == ["0", "1", "2"] and scores[0]["scores"]["violence"] > 0.5
    assert weir("eval", "--data", str(tmp_path / "none.jsonl")).exit_code == 2


def test_model_info() -> None:
    text = weir("model", "info")
    assert "sha256" in text.stdout and "jailbreak" in text.stdout
    assert json.loads(weir("model", "info", "--json").stdout)["labels"]


def test_serve_refuses_to_be_open_to_everybody() -> None:
    result = weir("serve", "--host", "0.0.0.0")
    assert result.exit_code == 2 and "loopback" in result.output


def test_key_new_has_a_token_for_the_caller_and_its_hash_for_the_config() -> None:
    made = weir("key", "new", "team-a")
    token, line = made.stdout.splitlines()
    assert made.exit_code == 0 and token.startswith("sk-weir-") and len(token) > 40
    (entry,) = yaml.safe_load(line)
    assert entry == {"name": "team-a", "sha256": hashlib.sha256(token.encode()).hexdigest()}
    assert weir("key", "new", "team-a").stdout != made.stdout
    assert weir("key", "new", "no name").exit_code == 2
    admin = weir("key", "new", "ann", "--admin")
    assert admin.stdout.startswith("weir-admin-") and "For `admin:` in the config:" in admin.stderr
