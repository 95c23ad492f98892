"""A real Weir whose rules hold on some routes, for some keys and models, and which answers in the user's language."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from openai import BadRequestError, OpenAI

from tests.server.conftest import Upstream, Weir, answer, running, whole

POLICY = """
version: 1
name: told
on_block: refuse
refusal: {en: "Not with me.", fr: "Pas avec moi."}
rules:
  - {id: everywhere, detect: {keywords: [bluebird]}, action: block}
  - {id: kids-only, detect: {keywords: [robin]}, action: block, when: {route: kids}, refusal: {en: "Ask a grown-up.", fr: "Demande à un adulte."}}
  - {id: partners, detect: {keywords: [heron]}, action: block, when: {key: partner}}
  - {id: small-models, detect: {keywords: [magpie]}, action: block, when: {model: "*-mini"}}
  - {id: french, detect: {keywords: [corneille]}, action: block, when: {language: fr}}
"""
PLAIN = """
version: 1
name: plain
on_block: refuse
rules:
  - {id: everywhere, detect: {keywords: [bluebird]}, action: block}
"""
CONFIG = """
version: 1
providers:
  fake: {{type: openai, base_url: "http://127.0.0.1:{upstream}/v1"}}
routes:
  - {{name: kids, match: {{model: "kids-*"}}, provider: fake, policy: told}}
  - {{name: plain, match: {{model: "plain"}}, provider: fake, policy: plain}}
  - {{name: shop, match: {{model: "*"}}, provider: fake, policy: told}}
keys:
  - {{name: partner, sha256: {partner}}}
  - {{name: staff, sha256: {staff}}}
"""


@pytest.fixture(scope="module")
def weir(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weir]:
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("partner", "staff")}
    config = CONFIG.format(upstream=upstream.port, **digests)
    with running(tmp_path_factory.mktemp("circumstances"), config, told=POLICY, plain=PLAIN) as one:
        yield one


def said(weir: Weir, upstream: Upstream, text: str, model: str = "gpt", key: str = "staff") -> str | None:
    """What Weir refuses with; None where it passes."""
    upstream.script = lambda body: whole(answer("fine"))
    client = OpenAI(base_url=weir.url + "/v1", api_key=key, max_retries=0)
    message = client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}]).choices[0].message
    assert (message.refusal is None) == (message.content == "fine")
    return message.refusal


def test_a_rule_of_one_route(weir: Weir, upstream: Upstream) -> None:
    assert said(weir, upstream, "Tell me about the robin in the garden, please.", "kids-1") == "Ask a grown-up."
    assert said(weir, upstream, "Tell me about the robin in the garden, please.", "gpt") is None


def test_a_rule_of_one_key_and_of_some_models(weir: Weir, upstream: Upstream) -> None:
    assert said(weir, upstream, "Tell me about the heron, please.", key="partner") == "Not with me."
    assert said(weir, upstream, "Tell me about the heron, please.", key="staff") is None
    assert said(weir, upstream, "Tell me about the magpie, please.", "gpt-mini") == "Not with me."
    assert said(weir, upstream, "Tell me about the magpie, please.", "gpt") is None


def test_the_user_is_answered_in_the_language_that_they_write(weir: Weir, upstream: Upstream) -> None:
    assert said(weir, upstream, "Parle-moi du bluebird qui chante dans le jardin.") == "Pas avec moi."
    assert said(weir, upstream, "Parle-moi du robin qui chante dans le jardin.", "kids-1") == "Demande à un adulte."
    assert said(weir, upstream, "Erzähle mir bitte etwas über den bluebird im Garten.") == "Not with me."
    assert said(weir, upstream, "Parle-moi du bluebird qui chante dans le jardin.", "plain", "staff") == (
        "Je ne peux pas vous aider pour cette demande."
    )


def test_a_rule_of_one_language(weir: Weir, upstream: Upstream) -> None:
    assert said(weir, upstream, "Que mange la corneille en hiver, dans nos campagnes ?") == "Pas avec moi."
    assert said(weir, upstream, "What does the bird called corneille in France eat in winter?") is None


def test_words_of_the_policy_are_in_the_error_too(weir: Weir, upstream: Upstream) -> None:
    client = OpenAI(base_url=weir.url + "/v1", api_key="staff", max_retries=0)
    with pytest.raises(BadRequestError, match="Pas avec moi"):
        client.embeddings.create(model="gpt", input="Parle-moi du bluebird qui chante dans le jardin.")
