"""What each worker process runs: load everything, then say where it listens."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from starlette.applications import Starlette

from proxy.cli import configure_log
from proxy.config import load_config
from proxy.server.app import build
from proxy.server.connection import Connection
from proxy.server.state import State
from proxy.workbench import load_queue


def create() -> Starlette:
    path = Path(os.environ["WEIR_CONFIG"]) if os.environ.get("WEIR_CONFIG") else None
    configure_log(os.environ.get("WEIR_LOG_LEVEL", "info"))
    config = load_config(path)
    state = State.load(path, load_queue(config))
    Connection.limits = config.limits  # uvicorn makes the connections, and knows of no config but its own
    if where := os.environ.get("WEIR_WELCOME"):
        print(welcome(where, state), file=sys.stderr, flush=True)
    return build(state)


def welcome(where: str, state: State) -> str:
    config = state.snapshot.config
    model = f"{state.queue.classifier.artefact.name} ({state.queue.classifier.artefact.sha256[:8]})" if state.queue else "none"
    routes = ", ".join(
        f"{r.match.model} -> {r.provider} under {state.snapshot.guard.policies[r.policy].ref}" for r in config.routes
    )
    keys = f"{len(config.keys)} keys" if config.keys else "none configured: open, on loopback only"
    notes = "".join(f"  note    {note}\n" for note in [*config.unused, *state.snapshot.prices.notices(config)])
    return (
        f"Weir listens on http://{where}/v1\n  model   {model}\n  routes  {routes}\n  keys    {keys}\n{notes}  try     "
        f"curl -s http://{where}/v1/chat/completions -H 'content-type: application/json' "
        """-d '{"model":"demo","messages":[{"role":"user","content":"/contact"}]}'"""
    )
