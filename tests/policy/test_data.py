from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from proxy.policy.data import read_rows
from proxy.types import Action
from proxy.yamlfile import FileError


def test_json_lines_and_csv_say_the_same(tmp_path: Path) -> None:
    lines = tmp_path / "a.jsonl"
    lines.write_text(
        '{"prompt": "hello, you", "expect": {"action": "block", "rule": "r"}}\n\n'
        '{"completion": "x", "action": "pass"}\n{"text": "d", "role": "document", "labels": {"hate": 1, "sexual": null}}\n'
    )
    first, second, third = read_rows(lines)
    assert (first.example.action, first.example.rule, first.example.speaker, first.expected) == (
        Action.BLOCK,
        "r",
        "user",
        True,
    )
    assert (second.example.direction, second.example.speaker, second.example.line) == ("completion", "assistant", 3)
    assert (third.expected, dict(third.labels), third.example.direction) == (False, {"hate": True}, "prompt")
    table = tmp_path / "a.csv.gz"
    table.write_bytes(
        gzip.compress(b'text,role,action,rule\n"hello, you",user,block,r\n"two\nlines",assistant,pass,\nx,,pass,\n')
    )
    one, two, three = read_rows(table)
    assert one.example.text == "hello, you" and one.example.action is Action.BLOCK
    assert (two.example.direction, two.example.rule) == ("completion", None)
    assert [r.example.line for r in (one, two, three)] == [2, 3, 5]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("[]", "not a JSON object"),
        ("{", "not a JSON object"),
        ("{}", "exactly one of"),
        ('{"prompt": "a", "text": "b"}', "exactly one of"),
        ('{"prompt": 1}', "exactly one of"),
        ('{"prompt": "a", "action": "blok"}', 'did you mean "block"'),
        ('{"prompt": "a", "role": "boss"}', "unknown role"),
        ('{"prompt": "a", "labels": {"hat": 1}}', 'did you mean "hate"'),
        ('{"prompt": "a", "labels": {"hate": 2}}', "0, 1 or null"),
    ],
)
def test_what_is_wrong_is_said_by_line(tmp_path: Path, line: str, wrong: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "secret"}\n' + line + "\n")
    with pytest.raises(FileError) as caught:
        read_rows(path)
    assert f"{path}:2: " in str(caught.value) and wrong in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_tools_texts(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("completion,tool,action\nrm -rf /,bash,block\n")
    (row,) = read_rows(file)
    assert (row.example.tool, row.example.speaker, row.example.direction) == ("bash", "assistant", "completion")
    file = tmp_path / "rows.jsonl"
    file.write_text('{"prompt": "found", "tool": "fetch"}\n{"prompt": "found", "tool": 7}\n')
    with pytest.raises(FileError, match='2: "tool" is the name of one'):
        read_rows(file)
    file.write_text('{"prompt": "found", "tool": "fetch"}\n')
    (row,) = read_rows(file)
    assert (row.example.tool, row.example.speaker) == ("fetch", "document")
