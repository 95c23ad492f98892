"""Azure OpenAI: https://learn.microsoft.com/en-us/azure/ai-foundry/openai/reference and …/api-version-lifecycle

With an `api_version` a model is a deployment in the path, as in `/openai/deployments/NAME/chat/completions?api-version=…`;
without one it is the newer `/openai/v1`, which is OpenAI's own but for the key.
"""

from __future__ import annotations

from urllib.parse import quote

from proxy.config import AzureProvider
from proxy.upstream import Call
from proxy.upstream.openai import OpenAI
from proxy.wire.parts import decode

_DEPLOYED = frozenset(("chat/completions", "completions", "embeddings"))


class Azure(OpenAI):
    def __init__(self, settings: AzureProvider) -> None:
        super().__init__(settings)
        self._root = settings.base_url.rstrip("/").removesuffix("/v1").removesuffix("/openai") + "/openai/"
        self._version = settings.api_version

    def url(self, call: Call) -> str:
        if self._version is None:
            return f"{self._root}v1/{call.path}"
        place = call.path
        if call.path in _DEPLOYED:
            place = f"deployments/{quote(str(decode(call.body).get('model')), safe='')}/{call.path}"
        return f"{self._root}{place}{'&' if '?' in place else '?'}api-version={quote(self._version)}"

    def headers(self, call: Call) -> dict[str, str]:
        """A key goes into `api-key`; a token of Entra ID, which is a JWT, stays where it is."""
        headers = dict(call.headers)
        shown = headers.get("authorization", "").removeprefix("Bearer ")
        if self._key or not shown.startswith("eyJ"):
            headers.pop("authorization", None)
            if key := self._key or shown:
                headers["api-key"] = key
        return headers
