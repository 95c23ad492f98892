"""YAML files that people write by hand: read safely, with the line of everything, and errors that help.

What is a number or a boolean follows YAML 1.2: `on`, `yes`, `010` and `12:30` are text; only `true` and `false` are
booleans. Duplicate keys, tags and merge keys are errors.
"""

from __future__ import annotations

import difflib
import re
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

Loc = tuple[str | int, ...]

_DEPTH = 40
_NODES = 100_000  # a caller may post a policy as text: aliases must not blow it up
_VARIABLE = re.compile(r"\$(\$\{|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-(?P<text>[^}]*))?\}|\{)")
_SHOWN = 40  # characters of a wrong key or value that an error repeats


class Problem(NamedTuple):
    file: str
    line: int
    message: str
    warning: bool = False  # the file can be used all the same

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {'warning: ' if self.warning else ''}{self.message}"


class FileError(Exception):
    """A file cannot be used. Carries everything that is wrong with it, in the order of its lines."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(problems, key=lambda p: (p.file, p.line))
        super().__init__("\n".join(str(p) for p in self.problems))


@dataclass(slots=True)
class Positions:
    """Where each value stands: the line of its key, or of the list item. Paths are as in pydantic's `loc`."""

    name: str
    lines: dict[Loc, int] = field(default_factory=lambda: {(): 1})
    secret: set[Loc] = field(default_factory=set)  # values from the environment; errors never show them

    def line(self, path: Loc) -> int:
        """The line of the value, or of the nearest thing around it."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path, 1)

    def problem(self, path: Loc, message: str, warning: bool = False) -> Problem:
        return Problem(self.name, self.line(path), message, warning)


def load(source: Path | str, name: str | None = None, env: Mapping[str, str] | None = None) -> tuple[Any, Positions]:
    """Data and positions of a file (a Path) or a text (a str). Raises FileError.

    With `env`, `${VAR}` and `${VAR:-default}` in text values are replaced from it; `$${` stands for a plain `${`.
    """
    name = name or (str(source) if isinstance(source, Path) else "text")
    text = read(source, name) if isinstance(source, Path) else source
    reader = _Reader(Positions(name), env)
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise FileError([_syntax_problem(name, text, error)]) from None
    except yaml.YAMLError:
        raise FileError([Problem(name, 1, "the file has a character that YAML does not allow")]) from None
    except RecursionError:
        raise FileError([Problem(name, 1, "the file is nested too deeply")]) from None
    data = reader.value(node, ()) if node is not None else None
    if reader.problems:
        raise FileError(reader.problems)
    return data, reader.positions


def read(path: Path, name: str | None = None) -> str:
    """The text of a file. Raises FileError."""
    name = name or str(path)
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FileError([Problem(name, 1, "the file is not UTF-8 text")]) from None
    except OSError as error:
        raise FileError([Problem(name, 1, f"cannot be read: {error.strerror or type(error).__name__}")]) from None


def _syntax_problem(name: str, text: str, error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    lines = text.splitlines()
    for number in (line, line - 1):
        if 0 < number <= len(lines) and re.match(r" *\t", lines[number - 1]):
            return Problem(name, number, "a tab; YAML is indented with spaces")
    return Problem(name, line, f"not valid YAML: {error.problem or 'cannot be understood'}")


class _Loader(yaml.SafeLoader):
    """PyYAML's parser under YAML 1.2's core rules for plain words."""

    yaml_implicit_resolvers = {}  # noqa: RUF012


_TAG = "tag:yaml.org,2002:"
_NUMBER = r"[-+]?(?:(?:0|[1-9][0-9]*)\.[0-9]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)"
_Loader.add_implicit_resolver(_TAG + "bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver(_TAG + "null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver(_TAG + "int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(_TAG + "float", re.compile(f"^{_NUMBER}$"), list("-+.0123456789"))


@dataclass(slots=True)
class _Reader:
    positions: Positions
    env: Mapping[str, str] | None
    problems: list[Problem] = field(default_factory=list)
    count: int = 0

    def value(self, node: yaml.Node, path: Loc) -> Any:
        self.count += 1
        self.positions.lines.setdefault(path, node.start_mark.line + 1)
        if self.count > _NODES or len(path) > _DEPTH:
            raise FileError([Problem(self.positions.name, node.start_mark.line + 1, "too large, or nested too deeply")])
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self.value(child, (*path, i)) for i, child in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        return self._wrong(node, "tags (!…) are not allowed here")

    def _mapping(self, node: yaml.MappingNode, path: Loc) -> dict[str, Any]:
        found: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._wrong(key_node, "a key must be a plain word")
                continue
            key, line = key_node.value, key_node.start_mark.line + 1
            if key in first:
                self._wrong(key_node, f'duplicate key "{_short(key)}" (first in line {first[key]})')
                continue
            first[key] = line
            self.positions.lines[*path, key] = line
            found[key] = self.value(value_node, (*path, key))
        return found

    def _scalar(self, node: yaml.ScalarNode, path: Loc) -> Any:
        kind, text = node.tag.removeprefix(_TAG), node.value
        try:
            if kind == "str":
                return self._interpolated(node, path)
            if kind == "int":
                return int(text)
            if kind == "float":
                return float(text)
        except ValueError:
            return self._wrong(node, "not a number")
        if kind == "null":
            return None
        if kind == "bool" and text.lower() in ("true", "false"):
            return text.lower() == "true"
        return self._wrong(node, "tags (!…) are not allowed here")

    def _interpolated(self, node: yaml.ScalarNode, path: Loc) -> str:
        env = self.env
        if env is None or "${" not in node.value:
            return str(node.value)

        def replace(match: re.Match[str]) -> str:
            if match[1] == "${":
                return "${"
            name = match["name"]
            if name is None:
                self._wrong(node, "not a variable; write ${NAME} or ${NAME:-default}, or $${ for a plain ${")
                return ""
            self.positions.secret.add(path)
            found = env.get(name)
            if match["default"] is not None:
                return found or match["text"]
            if found is None:
                self._wrong(node, f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}")
            return found or ""

        return _VARIABLE.sub(replace, node.value)

    def _wrong(self, node: yaml.Node, message: str) -> None:
        if len(self.problems) < 100:
            self.problems.append(Problem(self.positions.name, node.start_mark.line + 1, message))


# -- checking data against a model

Model = TypeVar("Model", bound=BaseModel)

_EXPECTED = {
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "too_short": "must not be empty",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
}


def validate(model: type[Model], data: Any, positions: Positions) -> Model:
    """The data as a `model`. Raises FileError with one problem for each thing that is wrong."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = [_explained(model, data, positions, e) for e in error.errors(include_url=False)]
        raise FileError(problems) from None


def _explained(model: type[BaseModel], data: Any, positions: Positions, error: Any) -> Problem:
    kind, context = error["type"], error.get("ctx", {})
    path, known = _locate(model, data, error["loc"])
    last = path[-1] if path else ""
    subject = f'"{_short(last)}"' if isinstance(last, str) else "this"
    if not path:
        subject = "the file"
    value = error["input"] if not _secret(positions, path) else None
    if kind == "extra_forbidden":
        return positions.problem(path, f"unknown key {subject}{did_you_mean(str(last), known)}")
    if kind == "missing":
        return positions.problem(path[:-1], f"{subject} is missing")
    if kind == "union_tag_not_found":
        return positions.problem(path, '"type" is missing')
    if kind in ("literal_error", "union_tag_invalid"):
        choices = re.findall(r"'([^']*)'", context.get("expected") or context["expected_tags"])
        if kind == "union_tag_invalid":
            value, path, subject = value.get("type") if value else None, (*path, "type"), '"type"'
        if not isinstance(value, str) or not choices:
            return positions.problem(path, f"wrong value for {subject}; must be {', '.join(choices) or context['expected']}")
        hint = did_you_mean(value, choices) or "; one of: " + ", ".join(choices)
        return positions.problem(path, f'unknown value "{_short(value)}" for {subject}{hint}')
    if kind == "value_error":
        return positions.problem(path, str(context["error"]))
    if kind in _EXPECTED:
        return positions.problem(path, f"{subject} {_EXPECTED[kind]}")
    return positions.problem(path, f"{subject}: {error['msg'].replace('Input should', 'must', 1)}")


def _secret(positions: Positions, path: Loc) -> bool:
    return any(inner[: len(path)] == path for inner in positions.secret)


def _locate(model: Any, data: Any, loc: Loc) -> tuple[Loc, list[str]]:
    """The path in the data, without pydantic's union tags, and the keys known where it ends."""
    path: list[str | int] = []
    known: list[str] = []
    for depth, part in enumerate(loc):
        if depth < len(loc) - 1 and isinstance(data, dict) and part not in data:
            model = _by_tag(model, part)
            continue
        if path and not isinstance(data, dict | list):
            break  # a short form: the error is of what it was taken for
        model = _plain(model)
        known = list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []
        path.append(part)
        model = _inner(model, part)
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            data = None
    return tuple(path), known


def _plain(annotation: Any) -> Any:
    """The annotation without Annotated and `| None`."""
    while True:
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is typing.Annotated:
            annotation = arguments[0]
        elif type(None) in arguments and len(arguments) == 2:
            annotation = next(a for a in arguments if a is not type(None))
        else:
            return annotation


def _inner(model: Any, part: str | int) -> Any:
    if isinstance(model, type) and issubclass(model, BaseModel):
        found = model.model_fields.get(str(part))
        return found.annotation if found else None
    arguments = typing.get_args(model)
    return arguments[-1] if arguments else None


def _by_tag(model: Any, tag: str | int) -> Any:
    for option in typing.get_args(_plain(model)):
        fields = getattr(_plain(option), "model_fields", {})
        if "type" in fields and tag in typing.get_args(fields["type"].annotation):
            return option
    return model


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean "x"?)`, or nothing when no known word is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f' (did you mean "{near[0]}"?)' if near else ""


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """`unknown policy "suport" (did you mean "support"?)`"""
    known = sorted(known)
    hint = did_you_mean(name, known)
    return f'unknown {kind} "{_short(name)}"{hint or ("; known: " + ", ".join(known) if known else "")}'


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
