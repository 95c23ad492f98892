"""From the config's words to a provider."""

from __future__ import annotations

from proxy.config import AnthropicProvider, AzureProvider, DemoProvider, LiteLLMProvider, OpenAIProvider, Provider
from proxy.upstream import Provider as Upstream
from proxy.upstream.anthropic import Anthropic
from proxy.upstream.azure import Azure
from proxy.upstream.concealed import Concealed
from proxy.upstream.demo import Demo
from proxy.upstream.member import Member
from proxy.upstream.observed import Observed
from proxy.upstream.openai import OpenAI
from proxy.upstream.translating import Translating

_SECRET = ("key", "secret", "token", "password", "credentials")


def member(name: str, settings: Provider) -> Member:
    if isinstance(settings, DemoProvider):
        return Member(name, Observed(Demo(), name))
    if isinstance(settings, LiteLLMProvider):
        provider, secrets = _litellm(settings)
        asked = None  # litellm's names are no other provider's: it puts in its own
    else:
        provider, secrets, asked = _http(settings), [settings.api_key], settings.model
    for secret in secrets:
        provider = Concealed(provider, secret) if secret else provider
    observed = Observed(provider, name, settings.base_url, settings.model)
    return Member(name, observed, asked, settings.retries, settings.ejection)


def _http(settings: OpenAIProvider | AnthropicProvider | AzureProvider) -> Upstream:
    own: Upstream
    if isinstance(settings, AzureProvider):
        own, system, options = Azure(settings), "azure", {"api_version": settings.api_version or "v1"}
    else:
        own = Anthropic(settings) if isinstance(settings, AnthropicProvider) else OpenAI(settings)
        system, options = settings.type, {}
    if not settings.translate:
        return own
    other = LiteLLMProvider(
        type="litellm", model=f"{system}/*", api_key=settings.api_key, base_url=settings.base_url, options={**options},
        timeouts=settings.timeouts,
    )  # fmt: skip
    return Translating(own, _made(other, beside=True), settings.translate)


def _litellm(settings: LiteLLMProvider) -> tuple[Upstream, list[str | None]]:
    secret = [str(v) for k, v in settings.options.items() if any(word in k for word in _SECRET) and len(str(v)) >= 8]
    return _made(settings), [settings.api_key, *secret]


def _made(settings: LiteLLMProvider, beside: bool = False) -> Upstream:
    from proxy.upstream.litellm import LiteLLM  # heavy, and asked for by such a provider alone

    return LiteLLM(settings, beside)
