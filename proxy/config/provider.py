"""The providers: who answers, how long they are waited for, and when they are asked again or left out."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from proxy.config.value import Count, Part, Seconds, Url, usable_key

# What a provider of type litellm has a setting of its own for.
_ELSEWHERE = {
    "model": "it is the provider's",
    "api_key": "it is the provider's",
    "api_base": 'it is the "base_url"',
    "base_url": "it is the provider's",
    "timeout": 'see "timeouts"',
    "num_retries": 'see "retries"',
    "max_retries": 'see "retries"',
    "fallbacks": "they are the route's",
    "stream": "it is the caller's",
    "messages": "they are the caller's",
}


class Timeouts(Part):
    """Seconds. `idle` is the longest silence within an answer, `first_byte` before it: before the status, and before the
    first byte of the body unless that comes within `idle` after the status."""

    connect: Seconds = 10.0
    first_byte: Seconds = 120.0
    idle: Seconds = 60.0
    total: Seconds | None = None


class Retries(Part):
    """How often the same provider is asked again, while nothing of its answer has reached the client. Before the first time
    it is waited for `first`, then twice as long each time, to `longest`, and each time up to half of that less, by chance.
    What the provider says in `Retry-After` counts instead; if it says more than `longest` it is not asked again."""

    attempts: int = Field(default=1, ge=0, le=10)
    first: Seconds = 0.5
    longest: Seconds = 8.0


class Ejection(Part):
    """A provider that failed `failures` times in a row is left out for `pause`, where another one can stand in; then one
    request tries it again, and each time in vain doubles the pause, to `longest`."""

    failures: Count = 5
    pause: Seconds = 30.0
    longest: Seconds = 300.0


class _Remote(Part):
    """What all providers have that are reached over a network. `model`: what this one calls the model, whatever the route
    or the caller says."""

    model: str | None = Field(default=None, min_length=1)
    timeouts: Timeouts = Timeouts()
    retries: Retries = Retries()
    ejection: Ejection = Ejection()


class HttpProvider(_Remote):
    """A server that is spoken to in OpenAI's or Anthropic's HTTP. Without `api_key` the caller's own key is passed on. What
    it does not speak itself may be listed under `translate`: litellm then makes it from what it does."""

    base_url: Url
    api_key: str | None = Field(default=None, repr=False)
    translate: list[Literal["chat/completions", "completions", "embeddings", "responses", "messages"]] = Field(default=[])

    @field_validator("api_key")
    @classmethod
    def _not_blank(cls, value: str | None) -> str | None:
        return usable_key(value, "leave it out to pass the caller's key on")


class OpenAIProvider(HttpProvider):
    """Any server that speaks OpenAI's HTTP."""

    type: Literal["openai"]
    base_url: Url = "https://api.openai.com/v1"


class AnthropicProvider(HttpProvider):
    """Anthropic's Messages."""

    type: Literal["anthropic"]
    base_url: Url = "https://api.anthropic.com/v1"


class AzureProvider(HttpProvider):
    """Azure OpenAI. `base_url` is the resource, as in `https://NAME.openai.azure.com`. With `api_version` the model is a
    deployment in the path; without it the newer `/openai/v1` is asked."""

    type: Literal["azure"]
    api_version: str | None = Field(default=None, pattern=r"^[A-Za-z0-9-]+$")


class LiteLLMProvider(_Remote):
    """Whatever litellm can reach. In `model` a `*` stands for what the route or the caller asks for. `options` are litellm's
    own, as in `{aws_region_name: eu-west-1}`. Without `api_key` litellm looks for one in its usual variables."""

    type: Literal["litellm"]
    model: str
    api_key: str | None = Field(default=None, repr=False)
    base_url: Url | None = None
    options: dict[str, str | int | float | bool] = Field(default={}, repr=False)

    @field_validator("api_key")
    @classmethod
    def _not_blank(cls, value: str | None) -> str | None:
        return usable_key(value, "leave it out for litellm to look for one")

    @field_validator("model")
    @classmethod
    def _prefixed(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z0-9_]+/.+", value):
            raise ValueError(
                'a "model" of litellm begins with who serves it, as in "anthropic/claude-sonnet-4-5" or "bedrock/*"'
            )
        return value

    @field_validator("options")
    @classmethod
    def _own(cls, value: dict[str, str | int | float | bool]) -> dict[str, str | int | float | bool]:
        for name, instead in _ELSEWHERE.items():
            if name in value:
                raise ValueError(f'"{name}" has no place in "options": {instead}')
        return value


class DemoProvider(Part):
    """Scripted answers; needs nothing."""

    type: Literal["demo"]


Provider = Annotated[
    OpenAIProvider | AnthropicProvider | AzureProvider | LiteLLMProvider | DemoProvider, Field(discriminator="type")
]
