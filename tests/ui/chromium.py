"""A real Chromium, driven over its own protocol; it reaches nothing but this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator

import pytest

try:
    from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
except ModuleNotFoundError:
    if os.environ.get("WEIR_CI"):
        raise
    pytest.skip("playwright is not installed", allow_module_level=True)

__all__ = ["Browser", "BrowserContext", "Page", "expect", "running"]

_ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


def _program() -> str:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        if os.environ.get("WEIR_CI"):
            pytest.fail("Chromium is missing, and CI must have it")
        pytest.skip("Chromium is not installed")
    return program


@contextlib.contextmanager
def running() -> Iterator[Browser]:
    """For one module at a time: while it runs, this thread can run no event loop of its own."""
    program = _program()
    with sync_playwright() as playwright:  # it makes an empty user-data-dir itself
        browser = playwright.chromium.launch(executable_path=program, args=_ARGUMENTS)
        yield browser
        browser.close()
