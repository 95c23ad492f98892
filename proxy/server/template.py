"""The process that workers are forked from: what they share is loaded here, once.

Model, policies and code are then one copy in memory for all of them. It has no event loop and serves nobody: it forks when the
supervisor asks, and ends when the supervisor does. Where a fork may not be shared (`Launch.shared`) each worker loads for
itself.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import traceback
import warnings
from pathlib import Path

import msgspec

from proxy.config import Config, OnnxDetector
from proxy.model.artefact import ModelError
from proxy.server.state import State, configure_log
from proxy.server.worker import supervised
from proxy.yamlfile import FileError


class Launch(msgspec.Struct):
    """What a template is started with. Numbers are file descriptors."""

    control: int
    listeners: list[int]
    where: str
    log_level: str
    config: str | None
    shared: bool


def shareable(config: Config) -> bool:
    """A process may be forked while it holds a model only if the model has no threads of its own: they stay behind. On macOS
    its libraries do not survive a fork at all, and nowhere does what a process holds on a GPU."""
    here = [one for one in (config.safeguard, *config.beside.values()) if isinstance(one, OnnxDetector)]
    return sys.platform == "linux" and all(one.threads == 1 and one.device == "cpu" for one in here)


def main(launch: Launch) -> None:
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, signal.SIG_IGN)  # they are for the supervisor
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # a worker that ended is noticed at its line, not here
    configure_log(launch.log_level)
    state = _load(launch) if launch.shared else None
    control = socket.socket(fileno=launch.control)
    listeners = [socket.socket(fileno=fd) for fd in launch.listeners]
    gc.collect()
    gc.freeze()  # a collection would write to every object, and so unshare it
    control.sendall(b"loaded\n")
    while True:
        asked, ends, _, _ = socket.recv_fds(control, 16, 1)
        if not asked:
            return
        end = ends[0]
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # onnxruntime's import leaves one idle thread, which we need not
            pid = os.fork()
        if pid == 0:
            control.close()
            os._exit(_worker(launch, state, socket.socket(fileno=end), listeners))
        os.close(end)
        control.sendall(b"%d\n" % pid)


def _load(launch: Launch) -> State:
    return State.open(Path(launch.config) if launch.config else None)


def _worker(launch: Launch, state: State | None, end: socket.socket, listeners: list[socket.socket]) -> int:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        state = state or _load(launch)
        supervised(state, end, listeners, state.welcome(launch.where))
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    except (FileError, ModelError) as problem:
        print(problem, file=sys.stderr, flush=True)
        return 2
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    try:
        main(msgspec.json.decode(sys.argv[1], type=Launch))
    except (FileError, ModelError) as problem:
        print(problem, file=sys.stderr, flush=True)
        sys.exit(2)
