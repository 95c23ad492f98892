from __future__ import annotations

from pathlib import Path

from .conftest import HEAD, ROUTE, config, wrong


def test_another_folder_of_policies(home: Path) -> None:
    (home / "config" / "mine").mkdir()
    (home / "config" / "mine" / "default.yaml").write_text("")
    found = config(home, HEAD + ROUTE + "policies: mine\n")
    assert found.policy_path("default") == home / "config" / "mine" / "default.yaml"


def test_a_shadow_is_a_name_or_a_file(home: Path) -> None:
    found = config(home, HEAD + ROUTE.replace("default}", "default, shadow: policies/support.yaml, shadow_share: 5%}"))
    assert found.routes[0].shadow_share == 0.05
    assert found.shadow_path("policies/support.yaml") == home / "policies" / "support.yaml" == found.shadow_path("support")
    (problem,) = wrong(home, HEAD + ROUTE.replace("default}", "default, shadow: policies/next.yaml}"))
    assert problem == f'4: unknown policy "policies/next.yaml"; looked for {home / "policies" / "next.yaml"}'
