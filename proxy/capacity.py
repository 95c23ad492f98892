"""What this machine (or container) has, and what a configuration needs of it."""

from __future__ import annotations

import math
import os
from pathlib import Path

from proxy import builtin
from proxy.config import Config, LocalJudge

MIB = 1024 * 1024
# With the built-in model: supervisor and template hold 75 and 150 MiB when idle, and a worker 15 of its own. The rest is room
# for what it remembers and for bodies that are on their way.
ONCE, EACH = 225 * MIB, 60 * MIB
LITELLM, LITELLM_EACH = 150 * MIB, 75 * MIB  # where a provider is reached by it
MODEL = 1.6  # times a model's file: the graph, and the weights as the kernels want them

_GROUP = Path("/sys/fs/cgroup")


def cpus(group: Path = _GROUP) -> float:
    """Cores that this process may use: its affinity, and a container's quota."""
    there = float(len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else float(os.cpu_count() or 1)
    quota = _read(group / "cpu.max").split()
    if not quota:  # cgroup v1
        quota = [_read(group / "cpu" / "cpu.cfs_quota_us"), _read(group / "cpu" / "cpu.cfs_period_us")]
    try:
        limit, period = float(quota[0]), float(quota[1])
    except (ValueError, IndexError):
        return there  # "max", or no groups here
    return min(there, limit / period) if limit > 0 else there


def memory(group: Path = _GROUP, info: Path = Path("/proc/meminfo")) -> int | None:
    """Bytes that may still be used; None where nobody says."""
    available = next((int(x.split()[1]) * 1024 for x in _read(info).splitlines() if x.startswith("MemAvailable")), None)
    for limit, used in (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")):
        most = _read(group / limit)
        if most.isdigit():
            left = max(0, int(most) - int(_read(group / used) or 0))
            available = left if available is None else min(available, left)
    return available


def needed(config: Config, workers: int, shared: bool) -> int:
    """Bytes, about."""
    files = [config.folder_of(one) / "model.onnx" for one in (config.safeguard, *config.beside.values())]
    size = sum(file.stat().st_size for file in files if file.is_file())
    own = max(0, size - (builtin.MODEL / "model.onnx").stat().st_size) * MODEL  # beyond the built-in one's, which is in ONCE
    more = (LITELLM, LITELLM_EACH) if config.needs_litellm else (0, 0)
    local = [config.judge_folder(one) for one in config.judges.values() if isinstance(one, LocalJudge)]
    # Each worker starts a process for each of them; its weights at the least, in however many files they are.
    weights = sum(file.stat().st_size for folder in local for file in folder.glob("*.onnx*"))
    once, each = ONCE + own + more[0], EACH + more[1] + weights
    return int(once + workers * each) if shared or workers == 1 else int(workers * (once + each))


def shortage(config: Config, workers: int, shared: bool = True, left: int | None = None) -> str:
    """Why this cannot run here, and what to do; empty when it can."""
    left = memory() if left is None else left
    need = needed(config, workers, shared)
    if left is None or need <= left:
        return ""
    fewer = next((n for n in range(workers - 1, 0, -1) if needed(config, n, shared) <= left), 0)
    advice = f"--workers {fewer} fits" if fewer else "give it more memory"
    return f"{workers} workers need about {need // MIB} MiB of memory, and {left // MIB} MiB are free here; {advice}"


def notes(config: Config, workers: int, cores: float | None = None) -> list[str]:
    """What will run, but not well."""
    cores = cpus() if cores is None else cores
    wanted = workers * sum(one.computing for one in (config.safeguard, *config.beside.values()))
    if max(wanted, workers) > math.ceil(cores):
        how = f"{workers} workers" if wanted == workers else f"{workers} workers with {wanted} threads for the classifier"
        return [f"{how} share {cores:g} cores; more than one a core only makes every answer wait longer"]
    if workers == 1 and cores >= 4:
        return [f"one worker uses little more than one of {cores:g} cores; see --workers"]
    return []


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
