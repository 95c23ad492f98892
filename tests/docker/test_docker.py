"""The container's files: what linters say of them, and what they promise."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from proxy import yamlfile
from proxy.cli import main
from proxy.config import Listen, load_config

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
COMPOSE = sorted(DOCKER.glob("compose*.yaml"))
SHOWN = {"compose.observability.yaml"}  # tested with the dashboards that it shows


def tool(name: str) -> str:
    """A linter in the venv, in the path, or where `WEIR_NODE` has npm's."""
    folders = [str(Path(sys.executable).parent), os.environ.get("WEIR_NODE", ""), os.environ["PATH"]]
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        if os.environ.get("WEIR_CI"):
            pytest.fail(f"{name} is missing, and CI must have it")
        pytest.skip(f"{name} is not installed")
    return found


def read(path: Path) -> Any:
    """Strictly: a key that stands twice, a tag or a tab is an error."""
    return yamlfile.load(path)[0]


def test_the_dockerfile_lints_clean() -> None:
    done = subprocess.run([tool("hadolint"), str(DOCKER / "Dockerfile")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_images_are_small_unprivileged_and_say_what_they_are() -> None:
    lines = (DOCKER / "Dockerfile").read_text().splitlines()
    stages = [line.split() for line in lines if line.startswith("FROM")]
    assert {stage[1] for stage in stages if "-" in stage[1] and ":" in stage[1]} == {"python:3.12-slim-bookworm"}
    assert [stage[3] for stage in stages[-2:]] == ["gpu", "cpu"]  # the last one is what is built without --target
    text = "\n".join(lines)
    assert "USER 10001:10001" in text and "HEALTHCHECK" in text and "org.opencontainers.image.version" in text
    copied = [part for line in lines if line.startswith("COPY ") and "--from" not in line for part in line.split()[1:-1]]
    allowed = {line[1:] for line in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(copied) == allowed and all((ROOT / part).exists() for part in copied)


def test_compose_files_lint_clean_by_the_specification() -> None:
    command = [tool("dclint"), *map(str, COMPOSE), "--formatter", "json", "--disable-rule", "services-alphabetical-order"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = [(Path(one["filePath"]).name, m["type"], m["message"]) for one in json.loads(done.stdout) for m in one["messages"]]
    assert [one for one in found if one[1] == "error" or one[0] not in SHOWN] == []


@pytest.mark.parametrize("file", [f for f in COMPOSE if f.name not in SHOWN], ids=lambda file: file.name)
def test_compose_lets_streams_end_and_gives_no_rights_away(file: Path) -> None:
    services = read(file)["services"]
    weir = services["weir"]
    assert int(weir["stop_grace_period"].removesuffix("s")) > Listen().drain
    assert weir["read_only"] and weir["cap_drop"] == ["ALL"] and weir["init"]
    assert "/tmp" in weir["tmpfs"]  # the workers' metrics are files there
    for name, service in services.items():
        assert "build" in service or ":" in service["image"], f"{name} has no version"
        assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", []))
        assert not service.get("privileged")
        if name == "weir":
            assert "no-new-privileges:true" in service["security_opt"]


@pytest.mark.parametrize("file", COMPOSE, ids=lambda file: file.name)
def test_what_compose_mounts_is_there(file: Path) -> None:
    content = read(file)
    for service in content["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (DOCKER / source).exists(), source
            else:
                assert source in content["volumes"]
        assert {*service.get("networks", [])} <= {*content.get("networks", {})}
        assert {*service.get("depends_on", [])} <= {*content["services"]}


def test_the_stores_can_be_reached_by_weir_alone() -> None:
    content = read(DOCKER / "compose.full.yaml")
    assert content["networks"]["stores"]["internal"]
    for store in ("postgres", "redis"):
        assert content["services"][store]["networks"] == ["stores"] and "ports" not in content["services"][store]
    assert {n for n, s in content["services"].items() if "stores" in s["networks"]} == {"weir", "postgres", "redis"}


@pytest.mark.parametrize("name", ["full", "ollama", "vllm"])
def test_configs_load_with_what_compose_sets(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weir = read(DOCKER / f"compose.{name}.yaml")["services"]["weir"]
    for key, value in weir["environment"].items():
        default = value.partition(":-")[2].rstrip("}")
        monkeypatch.setenv(key, default or ("0" * 64 if key == "WEIR_KEY_SHA256" else "long-enough-to-be-a-secret"))
    for volume in weir["volumes"]:
        source, target, *_ = volume.split(":")
        if source.startswith("."):
            shutil.copytree(DOCKER / source, tmp_path / Path(target).relative_to("/etc/weir"))
    path = tmp_path / "config" / "weir.yaml"
    config = load_config(path)
    services = read(DOCKER / f"compose.{name}.yaml")["services"]
    hosts = [*(j.base_url for j in config.judges.values()), config.limits.url or "", config.audit.url if config.audit else ""]
    named = {host.partition("//")[2].rpartition("@")[2].partition(":")[0] for host in hosts if host and "sqlite" not in host}
    assert named <= set(services) - {"weir"} and (named or name == "full")
    done = CliRunner().invoke(main, ["doctor", "--offline", "--json", "--config", str(path)])
    wrong = [one for one in json.loads(done.output) if one["level"] == "wrong"]
    assert {one["about"] for one in wrong} <= {"audit", "port"}, wrong  # PostgreSQL is not here


def test_prometheus_and_grafana_find_each_other() -> None:
    scraped = read(DOCKER / "config" / "full" / "prometheus.yml")
    assert scraped["scrape_configs"][0]["static_configs"] == [{"targets": ["weir:8080"]}]
    services = read(DOCKER / "compose.full.yaml")["services"]
    assert [Path(v.split(":")[1]).name for v in services["prometheus"]["volumes"]][1] == scraped["rule_files"][0]
    source = read(DOCKER / "config" / "full" / "datasource.yaml")["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
