"""Personal data that can be told by its shape and proven by its checksum.

An expression finds a run that may be one; `valid` narrows it to what is. A phone number written as bare digits is only
taken with a leading + or 0, or in the groups that people write.
"""

from __future__ import annotations

import ipaddress
import re

from proxy.types import Pattern, Span

_REGIONS = ("FR", "US", "GB", "DE", "ES", "IT", "BE", "CH")
_DATE = re.compile(r"\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{4}")
_IBAN_LENGTHS = {
    pair[:2]: int(pair[2:])
    for pair in [
        "AD24",
        "AE23",
        "AL28",
        "AT20",
        "AZ28",
        "BA20",
        "BE16",
        "BG22",
        "BH22",
        "BR29",
        "BY28",
        "CH21",
        "CR22",
        "CY28",
        "CZ24",
        "DE22",
        "DK18",
        "DO28",
        "EE20",
        "EG29",
        "ES24",
        "FI18",
        "FO18",
        "FR27",
        "GB22",
        "GE22",
        "GI23",
        "GL18",
        "GR27",
        "GT28",
        "HR21",
        "HU28",
        "IE22",
        "IL23",
        "IQ23",
        "IS26",
        "IT27",
        "JO30",
        "KW30",
        "KZ20",
        "LB28",
        "LC32",
        "LI21",
        "LT20",
        "LU20",
        "LV21",
        "LY25",
        "MC27",
        "MD24",
        "ME22",
        "MK19",
        "MR27",
        "MT31",
        "MU30",
        "NL18",
        "NO15",
        "PK24",
        "PL28",
        "PS29",
        "PT25",
        "QA29",
        "RO24",
        "RS22",
        "SA24",
        "SC31",
        "SE24",
        "SI19",
        "SK24",
        "SM27",
        "ST25",
        "SV28",
        "TL23",
        "TN24",
        "TR26",
        "UA29",
        "VA22",
        "VG24",
        "XK20",
    ]
}


def luhn(digits: str) -> bool:
    """https://en.wikipedia.org/wiki/Luhn_algorithm"""
    total = 0
    for index, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + index % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def _email(text: str, span: Span) -> list[Span]:
    local, _, domain = text[span.start : span.end].partition("@")
    fine = not local.startswith(".") and ".." not in local + domain and not local.endswith(".")
    return [span] if fine else []


def _card_number(digits: str) -> bool:
    if not 13 <= len(digits) <= 19 or len(set(digits)) < 2 or not luhn(digits):
        return False
    first4 = int(digits[:4])
    known = digits[0] == "4" or 51 <= int(digits[:2]) <= 55 or 2221 <= first4 <= 2720 or digits[:2] in ("34", "37")
    known = (
        known
        or digits[:2] in ("36", "38", "39", "50", "56", "57", "58", "60", "62", "63", "64", "65", "67")
        or digits[:2] == "30"
    )
    return known or digits[:2] == "35"


def _groups(text: str, span: Span) -> list[Span]:
    return [Span(span.start + m.start(), span.start + m.end()) for m in re.finditer(r"\d+", text[span.start : span.end])]


def _runs(text: str, span: Span, valid: object, most: int = 8) -> list[Span]:
    """The longest valid runs of whole digit groups inside a candidate, from the left."""
    groups = _groups(text, span)
    found: list[Span] = []
    first = 0
    while first < len(groups):
        for last in range(min(len(groups), first + most) - 1, first - 1, -1):
            inside = Span(groups[first].start, groups[last].end)
            if valid(_digits(text[inside.start : inside.end])):  # type: ignore[operator]
                found.append(inside)
                first = last
                break
        first += 1
    return found


def _credit_card(text: str, span: Span) -> list[Span]:
    return _runs(text, span, _card_number)


def _iban(text: str, span: Span) -> list[Span]:
    raw = text[span.start : span.end]
    length = _IBAN_LENGTHS.get(raw[:2].upper())
    compact, end = "", span.start
    for offset, char in enumerate(raw):
        if length is not None and len(compact) == length:
            break
        if char not in " -":
            compact += char.upper()
            end = span.start + offset + 1
    if length is None or len(compact) != length or (end < len(text) and text[end].isalnum()):
        return []
    number = "".join(str(int(ch, 36)) for ch in compact[4:] + compact[:4])
    return [Span(span.start, end)] if int(number) % 97 == 1 else []


def _ip(text: str, span: Span) -> list[Span]:
    raw = text[span.start : span.end].rstrip(":.")
    try:
        address = ipaddress.ip_address(raw)
    except ValueError:
        return []
    if address.version == 6 and (raw.count(":") < 3 or not any(ch.isdigit() for ch in raw)):
        return []
    return [Span(span.start, span.start + len(raw))]


def _ssn(text: str, span: Span) -> list[Span]:
    area, group, serial = re.split(r"[- ]", text[span.start : span.end])
    fine = area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"
    return [span] if fine else []


def _nir(text: str, span: Span) -> list[Span]:
    """The key is 97 minus the number modulo 97; Corsica's 2A and 2B count as 19 and 18."""
    compact = re.sub(r"[ .\-]", "", text[span.start : span.end]).upper()
    if len(compact) != 15:
        return []
    number = compact[:13].replace("2A", "19", 1) if compact[5:7] == "2A" else compact[:13]
    number = number[:5] + "18" + number[7:] if compact[5:7] == "2B" else number
    if not number.isdigit() or not compact[13:].isdigit():
        return []
    return [span] if 97 - int(number) % 97 == int(compact[13:]) else []


def _siret_number(digits: str) -> bool:
    if len(digits) != 14 or len(set(digits)) < 3:
        return False
    la_poste = digits.startswith("356000000") and sum(map(int, digits)) % 5 == 0
    return la_poste or luhn(digits)


def _siret(text: str, span: Span) -> list[Span]:
    return _runs(text, span, _siret_number)


def _phone(text: str, span: Span) -> list[Span]:
    # Its metadata takes 30 ms and 10 MiB, which a Weir that sees no digits need not pay.
    import phonenumbers

    raw = text[span.start : span.end].rstrip(" .-/(")
    if _DATE.search(raw) or raw.count(".") > 5:
        return []
    digits = _digits(raw)
    if not 8 <= len(digits) <= 15:
        return []
    plus = raw.startswith(("+", "00"))
    if not plus and len(_groups(text, span)) < 2 and not (digits.startswith("0") and len(digits) == 10):
        return []
    for region in (None,) if raw.startswith("+") else _REGIONS:
        try:
            number = phonenumbers.parse("+" + digits[2:] if raw.startswith("00") else raw, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number) and (plus or digits.startswith("0") or region in ("US", "ES", "IT")):
            return [Span(span.start, span.start + len(raw))]
    return []


ENTITIES: dict[str, Pattern] = {
    "email": Pattern("entity/email", "EMAIL", r"[A-Za-z0-9._%+\-]+@(?:[A-Za-z0-9\-]+\.)+[A-Za-z]{2,}", valid=_email),
    "phone": Pattern("entity/phone", "PHONE", r"(?:\+\(?|\(|\b)\d(?:[ .\-/()]{0,2}\d){7,15}\b", valid=_phone),
    "credit_card": Pattern("entity/credit_card", "CREDIT_CARD", r"\b\d(?:[ \-]?\d){12,30}\b", valid=_credit_card),
    "iban": Pattern("entity/iban", "IBAN", r"\b[A-Za-z]{2}\d{2}(?:[ \-]?[A-Za-z0-9]){11,34}", valid=_iban),
    "ip": Pattern(
        "entity/ip", "IP",
        r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b|(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{1,4}\b", valid=_ip,
    ),
    "us_ssn": Pattern("entity/us_ssn", "US_SSN", r"\b\d{3}-\d{2}-\d{4}\b|\b\d{3} \d{2} \d{4}\b", valid=_ssn),
    "fr_nir": Pattern(
        "entity/fr_nir", "FR_NIR",
        r"\b[1-478][ .\-]?\d{2}[ .\-]?\d{2}[ .\-]?(?:\d{2}|2[ABab])[ .\-]?\d{3}[ .\-]?\d{3}[ .\-]?\d{2}\b", valid=_nir,
    ),
    "fr_siret": Pattern("entity/fr_siret", "FR_SIRET", r"\b\d(?:[ .\-]?\d){13,20}\b", valid=_siret),
}  # fmt: skip
