"""Texts that were written for the training, one a line, in `training/written/*.txt`: what the pool lacks, above all in French,
German and Spanish.

    # a comment
    [de user violence ?harassment]
    Ich {warte|stehe} {heute Abend|morgen früh} vor deiner Tür, und dann {blutest|zahlst} du.
    [de user -]
    Die Mannschaft hat den Gegner {gestern|am Samstag} regelrecht vernichtet.

A header gives language, role and labels of the lines below it: the categories that they are of, with `?` those that they may
be of, or `-` for harmless. `{a|b}` stands for either; `\\n` is a line break. One line in eight is only measured on, and all of
`training/judged/`.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from proxy.types import CATEGORIES
from training.data import LANGUAGES, SOURCE_POWER
from training.made import Filled, row

FOLDER, JUDGED = (Path(__file__).parent / name for name in ("written", "judged"))
FILLINGS = 12  # of a line, at most
_HEADER = re.compile(r"\[(\w+) (user|assistant|document) ([^\]]+)\]")
_CHOICE = re.compile(r"\{([^{}]*)\}")


def rows(held: bool) -> list[dict[str, Any]]:
    """Those to learn from, or those that are only measured on. Sources: `made-FILE-harm` and `made-FILE-calm`."""
    found = []
    for file in sorted(FOLDER.glob("*.txt")):
        for line, lang, role, harm in lines(file):
            if _is_held(line) == held:
                found += [row(Filled(text, lang, _source(file, harm), role), harm) for text in fillings(line)]
    return found


def judged() -> list[dict[str, Any]]:
    """Lines by other hands than those that are learnt from, which saw neither the others' lines nor what a model says."""
    return [
        row(Filled(line, lang, file.stem, role), harm)
        for file in sorted(JUDGED.glob("*.txt"))
        for line, lang, role, harm in lines(file)
    ]


def shares(total: float) -> dict[str, float]:
    """How often each source of them is drawn: as those of the pool are, by its lines, together `total`."""
    count = Counter(_source(file, harm) for file in sorted(FOLDER.glob("*.txt")) for _, _, _, harm in lines(file))
    weights = {f"made-{source}": number**SOURCE_POWER for source, number in count.items()}
    return {source: total * weight / sum(weights.values()) for source, weight in weights.items()}


def _source(file: Path, harm: dict[str, int | None]) -> str:
    return f"{file.stem}-{'harm' if harm else 'calm'}"


def lines(file: Path) -> Iterator[tuple[str, str, str, dict[str, int | None]]]:
    """Each text with its language, role and labels. ValueError: names file and line."""
    header: tuple[str, str, dict[str, int | None]] | None = None
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if match := _HEADER.fullmatch(line.strip()):
            header = match[1], match[2], _labels(match[3], f"{file}:{number}")
            if match[1] not in LANGUAGES:
                raise ValueError(f"{file}:{number}: no language of ours: {match[1]}")
        elif header is None or line.count("{") != line.count("}") or re.search(r"\{[^{}|]*\}", line):
            raise ValueError(f"{file}:{number}: no header above it, or a brace without a choice")
        else:
            yield line.strip().replace("\\n", "\n"), *header


def _labels(given: str, where: str) -> dict[str, int | None]:
    if given == "-":
        return {}
    found: dict[str, int | None] = {name.lstrip("?"): None if name.startswith("?") else 1 for name in given.split()}
    if unknown := found.keys() - set(CATEGORIES):
        raise ValueError(f"{where}: no category {', '.join(sorted(unknown))}")
    return found


def fillings(line: str) -> list[str]:
    """Up to FILLINGS ways to choose, the same ones each time."""
    parts = _CHOICE.split(line)  # text, choices, text, choices, ..., text
    choices = [part.split("|") if i % 2 else [part] for i, part in enumerate(parts)]
    count = int(np.prod([len(one) for one in choices]))
    if count <= FILLINGS:
        return ["".join(one) for one in itertools.product(*choices)]
    rng = np.random.default_rng(int.from_bytes(hashlib.blake2b(line.encode(), digest_size=6).digest(), "big"))
    return sorted({"".join(one[int(rng.integers(len(one)))] for one in choices) for _ in range(FILLINGS)})


def _is_held(line: str) -> bool:
    return hashlib.blake2b(line.encode(), digest_size=4).digest()[0] % 8 == 0
