"""Each diagnosis, with its fix. What cannot be broken here is faked: metadata, memory, clocks."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
import socket
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from proxy import builtin, capacity
from proxy.audit.store import Store
from proxy.cli import main
from proxy.config import load_config
from proxy.doctor import configuration, installation, machine, neighbours
from proxy.doctor.finding import Finding
from proxy.model import device
from tests.server.conftest import free_port

HEAD = """version: 1
providers:
  demo: {type: demo}
routes: [{name: all, provider: demo, policy: mine}]
"""
POLICY = "version: 1\nname: mine\nrules: [{id: words, detect: {keywords: [bluebird]}, action: block}]\n"
POLICY += "examples: [{prompt: bluebird, expect: {action: block}}]\n"


def home(folder: Path, config: str = HEAD, policy: str = POLICY) -> Path:
    (folder / "config").mkdir()
    (folder / "policies").mkdir()
    (folder / "policies" / "mine.yaml").write_text(policy)
    path = folder / "config" / "weir.yaml"
    path.write_text(config if "listen:" in config else config + f"listen: {{port: {free_port()}}}\n")
    path.chmod(0o600)
    return path


def doctor(config: Path | None, *options: str) -> tuple[int, list[dict[str, str]]]:
    """The exit code, and what is not fine."""
    arguments = ["doctor", "--json", *options, *(["--config", str(config)] if config else [])]
    done = CliRunner().invoke(main, arguments)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return done.exit_code, [one for one in json.loads(done.output) if one["level"] != "fine"]


def only(findings: Iterable[Finding], about: str) -> Finding:
    (found,) = (one for one in findings if one.about == about and one.level != "fine")
    assert found.level == "note" or found.fix
    return found


def versions(monkeypatch: pytest.MonkeyPatch, **packages: str | None) -> None:
    real = importlib.metadata.version

    def version(name: str) -> str:
        found = packages.get(name.replace("-", "_"), "real")
        if found is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name) if found == "real" else found

    monkeypatch.setattr(importlib.metadata, "version", version)


# -- the command


def test_what_is_well_is_said_to_be(tmp_path: Path) -> None:
    path = home(tmp_path, HEAD + f"listen: {{port: {free_port()}}}\n")
    code, found = doctor(path, "--offline")
    assert code == 0 and {one["about"] for one in found} <= {"keys", "audit", "cores", "files"}
    done = CliRunner().invoke(main, ["doctor", "--offline", "--config", str(path)])
    assert done.exit_code == 0 and "Nothing is wrong." in done.output and "-> `weir key new NAME`" in done.output


def test_a_broken_config_is_told_with_its_line_and_the_rest_goes_on(tmp_path: Path) -> None:
    code, found = doctor(home(tmp_path, HEAD.replace("policy: mine", "policy: mein")))
    (one,) = (one for one in found if one["level"] == "wrong")
    assert code == 1 and one["about"].endswith("weir.yaml:4") and 'did you mean "mine"' in one["message"]
    done = CliRunner().invoke(main, ["doctor", "--config", str(tmp_path / "config" / "weir.yaml")])
    assert done.exit_code == 1 and "1 to put right." in done.output and "ok     python" in done.output


def test_a_missing_extra_is_told_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.config.check._installed", lambda package: package != "redis")
    code, found = doctor(home(tmp_path, HEAD + "limits: {url: 'redis://localhost'}\n"))
    assert code == 1 and "pip install 'weir[redis]'" in found[-1]["message"] and found[-1]["about"].endswith(":5")


# -- what is installed


def test_pythons() -> None:
    assert only(installation.python((3, 10)), "python").message == "3.10 is too old"
    assert "newer" in only(installation.python((3, 14)), "python").message
    assert [one.level for one in installation.python((3, 13))] == ["fine"]


def test_runtimes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [one.level for one in installation.runtime()] == ["fine"]
    versions(monkeypatch, onnxruntime="1.32.0", onnxruntime_gpu="1.31.1")
    assert "both installed" in only(installation.runtime(), "onnxruntime").message
    versions(monkeypatch, onnxruntime=None, onnxruntime_gpu=None)
    found = only(installation.runtime(), "onnxruntime")
    assert found.level == "wrong" and "weir[cpu]" in found.fix
    versions(monkeypatch, onnxruntime="1.32.0", onnxruntime_gpu=None)
    monkeypatch.setattr(installation, "_imports", lambda module: False)
    assert "cannot be imported" in only(installation.runtime(), "onnxruntime").message


def test_hyperscan_is_missed_but_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    versions(monkeypatch, hyperscan=None)
    found = only(installation.hyperscan(), "hyperscan")
    assert found.level == "note" and "RE2" in found.message


@pytest.mark.parametrize(("version", "told"), [("1.82.8", "steals"), ("1.80.0", "too old"), ("1.83.10", None), (None, None)])
def test_litellm(monkeypatch: pytest.MonkeyPatch, version: str | None, told: str | None) -> None:
    versions(monkeypatch, litellm=version)
    found = [one for one in installation.litellm() if one.level != "fine"]
    assert bool(found) == bool(told) and all(one.level == "wrong" and str(told) in one.message for one in found)


def test_optimum_and_a_transformers_that_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    versions(monkeypatch, optimum="2.1.0", transformers="5.1.0")
    assert only(installation.export(), "optimum").level == "note"
    versions(monkeypatch, optimum="2.1.0", transformers="4.57.6")
    assert list(installation.export()) == []


# -- the machine


def test_memory_and_cores_against_workers_and_threads(tmp_path: Path) -> None:
    config = load_config(home(tmp_path, HEAD + "detectors: {s: {type: onnx, threads: 4}}\n"))
    short = only(machine.room(config, 8, left=300 * capacity.MIB, cores=8), "memory")
    assert short.level == "wrong" and "8 workers need about" in short.message
    assert "32 threads" in only(machine.room(config, 8, left=1 << 40, cores=8), "cores").message
    assert all(one.level == "fine" for one in machine.room(config, 2, left=1 << 40, cores=8))


def test_a_port_that_is_taken(weir_like: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        found = only(machine.listening("127.0.0.1", other.getsockname()[1]), "port")
        assert found.level == "wrong" and "--port" in found.fix
    (one,) = machine.listening("127.0.0.1", weir_like)
    assert one.level == "fine" and "a Weir is listening" in one.message
    assert [one.level for one in machine.listening("127.0.0.1", free_port())] == ["fine"]


def test_a_clock_that_was_never_set() -> None:
    assert only(machine.clock(now=0.0), "clock").level == "wrong"
    assert list(machine.clock()) == []


def test_few_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1024, 1024))
    assert "512 streams" in only(machine.files(), "files").message


# -- config, model, policies, log, secrets


def test_a_gpu_that_is_not_there_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    folder = tmp_path / "model"
    shutil.copytree(builtin.MODEL, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    shutil.copyfile(folder / "model.onnx", folder / "model.fp16.onnx")
    manifest["sha256"]["model.fp16.onnx"] = hashlib.sha256((folder / "model.fp16.onnx").read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    path = home(tmp_path, HEAD + f"detectors: {{s: {{type: onnx, model: '{folder}', device: cuda}}}}\n")
    config = load_config(path)
    found = only(configuration.model(config), "model")
    assert found.level == "wrong" and "the one for CPUs" in found.message and "weir[gpu]" in found.fix

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [device.CUDA, "CPUExecutionProvider"])
    monkeypatch.setattr(device, "runtimes", lambda: {"onnxruntime-gpu": "1.31.1"})
    monkeypatch.setattr(device, "_loads", lambda library: "libcuda.so" in library)
    monkeypatch.setattr(device, "missing_libraries", lambda: ["libcublasLt.so.13"])
    found = only(configuration.model(config), "model")
    assert "fell back to the CPU: libcublasLt.so.13 cannot be loaded" in found.message
    assert found.fix == "pip install 'onnxruntime-gpu[cuda,cudnn]==1.31.1'"

    path.write_text(path.read_text().replace("device: cuda", "device: auto"))
    assert only(configuration.model(load_config(path)), "model").level == "note"


def test_a_model_server_that_does_not_answer(tmp_path: Path) -> None:
    detector = f"{{type: oip, base_url: 'http://127.0.0.1:{free_port()}', model: guard, api_key: sk-hidden-1}}"
    found = only(configuration.model(load_config(home(tmp_path, HEAD + f"detectors: {{s: {detector}}}\n"))), "model")
    assert found.level == "wrong" and found.message and "sk-hidden" not in str(found)


def test_a_model_that_was_changed(tmp_path: Path) -> None:
    shutil.copytree(builtin.MODEL, tmp_path / "model")
    (tmp_path / "model" / "tokenizer.json").write_text("{}")
    path = home(tmp_path, HEAD + f"detectors: {{s: {{type: onnx, model: '{tmp_path / 'model'}'}}}}\n")
    code, found = doctor(path, "--offline")
    assert code == 1 and "not the file that the manifest names" in next(
        one["message"] for one in found if one["about"] == "model"
    )


def test_policies_with_errors_and_with_warnings(tmp_path: Path) -> None:
    path = home(tmp_path, policy=POLICY.replace("keywords: [bluebird]", "keyword: [bluebird]"))
    code, found = doctor(path, "--offline")
    (one,) = (one for one in found if one["level"] == "wrong")
    assert code == 1 and one["about"].endswith("mine.yaml:3") and 'did you mean "keywords"' in one["message"]
    (tmp_path / "policies" / "mine.yaml").write_text("version: 1\nname: mine\nrules: []\n")
    code, found = doctor(path, "--offline")
    assert code == 0 and any(one["message"] == "no rules: everything passes" for one in found)


def test_keys_that_have_expired(tmp_path: Path) -> None:
    keys = f"keys: [{{name: old, sha256: '{'0' * 64}', expires: 2026-01-01}}]\n"
    config = load_config(home(tmp_path, HEAD + keys))
    assert "2026-01-01" in only(configuration.keys(config, datetime(2026, 6, 1, tzinfo=UTC)), "keys.old").message
    assert list(configuration.keys(config, datetime(2025, 6, 1, tzinfo=UTC))) == []


def test_the_decision_log(tmp_path: Path) -> None:
    db = tmp_path / "weir.db"
    path = home(tmp_path, HEAD + f"audit: {{url: 'sqlite:///{db}', key: '${{AUDIT_KEY:-a key that is long enough}}'}}\n")
    config = load_config(path)
    assert [one.message for one in configuration.decision_log(config)] == [f"{db} will be made"]
    Store.open(f"sqlite:///{db}", "a key that is long enough").close()
    db.chmod(0o600)
    assert [one.level for one in configuration.decision_log(config)] == ["fine"]
    db.chmod(0o644)
    found = only(configuration.decision_log(config), "audit")
    assert found.level == "wrong" and found.fix == f"chmod 600 {db}"
    db.chmod(0o600)
    path.write_text(path.read_text().replace("a key that", "another key that"))
    assert "not the one" in only(configuration.decision_log(load_config(path)), "audit").message
    path.write_text(path.read_text().replace(str(db), str(tmp_path / "none" / "weir.db")))
    assert "not writable, or not there" in only(configuration.decision_log(load_config(path)), "audit").message


def test_a_postgresql_that_does_not_answer(tmp_path: Path) -> None:
    url = f"postgresql://weir:hidden@127.0.0.1:{free_port()}/weir?connect_timeout=2"
    path = home(tmp_path, HEAD + f"audit: {{url: '{url}', key: 'a key that is long enough'}}\n")
    found = only(configuration.decision_log(load_config(path)), "audit")
    assert found.level == "wrong" and "start the database" in found.fix and "hidden" not in str(found)


def test_secrets_that_others_may_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "sk-from-outside")
    more = HEAD.replace(
        "demo: {type: demo}", "demo: {type: openai, api_key: sk-written-here}\n  own: {type: openai, api_key: '${KEY}'}"
    )
    path = home(tmp_path, more)
    assert list(configuration.secrets(load_config(path))) == []
    path.chmod(0o644)
    (found,) = configuration.secrets(load_config(path))
    assert found.about == "providers.demo" and "chmod 600" in found.fix and "sk-written" not in str(found)


# -- neighbours


class Neighbour(BaseHTTPRequestHandler):
    """Answers as its path says: /STATUS/v1/models."""

    def do_GET(self) -> None:
        status = int(self.path.split("/")[1]) if self.path[1:4].isdigit() else 200
        models = {"data": [{"id": "guard-20b"}], "policies": []}
        body = json.dumps(models).encode()
        self.send_response_only(status)
        self.send_header("date", "Tue, 01 Jan 2030 00:00:00 GMT" if "skewed" in self.path else self.date_time_string())
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def weir_like() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Neighbour)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


async def test_providers_and_judges(tmp_path: Path, weir_like: int) -> None:
    at = f"http://127.0.0.1:{weir_like}"
    config = load_config(
        home(
            tmp_path,
            f"""version: 1
providers:
  fine: {{type: openai, base_url: "{at}/200/v1"}}
  refused: {{type: openai, base_url: "{at}/401/v1", api_key: sk-hidden-1}}
  asks: {{type: openai, base_url: "{at}/401/v1"}}
  ill: {{type: openai, base_url: "{at}/503/v1"}}
  gone: {{type: openai, base_url: "http://127.0.0.1:{free_port()}/v1"}}
  unknown: {{type: openai, base_url: "http://nobody.invalid/v1"}}
  skewed: {{type: openai, base_url: "{at}/200/skewed/v1"}}
  claude: {{type: anthropic, base_url: "{at}/401/v1", api_key: sk-hidden-2}}
  azure: {{type: azure, base_url: "{at}/200", api_key: sk-hidden-3}}
detectors:
  has: {{type: judge, base_url: "{at}/200/v1", model: guard-20b}}
  lacks: {{type: judge, base_url: "{at}/200/v1", model: guard-120b}}
routes: [{{name: all, provider: fine, policy: mine}}]
""",
        )
    )
    found = await neighbours.check(config)
    levels = {(one.about, one.level) for one in found}
    assert {("providers.fine", "fine"), ("providers.asks", "fine"), ("detectors.has", "fine"), ("clock", "note")} <= levels
    assert "401" in only(found, "providers.refused").message and "sk-hidden" not in str(found)
    assert "401" in only(found, "providers.claude").message and ("providers.azure", "fine") in levels
    assert "503" in only(found, "providers.ill").message
    assert "cannot be reached" in only(found, "providers.gone").message
    assert only(found, "providers.unknown").level == "wrong"
    assert 'no model "guard-120b"' in only(found, "detectors.lacks").message
    assert "guard-20b" in only(found, "detectors.lacks").fix


async def test_a_redis_that_does_not_answer(tmp_path: Path) -> None:
    url = f"redis://:hidden@127.0.0.1:{free_port()}/0"
    more = f"limits: {{url: '{url}'}}\nverdicts: {{url: '{url}', key: long-enough-to-be-one}}\n"
    found = await neighbours.check(load_config(home(tmp_path, HEAD + more)))
    assert only(found, "limits").level == only(found, "verdicts").level == "wrong" and "hidden" not in str(found)


async def test_a_collector_of_traces(tmp_path: Path, weir_like: int) -> None:
    path = home(tmp_path, HEAD + f"telemetry: {{endpoint: 'http://127.0.0.1:{free_port()}'}}\n")
    found = only(await neighbours.check(load_config(path)), "telemetry")
    assert found.level == "note" and "nobody listens" in found.message
    path.write_text(HEAD + f"telemetry: {{endpoint: 'http://127.0.0.1:{weir_like}'}}\n")
    assert [(one.about, one.level) for one in await neighbours.check(load_config(path))] == [("telemetry", "fine")]


async def test_a_redis_that_answers(tmp_path: Path) -> None:
    from tests.server.test_counters import start_redis

    redis = start_redis(tmp_path)
    try:
        (tmp_path / "home").mkdir()
        found = await neighbours.check(load_config(home(tmp_path / "home", HEAD + f"limits: {{url: '{redis.url}'}}\n")))
        assert [(one.about, one.level) for one in found] == [("limits", "fine")]
    finally:
        redis.stop()


def test_nobody_is_asked_offline(tmp_path: Path) -> None:
    config = home(
        tmp_path, HEAD.replace("demo: {type: demo}", f'demo: {{type: openai, base_url: "http://127.0.0.1:{free_port()}"}}')
    )
    assert doctor(config, "--offline")[0] == 0
    assert doctor(config)[0] == 1
