"""From a file to a Config."""

from __future__ import annotations

import os
from pathlib import Path

from proxy import builtin, yamlfile
from proxy.config.check import wrong
from proxy.config.file import Config
from proxy.yamlfile import FileError


def load_config(path: Path | None = None) -> Config:
    """The config file, or the built-in one. Raises FileError with everything that is wrong in it.

    `${VAR}` is replaced from the environment. The policies themselves are not read, only looked for.
    """
    path = path or builtin.CONFIG
    data, positions = yamlfile.load(path, env=os.environ)
    config = yamlfile.validate(Config, data, positions)
    # Not resolved: a mounted file may be a link into another folder, and `policies/` stands beside the link.
    config._source = Path(os.path.abspath(path))
    problems = [positions.problem(where, message) for where, message in wrong(config)]
    if problems:
        raise FileError(problems)
    return config
