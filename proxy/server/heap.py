"""The memory that loading leaves behind."""

from __future__ import annotations

import contextlib
import ctypes


def trim() -> None:
    """Gives back what is free of it. To load a model takes twice its room for a moment, and glibc would keep that for ever;
    elsewhere there is nothing to do."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
