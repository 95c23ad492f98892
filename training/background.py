"""Ordinary texts as embeddings: what `examples:` rules learn against. Only sources whose licences ask for no share-alike."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from proxy.model.artefact import Artefact
from proxy.model.classifier import Classifier
from training.data import LANGUAGES, read

SIZE = 800
LONGEST = 300  # characters
FILE = "background.npy"
# MIT, Apache-2.0, BSD, CC-BY, CC0 and public domain.
SOURCES = frozenset(
    (
        "mt-bench prompt-guide mailbox recipes code-civil chatterbot xpersona mesconseilscovid german-drama clinc150 polyai "
        "medquad self-instruct prompts-book gpteacher hf-course gesetze taskmaster us-speeches home-assistant agentdojo-docs"
    ).split()
)


def chosen(data: Path) -> list[str]:
    """Texts of which every category is known to be absent, evenly from all the sources, the same ones each time."""
    by_source: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for folder in ("train", "calibration"):
        for row in read(data / folder):
            calm = all(value == 0 for value in row["labels"].values())
            if row["source"] in SOURCES and calm and row["lang"] in LANGUAGES and 8 <= len(row["text"]) <= LONGEST:
                by_source[row["source"]].append(row)
    for rows in by_source.values():
        rows.sort(key=lambda row: hashlib.blake2b(row["id"].encode(), digest_size=8).digest())
    found: list[str] = []
    depth = 0
    while len(found) < SIZE and any(len(rows) > depth for rows in by_source.values()):
        found += (rows[depth]["text"] for _, rows in sorted(by_source.items()) if len(rows) > depth)
        depth += 1
    return found[:SIZE]


def write(data: Path, out: Path) -> None:
    """Into the model's folder; the manifest that names it is the caller's."""
    classifier = Classifier(Artefact.load(out), threads=2)
    texts = chosen(data)
    rows = [
        one.embeddings.astype(np.float32).mean(0)
        for at in range(0, len(texts), 64)
        for one in classifier.score([(text, "") for text in texts[at : at + 64]], embed=True)
        if one.embeddings is not None
    ]
    table = np.stack(rows)
    np.save(out / FILE, (table / np.linalg.norm(table, axis=1, keepdims=True)).astype(np.float16))
