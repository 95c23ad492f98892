"""Every API that is guarded."""

from __future__ import annotations

from proxy.wire.api import Api
from proxy.wire.chat import Chat
from proxy.wire.completions import Completions
from proxy.wire.embeddings import Embeddings
from proxy.wire.messages import CountTokens, Messages
from proxy.wire.responses import Responses

APIS: tuple[Api, ...] = (Chat(), Completions(), Embeddings(), Responses(), Messages(), CountTokens())
