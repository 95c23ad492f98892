"""The config and its policies: read in one place, and laid out the same in another."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from proxy.config import load_config
from proxy.yamlfile import FileError, Problem


@dataclass(frozen=True, slots=True)
class Files:
    """What was in the files at one time. Paths are relative to `root`, the folder above the config's."""

    root: str
    config: str
    contents: dict[str, bytes]

    @property
    def version(self) -> str:
        digest = blake2b(digest_size=8)
        for name, content in sorted(self.contents.items()):
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()

    @classmethod
    def read(cls, path: Path) -> Files:
        """Raises FileError for what is no config, or keeps its policies far from it."""
        config = load_config(path)
        source = config.source
        root = source.parent.parent
        shadows = [config.shadow_path(route.shadow) for route in config.routes if route.shadow is not None]
        wanted = {source, *config.policy_folder.glob("*.yaml"), *shadows}
        contents = {}
        for one in wanted:
            plain = Path(os.path.normpath(one))
            if not plain.is_relative_to(root):
                raise FileError([Problem(str(source), 1, f"{plain} is not below {root}, so it does not reach the cluster")])
            contents[str(plain.relative_to(root))] = one.read_bytes()
        return cls(str(root), str(source.relative_to(root)), contents)


class Mirror:
    """A folder in which the files are as they were read. What else lies beside them, a model for one, is linked to where it is
    on this machine."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="weir-", ignore_cleanup_errors=True)
        self._count = 0

    @property
    def _now(self) -> Path:
        return Path(self._folder.name) / "now"

    def place(self, files: Files) -> Path:
        """The config's path, always the same: whoever reads there finds the files of one version."""
        self._count += 1
        fresh = Path(self._folder.name) / str(self._count)
        for name, content in files.contents.items():
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            (fresh / name).write_bytes(content)
        for folder in [fresh, *(one for one in fresh.rglob("*") if one.is_dir())]:
            original = Path(files.root) / folder.relative_to(fresh)
            for one in original.iterdir() if original.is_dir() else ():
                if not (folder / one.name).exists() and one.suffix not in (".yaml", ".yml"):
                    (folder / one.name).symlink_to(one)
        link = self._now.with_name("next")
        link.symlink_to(fresh.name)
        link.replace(self._now)
        return self._now / files.config

    def close(self) -> None:
        self._folder.cleanup()
