"""One policy file in the place of another, in one step: whoever reads the file finds the old one or the new one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import yaml


def swap(candidate: Path, live: Path) -> None:
    """`live` gets the text of `candidate`, under its own name; what it was is kept as `live`.before. Raises OSError."""
    text = renamed(candidate.read_bytes().decode("utf-8"), live.stem)
    fresh = live.with_name(f".{live.name}.new")
    with fresh.open("wb") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
    if live.exists():
        shutil.copy2(live, live.with_name(f"{live.name}.before"))
    os.replace(fresh, live)


def renamed(text: str, name: str) -> str:
    """The policy's text with this name; not a character else changes."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    for key, value in root.value if isinstance(root, yaml.MappingNode) else ():
        if key.value == "name":
            return text[: value.start_mark.index] + name + text[value.end_mark.index :]
    return text
