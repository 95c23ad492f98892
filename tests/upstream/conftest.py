from tests.server.conftest import upstream

__all__ = ["upstream"]
