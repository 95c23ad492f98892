"""What a check says."""

from __future__ import annotations

from typing import Literal, NamedTuple

Level = Literal["fine", "note", "wrong"]


class Finding(NamedTuple):
    """`about` names the part of the installation or of the config. `fix` is what to do, where something should be done. No
    secret and nobody's words are ever in here: people paste it into tickets."""

    level: Level
    about: str
    message: str
    fix: str = ""


def fine(about: str, message: str) -> Finding:
    return Finding("fine", about, message)


def note(about: str, message: str, fix: str = "") -> Finding:
    return Finding("note", about, message, fix)


def wrong(about: str, message: str, fix: str) -> Finding:
    return Finding("wrong", about, message, fix)
