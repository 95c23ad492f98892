from __future__ import annotations

from pathlib import Path

from proxy import capacity
from proxy.config import LocalJudge, OnnxDetector, load_config

MIB = capacity.MIB


def group(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


def test_cores_are_those_of_the_container(tmp_path: Path) -> None:
    here = capacity.cpus(tmp_path)
    assert here >= 1
    assert capacity.cpus(group(tmp_path, cpu_max="50000 100000\n")) == 0.5
    assert capacity.cpus(group(tmp_path, cpu_max="max 100000\n")) == here
    assert capacity.cpus(group(tmp_path, cpu_max="900000000 100000\n")) == here


def test_memory_is_what_is_left_of_the_container(tmp_path: Path) -> None:
    info = tmp_path / "meminfo"
    info.write_text("MemTotal: 9 kB\nMemAvailable:    1048576 kB\n")
    assert capacity.memory(tmp_path, info) == 1024 * MIB
    group(tmp_path, memory_max=str(600 * MIB), memory_current=str(100 * MIB))
    assert capacity.memory(tmp_path, info) == 500 * MIB
    group(tmp_path, memory_max="max")
    assert capacity.memory(tmp_path, info) == 1024 * MIB
    assert capacity.memory(tmp_path / "none", tmp_path / "none") is None


def test_what_does_not_fit_is_refused_with_what_would() -> None:
    config = load_config(None)
    assert capacity.shortage(config, 4, left=4096 * MIB) == ""
    one, three = capacity.needed(config, 1, True), capacity.needed(config, 3, True)
    assert "--workers 3 fits" in capacity.shortage(config, 8, left=three)
    assert "more memory" in capacity.shortage(config, 2, left=one - 1)
    assert capacity.needed(config, 4, shared=False) > capacity.needed(config, 4, shared=True)


def test_a_judge_on_this_machine_takes_its_weights_in_each_worker(tmp_path: Path) -> None:
    config = load_config(None)
    for name, size in (("model.onnx", 10), ("model.onnx.data", 990), ("tokenizer.json", 5000)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size * MIB)  # without a byte on the disk
    judged = config.model_copy(update={"detectors": {"j": LocalJudge(type="judge-onnx", model=str(tmp_path))}})
    for shared in (True, False):
        more = capacity.needed(judged, 3, shared) - capacity.needed(config, 3, shared)
        assert more == 3 * 1000 * MIB
    room = capacity.needed(config, 2, True) + 1500 * MIB
    assert capacity.shortage(config, 2, left=room) == ""
    assert "--workers 1 fits" in capacity.shortage(judged, 2, left=room)


def test_more_than_the_cores_can_do_is_said() -> None:
    config = load_config(None)
    assert capacity.notes(config, 2, cores=2) == []
    assert "4 workers share 2 cores" in capacity.notes(config, 4, cores=2)[0]
    assert "--workers" in capacity.notes(config, 1, cores=8)[0]
    more = config.model_copy(update={"detectors": {"s": OnnxDetector(type="onnx", threads=3)}})
    assert "6 threads for the classifier" in capacity.notes(more, 2, cores=4)[0]
