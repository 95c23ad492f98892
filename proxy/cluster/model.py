"""A detector's network as a deployment: what several proxies ask at the same time is read together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from ray import serve

from proxy.config import OnnxDetector
from proxy.model.artefact import Artefact
from proxy.model.network import Read, Window
from proxy.model.session import GPU_BATCH, GPU_WAIT, Session

MOST = 32  # windows in one question

Question = tuple[Sequence[Window], bool]


class OtherModel(Exception):
    """Asked for a model that is not the one here: an old proxy meets a new network, or the other way round."""


def _size(questions: list[Question]) -> int:
    return sum(len(windows) for windows, _ in questions)


class Model:
    def __init__(self, folder: str, settings: OnnxDetector) -> None:
        artefact = Artefact.load(Path(folder))
        given = settings.batch
        self._session = Session(artefact, artefact.padding, settings.threads, settings.device, given.max if given else None)
        on_gpu = self._session.device.startswith("cuda")
        usual = (GPU_BATCH, GPU_WAIT) if on_gpu else (MOST, 0.0)
        most, wait = (given.max, given.wait) if given else usual
        self._read.set_max_batch_size(max(most, MOST))  # a question is not divided; the session cuts to what it likes
        self._read.set_batch_wait_timeout_s(wait)

    async def describe(self) -> str:
        """The SHA-256 of what runs here."""
        return self._session.artefact.sha256

    async def run(self, sha256: str, windows: Sequence[Window], embed: bool) -> Read:
        """Raises OtherModel: what a score means depends on the network that it is from."""
        if sha256 != self._session.artefact.sha256:
            raise OtherModel
        found: Read = await self._read((windows, embed))
        return found

    # Its own loop answers health checks while a batch is read in a thread; one batch at a time, as the threads are set.
    @serve.batch(batch_size_fn=_size)  # type: ignore[untyped-decorator]
    async def _read(self, questions: list[Question]) -> list[Read]:
        windows = [window for some, _ in questions for window in some]
        whole = await asyncio.to_thread(self._session.run, windows, any(embed for _, embed in questions))
        found, at = [], 0
        for some, embed in questions:
            end = at + len(some)
            vectors = whole.embeddings[at:end] if embed and whole.embeddings is not None else None
            found.append(Read(whole.raw[at:end], vectors))
            at = end
        return found


deployment = serve.deployment(Model)
