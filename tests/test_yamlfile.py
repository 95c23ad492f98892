from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from proxy import yamlfile
from proxy.yamlfile import FileError, load, validate


def wrong(text: str, **env: str) -> str:
    with pytest.raises(FileError) as caught:
        load(text, "x.yaml", env)
    return str(caught.value)


def test_words_of_yaml_1_1_stay_words() -> None:
    data, _ = load("on: [on, off, yes, no, y, 010, 12:30, 1_000, 0x10, 2026-01-01]")
    assert data == {"on": ["on", "off", "yes", "no", "y", "010", "12:30", "1_000", "0x10", "2026-01-01"]}


def test_what_is_not_text() -> None:
    data, _ = load("[true, False, 0, -7, 1.5, .5, 1e-3, 2., null, ~, '1', \"true\"]")
    assert data == [True, False, 0, -7, 1.5, 0.5, 0.001, 2.0, None, None, "1", "true"]
    assert load("a:")[0] == {"a": None}
    assert load("")[0] is None


def test_lines() -> None:
    _, positions = load("a: 1\nb:\n  - x\n  - c: |\n      text\n    d: {e: 2}\n")
    assert positions.line(("a",)) == 1
    assert positions.line(("b",)) == 2
    assert positions.line(("b", 0)) == 3
    assert positions.line(("b", 1, "d", "e")) == 6
    assert positions.line(("b", 1, "d", "missing")) == 6
    assert positions.line(("nowhere", "at", "all")) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", 'x.yaml:3: duplicate key "a" (first in line 1)'),
        ("a:\n  b: {c: 1, c: 2}", 'x.yaml:2: duplicate key "c" (first in line 2)'),
        ("a:\n\tb: 1\n", "x.yaml:2: a tab; YAML is indented with spaces"),
        ("a: !!python/name:os.system x", "x.yaml:1: tags (!…) are not allowed here"),
        ("a: !local {b: 1}", "x.yaml:1: tags (!…) are not allowed here"),
        ("a: !!int x", "x.yaml:1: not a number"),
        ("? [a, b]\n: c", "x.yaml:1: a key must be a plain word"),
        ("a: [1, 2", "x.yaml:1: not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("a: *nothing", "x.yaml:1: not valid YAML: found undefined alias 'nothing'"),
        ("a: \x00", "x.yaml:1: the file has a character that YAML does not allow"),
        ("[" * 5000, "x.yaml:1: the file is nested too deeply"),
        ("a: &a [*a]", "x.yaml:1: too large, or nested too deeply"),
        ("--- a\n--- b\n", "x.yaml:2: not valid YAML: but found another document"),
    ],
)
def test_refused(text: str, message: str) -> None:
    assert wrong(text) == message


def test_aliases_are_fine_until_they_explode() -> None:
    assert load("a: &x [1]\nb: *x")[0] == {"a": [1], "b": [1]}
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 8)]
    assert "too large" in wrong("\n".join(lines))


def test_variables() -> None:
    data, _ = load("a: x-${K}-y\nb: ${N:-none}\nc: ${E:-none}\nd: $${K} $K\n", "x", {"K": "v", "E": ""})
    assert data == {"a": "x-v-y", "b": "none", "c": "none", "d": "${K} $K"}


def test_a_value_of_the_environment_is_not_read_again() -> None:
    assert load("a: ${K}", "x", {"K": "${HOME} true"})[0] == {"a": "${HOME} true"}
    assert load("a: ${K}", "x", {"K": "true"})[0] == {"a": "true"}


def test_without_an_environment_nothing_is_replaced() -> None:
    assert load("a: ${HOME}")[0] == {"a": "${HOME}"}


def test_unset_and_misspelt_variables() -> None:
    assert wrong("a: 1\nb: ${NOPE}") == "x.yaml:2: the environment variable NOPE is not set; set it, or write ${NOPE:-default}"
    assert "not a variable" in wrong("a: ${no-pe}")


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: \xc3\xa9")
    assert load(path)[0] == {"a": "é"}
    path.write_bytes(b"a: \xff")
    with pytest.raises(FileError, match=r"a\.yaml:1: the file is not UTF-8 text"):
        load(path)
    with pytest.raises(FileError, match="cannot be read: No such file"):
        load(tmp_path / "none.yaml")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Cat(_Part):
    type: Literal["cat"]
    lives: int = Field(default=9, gt=0)


class Dog(_Part):
    type: Literal["dog"]
    tricks: list[str] = []


class Zoo(_Part):
    name: str
    size: Literal["small", "large"] = "small"
    pets: dict[str, Cat | Dog] = Field(default={})
    by_type: list[Cat | Dog] = []


class Farm(_Part):
    zoo: Zoo | None = None
    animals: dict[str, Animal] = {}


class Animal(_Part):
    legs: int


def explained(text: str, model: type[BaseModel], env: dict[str, str] | None = None) -> list[str]:
    data, positions = load(text, "z.yaml", env)
    with pytest.raises(FileError) as caught:
        validate(model, data, positions)
    return str(caught.value).split("\n")


def test_all_problems_at_once_in_order() -> None:
    text = "zoo:\n  nmae: x\n  size: smal\nanimals:\n  cow:\n    legs: four\n  hen: 2\n"
    assert explained(text, Farm) == [
        'z.yaml:1: "name" is missing',
        'z.yaml:2: unknown key "nmae" (did you mean "name"?)',
        'z.yaml:3: unknown value "smal" for "size" (did you mean "small"?)',
        'z.yaml:6: "legs" must be a whole number',
        'z.yaml:7: "hen" must be a mapping',
    ]


def test_wrong_shapes() -> None:
    assert explained("- 1", Farm) == ["z.yaml:1: the file must be a mapping"]
    assert explained("", Farm) == ["z.yaml:1: the file must be a mapping"]
    assert explained("zoo: {name: a, size: huge}", Farm) == ['z.yaml:1: unknown value "huge" for "size"; one of: small, large']
    assert explained("zoo: {name: a, size: 3}", Farm) == ['z.yaml:1: wrong value for "size"; must be small, large']
    assert explained("zoo: {name: true}", Farm) == ['z.yaml:1: "name" must be text']
    assert explained("on: 1", Farm) == ['z.yaml:1: unknown key "on"']


def test_values_of_the_environment_never_show() -> None:
    text = "zoo: {name: a, size: '${SECRET}'}"
    assert explained(text, Farm, {"SECRET": "hunter2"}) == ['z.yaml:1: wrong value for "size"; must be small, large']


def test_long_keys_are_cut() -> None:
    assert len(explained(f"{'k' * 500}: 1", Farm)[0]) < 100


@given(st.text(max_size=200))
def test_any_text_is_data_or_a_file_error(text: str) -> None:
    try:
        load(text, "x", {})
    except FileError as error:
        assert error.problems


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text("abc:- #'\n", max_size=8), lambda s: st.lists(s, max_size=4)
    )
)
def test_what_json_writes_is_read_back(value: object) -> None:
    assert load(json.dumps(value))[0] == value


def test_did_you_mean() -> None:
    assert yamlfile.unknown("detector", "pi", ["pii", "judge"]) == 'unknown detector "pi" (did you mean "pii"?)'
    assert yamlfile.unknown("detector", "x", ["pii", "judge"]) == 'unknown detector "x"; known: judge, pii'
    assert yamlfile.unknown("detector", "x", []) == 'unknown detector "x"'
