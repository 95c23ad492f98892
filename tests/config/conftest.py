from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from proxy.config import Config, load_config
from proxy.yamlfile import FileError

DIGEST = hashlib.sha256(b"token").hexdigest()
NAMES = "a name has letters, digits, '.', '-' and '_' only, and begins with a letter or a digit"
ROUTE = "routes: [{name: r, provider: demo, policy: default}]\n"
HEAD = "version: 1\nproviders:\n  demo: {type: demo}\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with `policies/`, as `config/` and `policies/` stand side by side."""
    (tmp_path / "config").mkdir()
    (tmp_path / "policies").mkdir()
    for name in ("default", "support"):
        (tmp_path / "policies" / f"{name}.yaml").write_text("version: 1\nrules: []\n")
    return tmp_path


def config(home: Path, text: str) -> Config:
    path = home / "config" / "weir.yaml"
    path.write_text(text)
    return load_config(path)


def wrong(home: Path, text: str) -> list[str]:
    with pytest.raises(FileError) as caught:
        config(home, text)
    return [f"{p.line}: {p.message}" for p in caught.value.problems]
