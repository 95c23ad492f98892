"""Whether this machine, or container, can run what the config asks for."""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress

from proxy import capacity
from proxy.config import Config
from proxy.doctor.finding import Finding, fine, note, wrong
from proxy.server.template import shareable

FILES = 4096  # open at once: a stream takes two
_BUILT = 1_760_000_000  # seconds since 1970; no clock that is right shows less


def check(config: Config, host: str, port: int, workers: int) -> Iterator[Finding]:
    yield from room(config, workers)
    yield from listening(host, port)
    yield from files()
    yield from clock()


def room(config: Config, workers: int, left: int | None = None, cores: float | None = None) -> Iterator[Finding]:
    """Memory and cores against workers and threads."""
    left = capacity.memory() if left is None else left
    if short := capacity.shortage(config, workers, shareable(config), left):
        yield wrong("memory", short, "fewer workers, or more memory")
    elif left is not None:
        need = capacity.needed(config, workers, shareable(config)) // capacity.MIB
        yield fine("memory", f"{left // capacity.MIB} MiB free, about {need} needed by {_workers(workers)}")
    notes = capacity.notes(config, workers, cores)
    yield from (note("cores", text, "as many workers as cores, with one thread each") for text in notes)
    if not notes:
        yield fine("cores", f"{capacity.cpus() if cores is None else cores:g} for {_workers(workers)}")


def _workers(count: int) -> str:
    return f"{count} worker{'s' if count > 1 else ''}"


def listening(host: str, port: int) -> Iterator[Finding]:
    if port == 0:
        return
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.create_server((str(address[0]), int(address[1])), family=family):
            pass
    except OSError as problem:
        if _is_weir(host, port):
            yield fine("port", f"a Weir is listening on {host}:{port}")
        else:
            text = f"Weir cannot listen on {host}:{port}: {problem.strerror}"
            yield wrong("port", text, "stop what is there (ss -ltnp tells what), or choose another with --port or `listen:`")
    else:
        yield fine("port", f"{host}:{port} is free")


def _is_weir(host: str, port: int) -> bool:
    shown = f"[{host}]" if ":" in host else host
    try:
        with urllib.request.urlopen(f"http://{shown}:{port}/readyz", timeout=2) as answer:
            return b"policies" in answer.read(100_000)
    except urllib.error.HTTPError as answer:
        return b"policies" in answer.read(100_000)
    except (OSError, ValueError):
        return False


def files() -> Iterator[Finding]:
    with suppress(ImportError, OSError):
        import resource  # there is none on Windows

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        if 0 <= most < FILES:
            text = f"a process may have {most} files open, which is about {most // 2} streams"
            yield note("files", text, "ulimit -Hn 65536; in systemd LimitNOFILE=65536; in Docker --ulimit nofile=65536")


def clock(now: float | None = None) -> Iterator[Finding]:
    if (time.time() if now is None else now) < _BUILT:
        text = "the clock is years behind: keys do not expire, certificates are not valid, and the decision log lies"
        yield wrong("clock", text, "set it, and keep it right with NTP (timedatectl set-ntp true)")
