"""No string of the dashboard is without its French, and none stands on a page that was not translated."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import proxy.ui
from proxy.ui.french import FRENCH
from proxy.ui.translate import NAMES, named, number, percent, preferred, say

FOLDER = Path(proxy.ui.__file__).parent
_CALLED = re.compile(r"""\b_\(\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")
# What is the same in every language: names, units, commands, YAML.
_SAME = {"Weir", "· Weir", "EN", "FR", "Switch to English", "Passer au français", "ms", "ms –"}


def used() -> set[str]:
    found = {ast.literal_eval(text) for path in FOLDER.glob("templates/*.html") for text in _CALLED.findall(path.read_text())}
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "say"
            if is_call and node.args and isinstance(node.args[0], ast.Constant):  # type: ignore[attr-defined]
                found.add(node.args[0].value)  # type: ignore[attr-defined]
    return found | set(NAMES.values())


def test_every_string_is_in_both_languages() -> None:
    assert used() - set(FRENCH) == set()
    assert set(FRENCH) - used() == set()


def test_what_is_filled_in_is_the_same() -> None:
    for english, french in FRENCH.items():
        assert sorted(re.findall(r"\{\w+\}", english)) == sorted(re.findall(r"\{\w+\}", french)), english


def test_no_template_has_words_of_its_own() -> None:
    for path in FOLDER.glob("templates/*.html"):
        text = re.sub(r"\{%.*?%\}|\{\{.*?\}\}|<pre>.*?</pre>|<code>.*?</code>", " ", path.read_text(), flags=re.DOTALL)
        shown = re.sub(r"<[^>]*>", "\n", text)
        shown += "\n".join(re.findall(r'(?:aria-label|title|placeholder|alt)="([^"]*)"', text))
        words = {line.strip() for line in shown.split("\n") if re.search("[A-Za-z]{2}", line)}
        assert words - _SAME == set(), path.name


def test_languages() -> None:
    assert preferred("fr-FR,fr;q=0.9,en;q=0.8") == "fr"
    assert preferred("de, en;q=0.4, fr;q=0.3") == "en"
    assert preferred("") == preferred("*;q=x, zz") == "en"
    assert say("fr", "Texts that would be added: {n}", n=3) == "Textes qui seraient ajoutés : 3"
    assert (named("en", "block"), named("fr", "block"), named("fr", "somebody's own")) == (
        "Blocked",
        "Bloqué",
        "somebody's own",
    )
    assert (number("en", 12345.6, 1), number("fr", 12345.6, 1)) == ("12,345.6", "12\u202f345,6")
    assert (percent("en", 1, 300), percent("fr", 1, 3), percent("en", 1, 0)) == ("0.33%", "33\u202f%", "–")
