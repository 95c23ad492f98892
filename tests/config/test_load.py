from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy import builtin
from proxy.config import OpenAIProvider, load_config

from .conftest import DIGEST, HEAD, NAMES, ROUTE, config, wrong


def test_the_built_in_config_runs_as_it_is() -> None:
    found = load_config(None)
    assert found.policy_folder == builtin.POLICIES
    assert found.policy_path("default").is_file()
    assert found.model_folder == builtin.MODEL
    assert found.is_open
    assert [r.name for r in found.routes] == ["support", "code", "strict", "default"]
    assert found.limits.body == 32 * 1024 * 1024


def test_the_built_in_config_in_site_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages" / "proxy" / "builtin"
    for folder in ("config", "policies"):
        shutil.copytree(builtin.FOLDER / folder, package / folder)
    monkeypatch.setattr(builtin, "CONFIG", package / "config" / "weir.yaml")
    assert load_config().policy_path("default") == package / "policies" / "default.yaml"


def test_the_commented_examples_are_valid_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = builtin.CONFIG.read_text()
    live = [line.replace("# ", "", 1) if _is_yaml(line) else line for line in text.splitlines()]
    shutil.copytree(builtin.POLICIES, tmp_path / "policies")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    found = config(_with_config(tmp_path), "\n".join(live))
    assert set(found.providers) == {"demo", "openai", "local"}
    assert {r.provider for r in found.routes} == {"demo", "openai"}
    assert [(k.name, k.tokens_per_minute, k.monthly_budget) for k in found.keys] == [("team-a", 200_000, 50)]
    assert found.prices["support-*"].cached_input == 0.025


def _is_yaml(line: str) -> bool:
    inner = line.strip().removeprefix("#").strip()
    return line.strip().startswith("#") and (
        inner.startswith(
            ("-", "openai:", "local:", "keys:", "type:", "base_url:", "api_key:", "timeouts:", "prices:", '"support-')
        )
        or inner.startswith(("sha256:", "routes: [", "models:", "requests_", "tokens_", "concurrent_", "monthly_", "expires:"))
    )


def _with_config(folder: Path) -> Path:
    (folder / "config").mkdir()
    return folder


def test_everything_at_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "secret-value")
    monkeypatch.setattr("proxy.config.check._installed", lambda package: True)
    found = config(
        home,
        f"""
version: 1
listen: {{host: 0.0.0.0, port: 80}}
providers:
  openai: {{type: openai, base_url: "http://h:1/v1", api_key: "${{KEY}}", timeouts: {{connect: 500ms, idle: 2m, total: 30}}}}
  claude: {{type: litellm, model: anthropic/x}}
  demo: {{type: demo}}
detectors:
  safeguard: {{type: onnx, model: ., threads: 4, workers: 2, timeout: 3s}}
  judge: {{type: judge, base_url: "http://localhost:8000/v1", model: m, reasoning_effort: low, timeout: 10s}}
routes:
  - {{name: support, match: {{model: "support-*"}}, provider: openai, model: gpt-5-mini, policy: support, fallbacks: [demo]}}
  - {{name: all, provider: demo, policy: default, annotations: azure, unguarded: [/v1/files]}}
keys:
  - {{name: team-a, sha256: {DIGEST.upper()}, routes: [support], requests_per_minute: 600, models: ["gpt-*"], tokens_per_minute: 9000,
     concurrent_streams: 3, monthly_budget: 12.5, expires: 2027-06-30}}
prices: {{"gpt-*": {{input: 1, output: 2.5}}}}
audit: {{url: "sqlite:///weir.db", text: never, retain: 30d}}
limits: {{body: 1MiB, connections: 9, header_timeout: 3s, url: "redis://:secret-value@h:1/0", on_error: deny}}
""",
    )
    openai = found.providers["openai"]
    assert isinstance(openai, OpenAIProvider)
    assert (openai.api_key, openai.timeouts.connect, openai.timeouts.idle, openai.timeouts.total) == (
        "secret-value",
        0.5,
        120,
        30,
    )
    assert "secret-value" not in repr(found)
    assert (found.safeguard.threads, found.safeguard.timeout) == (4, 3)
    assert found.model_folder == home / "config" / "."
    assert found.keys[0].sha256 == DIGEST
    assert found.keys[0].expires == datetime(2027, 6, 30, 23, 59, 59, 999999, UTC)  # to the end of the day
    assert (found.limits.body, found.limits.header_timeout, found.limits.on_error) == (1024 * 1024, 3, "deny")
    assert found.prices["gpt-*"].output == 2.5
    assert not found.is_open


def test_a_relative_config_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "config" / "weir.yaml").write_text(HEAD + ROUTE)
    monkeypatch.chdir(home / "config")
    assert load_config(Path("weir.yaml")).policy_path("default") == home / "policies" / "default.yaml"


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (HEAD, ['1: "routes" is missing']),
        (HEAD + "routes: []", ['4: "routes" must not be empty']),
        (HEAD + ROUTE.replace("policy: default", "policy: suport"), ['4: unknown policy "suport" (did you mean "support"?)']),
        (HEAD + ROUTE.replace("r: demo", "r: deno"), ['4: unknown provider "deno" (did you mean "demo"?)']),
        (
            HEAD + ROUTE.replace("provider", "provder"),
            ['4: "provider" is missing', '4: unknown key "provder" (did you mean "provider"?)'],
        ),
        (HEAD + ROUTE + "detectors:\n  safeguard: {type: onxx}", ['6: unknown value "onxx" for "type" (did you mean "onnx"?)']),
        (HEAD + ROUTE + "detectors:\n  safeguard: {type: onnx, modle: x}", ['6: unknown key "modle" (did you mean "model"?)']),
        (HEAD + ROUTE + "detectors:\n  safeguard: {model: x}", ['6: "type" is missing']),
        (
            HEAD + ROUTE + "detectors:\n  a: {type: onnx}\n  b: {type: onnx}",
            ['7: "a" answers for every category already; give one of the two "categories" of its own'],
        ),
        (
            HEAD + ROUTE + "detectors:\n  a: {type: onnx, categories: [hate]}",
            ['6: nobody answers for the others; leave "categories" out of one classifier'],
        ),
        (
            HEAD
            + ROUTE
            + "detectors:\n  a: {type: onnx}\n  b: {type: onnx, categories: [hate]}\n  c: {type: onnx, categories: [hat, hate]}",
            ['8: unknown value "hat" for this (did you mean "hate"?)'],
        ),
        (
            HEAD
            + ROUTE
            + "detectors:\n  a: {type: onnx}\n  b: {type: onnx, categories: [hate]}\n  c: {type: onnx, categories: [hate]}",
            ['8: "b" answers for "hate" already'],
        ),
        (
            HEAD + ROUTE + "detectors:\n  a: {type: onnx, model: nowhere}",
            ['6: there is no such model folder; name one, or write "builtin"'],
        ),
        (
            HEAD
            + ROUTE
            + "detectors:\n  a: {type: oip, base_url: h, model: m}\n  b: {type: oip, base_url: http://h, model: m, version: 1}",
            ['6: a base_url begins with "http://" or "https://"', '7: "version" must be text'],
        ),
        (
            HEAD + ROUTE + "detectors:\n  a: {type: oip, base_url: http://h, model: m, manifest: nowhere}",
            ['6: there is no such model folder; name one, or write "builtin"'],
        ),
        (HEAD + ROUTE + "limits: {body: lots}", ['5: a size is a number of bytes or a text such as "32MiB"']),
        (
            HEAD + "  p: {type: openai, timeouts: {idle: soon}}\n" + ROUTE,
            ['4: a duration is a number of seconds or a text such as "10s", "500ms" or "2m"'],
        ),
        (HEAD + "  p: {type: openai, base_url: example.org}\n" + ROUTE, ['4: a base_url begins with "http://" or "https://"']),
        (HEAD + ROUTE + "keys: [{name: a, sha256: abc}]", ['5: "sha256" is the SHA-256 of the token: 64 hexadecimal digits']),
        (
            HEAD + ROUTE + f"keys: [{{name: a, sha256: {DIGEST}, expires: tomorrow}}]",
            ['5: a day or a time is written as "2027-06-30" or "2027-06-30T18:00:00Z"'],
        ),
        (
            HEAD + ROUTE + f"keys: [{{name: a, sha256: {DIGEST}, token_per_minute: 5}}]",
            ['5: unknown key "token_per_minute" (did you mean "tokens_per_minute"?)'],
        ),
        (
            HEAD + ROUTE + "limits: {url: memcached://h}",
            ['5: a Redis "url" begins with "redis://", "rediss://" or "unix://"'],
        ),
        (HEAD + ROUTE + f"keys:\n  - {{name: a, sha256: {DIGEST}, routes: [q, r]}}", ['6: unknown route "q"; known: r']),
        (
            HEAD + ROUTE + "listen: {host: 0.0.0.0}",
            ['5: without "keys" the proxy is open to everybody: listen on 127.0.0.1, or list keys'],
        ),
        (HEAD + ROUTE.replace("name: r", "name: a/b"), [f"4: {NAMES}"]),
        (
            HEAD + ROUTE.replace("name: r", "name: v1"),
            ['4: a route cannot be called "v1": /v1/… are the paths without a route'],
        ),
        (HEAD + ROUTE.replace("policy: default", "policy: ../etc"), [f"4: {NAMES}"]),
        (
            HEAD + ROUTE.replace("default}", "default, shadow_share: 5%}"),
            ['4: "shadow_share" goes with "shadow": the share of conversations that it decides'],
        ),
        (HEAD + ROUTE.replace("default}", "default, unguarded: [files]}"), ['4: a path in "unguarded" begins with "/v1/"']),
        (HEAD.replace("1", "2", 1) + ROUTE, ['1: wrong value for "version"; must be 1']),
    ],
)
def test_wrong(home: Path, text: str, problems: list[str]) -> None:
    assert wrong(home, text) == problems


def test_a_key_from_an_empty_variable_is_refused_and_never_shown(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = HEAD + '  openai: {type: openai, api_key: "${WEIR_TEST_KEY}"}\n' + ROUTE
    monkeypatch.delenv("WEIR_TEST_KEY", raising=False)
    assert wrong(home, text) == [
        "4: the environment variable WEIR_TEST_KEY is not set; set it, or write ${WEIR_TEST_KEY:-default}"
    ]
    monkeypatch.setenv("WEIR_TEST_KEY", "")
    assert '"api_key" is empty' in wrong(home, text)[0]
    monkeypatch.setenv("WEIR_TEST_KEY", "hunter2\n")
    assert "hunter2" not in wrong(home, text)[0]
