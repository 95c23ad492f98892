"""Credentials, told by the shapes that their issuers publish. The expressions are our own."""

from __future__ import annotations

import math
import re
from collections import Counter

from proxy.types import Pattern, Span


def entropy(text: str) -> float:
    """Bits a character."""
    counts = Counter(text)
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values()) if text else 0.0


def _assigned(text: str, span: Span) -> list[Span]:
    """Only the value, and only one that nobody would type as a word."""
    raw = text[span.start : span.end]
    match = re.search(r"""[:=]\s*["']?([^\s"']+)$""", raw)
    if match is None:
        return []
    value = match[1].rstrip(",;.)")
    mixed = sum(bool(re.search(kind, value)) for kind in ("[a-z]", "[A-Z]", r"\d", r"[^\w]"))
    if len(value) < 8 or mixed < 2 or entropy(value) < 2.8 or value.startswith(("$", "<", "{", "[", "os.", "process.")):
        return []
    start = span.start + match.start(1)
    return [Span(start, start + len(value))]


def _userinfo(text: str, span: Span) -> list[Span]:
    raw = text[span.start : span.end]
    at = raw.rindex("@")
    colon = raw.index(":", raw.index("//"))
    return [Span(span.start + colon + 1, span.start + at)] if at - colon > 3 else []


def _jwt(text: str, span: Span) -> list[Span]:
    return [span] if text[span.start : span.end].count(".") == 2 else []


_KEY = r"[A-Za-z0-9_\-]"
SECRETS: list[Pattern] = [
    Pattern("secret/openai", "API_KEY", rf"\bsk-(?:proj-|svcacct-|admin-|None-)?{_KEY}{{20,}}"),
    Pattern("secret/anthropic", "API_KEY", rf"\bsk-ant-{_KEY}{{20,}}"),
    Pattern("secret/github", "GITHUB_TOKEN", r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{40,})"),
    Pattern("secret/gitlab", "GITLAB_TOKEN", rf"\bgl(?:pat|ptt|dt|rt|cbt|soat)-{_KEY}{{16,}}"),
    Pattern("secret/aws-id", "AWS_KEY", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b"),
    Pattern("secret/google", "GOOGLE_KEY", rf"\bAIza{_KEY}{{35}}"),
    Pattern("secret/google-oauth", "GOOGLE_TOKEN", rf"\b(?:ya29\.{_KEY}{{20,}}|GOCSPX-{_KEY}{{20,}})"),
    Pattern("secret/slack", "SLACK_TOKEN", r"\bxox[abeoprs]-[A-Za-z0-9\-]{10,}"),
    Pattern("secret/slack-hook", "SLACK_HOOK", r"hooks\.slack\.com/services/[A-Za-z0-9/]{20,}"),
    Pattern("secret/stripe", "STRIPE_KEY", r"\b(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}|\bwhsec_[A-Za-z0-9]{20,}"),
    Pattern("secret/twilio", "TWILIO_KEY", r"\b(?:SK|AC)[0-9a-f]{32}\b"),
    Pattern("secret/sendgrid", "SENDGRID_KEY", rf"\bSG\.{_KEY}{{16,}}\.{_KEY}{{16,}}"),
    Pattern("secret/mailgun", "MAILGUN_KEY", r"\bkey-[0-9a-f]{32}\b"),
    Pattern("secret/npm", "NPM_TOKEN", r"\bnpm_[A-Za-z0-9]{36}"),
    Pattern("secret/pypi", "PYPI_TOKEN", rf"\bpypi-{_KEY}{{32,}}"),
    Pattern("secret/huggingface", "HF_TOKEN", r"\bhf_[A-Za-z0-9]{30,}"),
    Pattern("secret/groq", "API_KEY", r"\bgsk_[A-Za-z0-9]{40,}"),
    Pattern("secret/xai", "API_KEY", r"\bxai-[A-Za-z0-9]{40,}"),
    Pattern("secret/vault", "VAULT_TOKEN", rf"\bhv[sbr]\.{_KEY}{{20,}}"),
    Pattern("secret/digitalocean", "DIGITALOCEAN_TOKEN", r"\bdo[opr]_v1_[0-9a-f]{40,}"),
    Pattern("secret/databricks", "DATABRICKS_TOKEN", r"\bdapi[0-9a-f]{32}"),
    Pattern("secret/telegram", "TELEGRAM_TOKEN", rf"\b\d{{8,10}}:AA{_KEY}{{33}}"),
    Pattern("secret/discord", "DISCORD_TOKEN", rf"\b[MNO][A-Za-z0-9]{{23,25}}\.{_KEY}{{6}}\.{_KEY}{{27,}}"),
    Pattern("secret/azure-storage", "AZURE_KEY", r"\bAccountKey=[A-Za-z0-9+/]{40,}={0,2}"),
    Pattern("secret/jwt", "JWT", rf"\beyJ{_KEY}{{8,}}\.eyJ{_KEY}{{8,}}\.{_KEY}+", valid=_jwt),
    Pattern(
        "secret/private-key", "PRIVATE_KEY",
        r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----[A-Za-z0-9+/=\s:,\-.()]*?(?:-----END [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----|\z)",
    ),
    Pattern("secret/url", "PASSWORD", r"\b[a-z][a-z0-9+]{1,20}://[^\s:/@]{1,64}:[^\s/@]{3,128}@", valid=_userinfo),
    Pattern(
        "secret/assigned", "SECRET",
        r"(?:password|passwd|pwd|mot de passe|api[_\-]?key|secret(?:[_\-]?access)?(?:[_\-]?key)?|access[_\-]?token|auth[_\-]?token|client[_\-]?secret)"
        r"""["']?[ \t]{0,3}[:=][ \t]{0,3}["']?[^\s"']{8,}""",
        ignore_case=True, valid=_assigned,
    ),
]  # fmt: skip
