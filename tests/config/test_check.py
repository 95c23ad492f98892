from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import DIGEST, HEAD, ROUTE, config, wrong


def test_names_that_stand_twice(home: Path) -> None:
    key = f"  - {{name: a, sha256: {DIGEST}}}\n"
    route = "  - {name: r, provider: demo, policy: default}\n"
    assert wrong(home, HEAD + "routes:\n" + route * 2 + "keys:\n" + key * 2) == [
        '6: duplicate route name "r"',
        '9: duplicate key name "a"',
        "9: the same key stands here twice",
    ]


def test_admins_are_nobody_else(home: Path) -> None:
    other = DIGEST.replace(DIGEST[0], "0" if DIGEST[0] != "0" else "1")
    text = HEAD + (
        f"routes:\n  - {{name: r, provider: demo, policy: default}}\nkeys:\n  - {{name: team, sha256: {DIGEST}}}\n"
        f"admin:\n  - {{name: ann, sha256: {DIGEST}}}\n  - {{name: ann, sha256: {other}, expires: 2027-06-30}}\n"
        "  - {name: bob, sha256: short}\n"
    )
    assert wrong(home, text) == ['11: "sha256" is the SHA-256 of the token: 64 hexadecimal digits']
    assert wrong(home, text.replace("  - {name: bob, sha256: short}\n", "")) == [
        '9: this is the key of the caller "team"; the dashboard needs one of its own',
        '10: duplicate admin name "ann"',
    ]


@pytest.mark.parametrize("claude", ["{type: litellm, model: anthropic/x}", "{type: anthropic, translate: [responses]}"])
def test_litellm_is_said_to_be_missing(home: Path, monkeypatch: pytest.MonkeyPatch, claude: str) -> None:
    text = HEAD + f"  claude: {claude}\n" + ROUTE
    monkeypatch.setattr("proxy.config.check._installed", lambda package: True)
    assert config(home, text).providers["claude"]
    monkeypatch.setattr("proxy.config.check._installed", lambda package: False)
    (message,) = wrong(home, text)
    assert message == "4: provider \"claude\" needs the litellm extra: pip install 'weir[litellm]'"


def test_what_needs_an_extra_says_which(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    text = HEAD + ROUTE + f"keys: [{{name: a, sha256: {DIGEST}, monthly_budget: 5}}]\nlimits: {{url: redis://h}}\n"
    budget, shared = wrong(home, text)
    assert '"prices"' in budget and "pip install 'weir[litellm]'" in budget
    assert "pip install 'weir[redis]'" in shared
    assert len(wrong(home, text + "prices: {m: {input: 1}}\n")) == 1
