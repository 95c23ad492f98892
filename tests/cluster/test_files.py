from __future__ import annotations

from pathlib import Path

import pytest

from proxy.cluster.files import Files, Mirror
from proxy.cluster.given import fit
from proxy.config import load_config
from proxy.model.artefact import ModelError
from proxy.yamlfile import FileError

POLICY = "version: 1\nname: NAME\nrules: [{id: birds, detect: {keywords: [owl]}, action: flag}]\n"
CONFIG = """
version: 1
providers: {demo: {type: demo}}
detectors: {safeguard: {type: onnx, model: ../models/ours}}
routes: [{name: all, provider: demo, policy: test, shadow: next.yaml}]
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("config", "policies", "models/ours"):
        (tmp_path / "home" / name).mkdir(parents=True)
    (tmp_path / "home" / "policies" / "test.yaml").write_text(POLICY.replace("NAME", "test"))
    (tmp_path / "home" / "next.yaml").write_text(POLICY.replace("NAME", "next"))
    (tmp_path / "home" / "models" / "ours" / "manifest.json").write_text("{}")
    (tmp_path / "home" / "config" / "weir.yaml").write_text(CONFIG)
    return tmp_path / "home"


def test_a_mirror_is_a_home_of_its_own(root: Path) -> None:
    files, mirror = Files.read(root / "config" / "weir.yaml"), Mirror()
    assert files.contents.keys() == {"config/weir.yaml", "policies/test.yaml", "next.yaml"}
    config = load_config(mirror.place(files))
    assert config.policy_path("test").read_bytes() == (root / "policies" / "test.yaml").read_bytes()
    assert config.shadow_path("next.yaml").is_file()
    assert (config.model_folder / "manifest.json").read_text() == "{}"  # it is where it was
    (root / "policies" / "test.yaml").write_text("something else")
    assert "owl" in config.policy_path("test").read_text()
    mirror.close()


def test_all_files_change_in_one_step(root: Path) -> None:
    mirror = Mirror()
    first = Files.read(root / "config" / "weir.yaml")
    path = mirror.place(first)
    (root / "policies" / "test.yaml").write_text(POLICY.replace("NAME", "test").replace("owl", "wren"))
    (root / "policies" / "more.yaml").write_text(POLICY.replace("NAME", "more"))
    second = Files.read(root / "config" / "weir.yaml")
    assert second.version != first.version == Files(first.root, first.config, dict(first.contents)).version
    before = load_config(path).policy_path("test").resolve()
    assert mirror.place(second) == path
    assert "wren" in load_config(path).policy_path("test").read_text()
    assert load_config(path).policy_path("more").is_file()
    assert "owl" in before.read_text()  # who reads while they change reads one version
    mirror.close()


def test_policies_that_would_not_travel_are_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "test.yaml").write_text(POLICY.replace("NAME", "test"))
    (root / "config" / "weir.yaml").write_text(CONFIG + f"policies: {tmp_path}/far\n")
    with pytest.raises(FileError, match=r"far/test.yaml is not below .*, so it does not reach the cluster"):
        Files.read(root / "config" / "weir.yaml")


ONE = "version: 1\nproviders: {demo: {type: demo}}\nroutes: [{name: all, provider: demo, policy: test}]\n"
KEYS = f"keys: [{{name: a, sha256: {'0' * 64}, requests_per_minute: 9}}]\n"


@pytest.mark.parametrize(
    ("more", "given", "told"),
    [
        ("", {}, "has no keys, so anybody may ask"),
        ("", {"open": True}, ""),
        (KEYS, {}, "the limits of key 'a' would count for each replica"),
        (KEYS + "limits: {url: 'redis://h'}\n", {}, ""),
        (KEYS.replace(", requests_per_minute: 9", "") + "audit: {}\n", {}, "cannot share a decision log in SQLite"),
    ],
)
def test_what_many_may_not_do_is_said_before_they_start(root: Path, more: str, given: dict[str, bool], told: str) -> None:
    path = root / "config" / "weir.yaml"
    path.write_text(ONE + more)
    settings = fit({"config": str(path), **given})
    if not told:
        settings.check(load_config(path))
        return
    with pytest.raises(ModelError, match=told):
        settings.check(load_config(path))
