"""python -m training.recalibrate DATA MODEL OUT: a copy of a model made here with calibration, thresholds and the screen's cut
measured anew: for when the way in which texts are read has changed, and the weights have not."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from proxy.model.artefact import Artefact
from proxy.model.classifier import Classifier
from training.data import read
from training.ship import best, calibrate, kept, uncalibrated


def recalibrate(data: Path, model: Path, out: Path) -> None:
    shutil.copytree(model, out, dirs_exist_ok=True)
    held, calm = kept(list(read(data / "train"))), list(read(data / "calibration"))
    manifest = json.loads((model / "manifest.json").read_text(encoding="utf-8"))

    def put(**changed: Any) -> None:
        (out / "manifest.json").write_text(json.dumps({**manifest, **changed}, indent=1) + "\n", encoding="utf-8")

    put(calibration=uncalibrated())
    found = calibrate(out, held, calm)
    put(calibration=found)
    _, screen = best(Classifier(Artefact.load(out), threads=1), [out / "screen.onnx"], held, calm)
    put(calibration=found, screen=screen)


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m training.recalibrate", description=__doc__)
    for name in ("data", "model", "out"):
        arguments.add_argument(name, type=Path)
    given = arguments.parse_args()
    recalibrate(given.data, given.model, given.out)


if __name__ == "__main__":
    main()
