"""`serve run CONFIG` on a small Ray of its own: python serve.py CONFIG FOLDER"""

from __future__ import annotations

import sys

import ray
from ray.serve.scripts import cli


def main() -> None:
    config, folder = sys.argv[1:]
    # Two cores, whatever there is: Ray starts a process for each beforehand. A replica here asks for a tenth of one.
    ray.init(num_cpus=2, object_store_memory=80_000_000, include_dashboard=False, _temp_dir=folder, namespace="serve")
    cli(["run", config])


if __name__ == "__main__":
    main()
