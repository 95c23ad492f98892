"""One Weir in front of one provider, for every client."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import ModuleType

import pytest

from tests.server.conftest import POLICY, Upstream, Weir, running, upstream

from .provider import plays

__all__ = ["upstream"]

CONFIG = """
version: 1
providers: {{fake: {{type: openai, base_url: "http://127.0.0.1:{port}/v1", api_key: "upstream-secret"}}}}
routes:
  - {{name: restore, match: {{model: "*restore*"}}, provider: fake, policy: restore}}
  - {{name: main, provider: fake, policy: test}}
"""


@pytest.fixture(scope="session")
def weir(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weir]:
    restore = POLICY.replace("name: test", "name: restore").replace(
        "fr_nir]}, action: redact", "fr_nir]}, action: redact, restore: true"
    )
    with running(tmp_path_factory.mktemp("clients"), CONFIG.format(port=upstream.port), test=POLICY, restore=restore) as one:
        yield one


@pytest.fixture(autouse=True)
def _provider(upstream: Upstream) -> None:
    plays(upstream)


def client(name: str) -> ModuleType:
    """The client's package. Missing, it is missing from the test on a laptop, and a failure in CI."""
    if os.environ.get("WEIR_CI"):
        return __import__(name)
    return pytest.importorskip(name)
