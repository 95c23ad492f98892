from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxy.config import OpenAIProvider

from .conftest import HEAD, ROUTE, config, wrong


def test_the_providers_in_the_docs_are_valid(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.config.check._installed", lambda package: True)
    text = (Path(__file__).parents[2] / "docs" / "providers.md").read_text()
    blocks = re.findall(r"```yaml\n(providers:.*?)```", text, re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        routes = "" if "routes:" in block else "routes: [{name: r, provider: %s, policy: default}]\n"
        name = re.findall(r"^  ([a-z]+):", block, re.MULTILINE)[0]
        found = config(home, "version: 1\n" + block + (routes % name if routes else ""))
        if "ejection" in block:
            written = found.providers["openai"]
            assert isinstance(written, OpenAIProvider)
            default = OpenAIProvider(type="openai")
            assert (written.timeouts, written.retries, written.ejection) == (
                default.timeouts,
                default.retries,
                default.ejection,
            )


@pytest.mark.parametrize(
    ("provider", "message"),
    [
        ("{type: litellm, model: claude-x}", 'a "model" of litellm begins with who serves it'),
        ("{type: litellm, model: a/b, options: {api_base: x}}", '"api_base" has no place in "options": it is the "base_url"'),
        ("{type: openai, translate: [message]}", "did you mean"),
        ("{type: openai, retries: {attempts: 11}}", "less than or equal to 10"),
        ("{type: openai, retries: {atempts: 1}}", 'unknown key "atempts" (did you mean "attempts"?)'),
        ("{type: openai, ejection: {failures: 0}}", "greater than 0"),
        ("{type: openai, timeouts: {idle: soon}}", "a duration is a number of seconds"),
        ("{type: azure, api_key: x}", '"base_url" is missing'),
        ("{type: azure, base_url: 'https://x', api_version: '2024/10'}", "api_version"),
        ("{type: openaj}", "openaj"),
    ],
)
def test_what_is_wrong_with_a_provider(home: Path, monkeypatch: pytest.MonkeyPatch, provider: str, message: str) -> None:
    monkeypatch.setattr("proxy.config.check._installed", lambda package: True)
    (found,) = wrong(home, HEAD + f"  one: {provider}\n" + ROUTE)
    assert found.startswith("4: ") and message in found
