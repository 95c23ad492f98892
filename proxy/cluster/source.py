"""One replica, which knows the config and the policies of today. What does not load is not handed on: a proxy that starts
then gets what the others have."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import Any

from ray import serve
from watchfiles import awatch

from proxy.cluster.files import Files, Mirror
from proxy.cluster.given import fit
from proxy.cluster.state import open_state
from proxy.config import load_config
from proxy.model.artefact import ModelError
from proxy.server.state import configure_log, open_audit
from proxy.yamlfile import FileError

log = logging.getLogger("weir")

PATIENCE = 20.0  # seconds that a proxy's question is kept open
AGAIN = 0.2  # seconds until other folders are watched


class Source:
    async def __init__(self, settings: dict[str, Any], models: dict[str, Any]) -> None:  # type: ignore[misc]  # Serve awaits it
        self._given = fit(settings)
        configure_log(self._given.log_level)
        self._path = self._given.path
        self._mirror = Mirror()
        self._news = asyncio.Condition()
        self._files = await asyncio.to_thread(Files.read, self._path)
        self._state = await asyncio.to_thread(open_state, self._mirror.place(self._files), self._given, models)
        if (audit := self._state.snapshot.config.audit) is not None:
            await asyncio.to_thread(lambda: open_audit(audit).close())  # tables are made once, before there are many
        self._watching = asyncio.create_task(self._watch())

    async def newer(self, version: str) -> Files | None:
        """The files, as soon as they are another version; None when nothing has changed for a while."""
        async with self._news:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await self._news.wait_for(lambda: self._files.version != version)
            return self._files if self._files.version != version else None

    async def check_health(self) -> None:
        """Serve replaces one that no longer watches."""
        if self._watching.done():
            raise RuntimeError("nobody watches the files")

    async def _watch(self) -> None:
        folders: set[Path] = set()
        while True:
            await self._look()  # something may have changed while nobody watched
            folders = self._folders(folders)
            with contextlib.suppress(OSError):  # one of them is gone, for now
                async for _ in awatch(*folders, debounce=200, step=50):
                    await self._look()
                    if self._folders(folders) != folders:
                        break
            await asyncio.sleep(AGAIN)

    def _folders(self, before: set[Path]) -> set[Path]:
        try:
            config = load_config(self._path)
        except (FileError, OSError):
            return before
        return {config.source.parent, config.source.resolve().parent, config.policy_folder}

    async def _look(self) -> None:
        try:
            files = await asyncio.to_thread(Files.read, self._path)
            if files.version == self._files.version:
                return
            self._given.check(load_config(self._mirror.place(files)))
            if not await asyncio.to_thread(self._state.reload):
                return  # it has said why
        except (FileError, ModelError, OSError) as problem:
            log.error("reload refused, the running policies stay", extra={"fields": {"problem": str(problem)}})
            return
        async with self._news:
            self._files = files
            self._news.notify_all()

    async def __del__(self) -> None:
        self._watching.cancel()
        self._mirror.close()


deployment = serve.deployment(Source)
