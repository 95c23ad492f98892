from __future__ import annotations

import pytest

from proxy.detect.entities import ENTITIES
from proxy.detect.scanner import Scanner
from proxy.detect.secrets import SECRETS

SCANNER = Scanner([*ENTITIES.values(), *SECRETS])


def found(text: str, ids: list[str]) -> list[str]:
    return [text[f.span.start : f.span.end] for f in SCANNER.select(ids).scan(text).findings]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("email", "joe.smith+tag@mail.example.co.uk"),
        ("email", "a@b.fr"),
        ("phone", "+33 6 12 34 56 78"),
        ("phone", "06 12 34 56 78"),
        ("phone", "0612345678"),
        ("phone", "+1 (202) 456-1111"),
        ("phone", "(202) 456-1111"),
        ("phone", "+49 30 901820"),
        ("phone", "0033 1 42 68 53 00"),
        ("credit_card", "4111 1111 1111 1111"),
        ("credit_card", "4012888888881881"),
        ("credit_card", "3782-822463-10005"),
        ("iban", "FR76 3000 6000 0112 3456 7890 189"),
        ("iban", "DE89370400440532013000"),
        ("ip", "192.168.1.10"),
        ("ip", "2001:db8:85a3::8a2e:370:7334"),
        ("us_ssn", "123-45-6789"),
        ("fr_nir", "1 85 05 78 006 084 91"),
        ("fr_siret", "732 829 320 00074"),
    ],
)
def test_what_is_one(name: str, value: str) -> None:
    assert found(f"It is {value}, yes.", [f"entity/{name}"]) == [value]
    assert found(value, [f"entity/{name}"]) == [value]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("email", "me @ home, a@b, @user, x@y.z"),
        ("phone", "2024-11-24, 12/05/2023, order 48151623, version 1.2.3.4, 3.14159265358, 100 000 000 euros"),
        ("credit_card", "4111 1111 1111 1112"),
        ("credit_card", "0000 0000 0000 0000"),
        ("iban", "FR76 3000 6000 0112 3456 7890 188"),
        ("iban", "AB12 cdef ghij klmn"),
        ("ip", "version 1.2.3, 300.1.1.1, 12:30:45"),
        ("us_ssn", "000-45-6789, 666-45-6789, 123-00-6789"),
        ("fr_nir", "1 85 05 78 006 084 92"),
        ("fr_siret", "732 829 320 00075"),
    ],
)
def test_what_is_none(name: str, text: str) -> None:
    assert found(text, [f"entity/{name}"]) == []


# Put together at run time, so that no scanner of repositories takes them for leaked ones.
FAKES = [
    ("openai", "sk-" + "proj-" + "Ab3dEf6hIj9lMn2pQr5tUv8xYz"),
    ("anthropic", "sk-" + "ant-" + "api03-Ab3dEf6hIj9lMn2pQr5t"),
    ("github", "gh" + "p_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"),
    ("aws-id", "AK" + "IA" + "IOSFODNN7EXAMPLE"),
    ("google", "AI" + "za" + "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q"),
    ("slack", "xo" + "xb-" + "123456789012-abcdefABCDEF"),
    ("stripe", "sk" + "_live_" + "4eC39HqLyjWDarjtT1zdp7dc"),
    ("sendgrid", "SG" + ".ngeVfQFYQlKU0ufo8x5d1A.TwL2iGABf9DHoTf09kqeF8tA"),
    ("npm", "np" + "m_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"),
    ("huggingface", "h" + "f_" + "AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEf"),
    ("jwt", "ey" + "JhbGciOiJIUzI1NiJ9." + "ey" + "JzdWIiOiIxMjM0NTY3ODkwIn0." + "dozjgNryP4J3jVmNHl0w5N"),
]


@pytest.mark.parametrize(("name", "value"), FAKES)
def test_secrets(name: str, value: str) -> None:
    assert found(f"use {value} for it", [p.id for p in SECRETS]) != []
    assert found(f"use {value} for it", [f"secret/{name}"]) == [value]


def test_a_private_key_is_found_whole_and_to_the_end_when_it_never_ends() -> None:
    head = "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nAbC+/=\n"
    whole = head + "-----END RSA PRIVATE KEY-----"
    assert found(f"here: {whole} !", ["secret/private-key"]) == [whole]
    assert found("here: " + head, ["secret/private-key"]) == [head]


@pytest.mark.parametrize(
    "text",
    ["password: ", "the password is secret", "api_key = os.environ['KEY']", "token: string", "password = changeme"],
)
def test_words_about_secrets_are_none(text: str) -> None:
    assert found(text, ["secret/assigned"]) == []


def test_only_the_value_of_an_assignment() -> None:
    assert found("password = 'hunter2Xy9!' # old", ["secret/assigned"]) == ["hunter2Xy9!"]
    assert found("postgres://joe:s3cr3tPass@db/x", ["secret/url"]) == ["s3cr3tPass"]
