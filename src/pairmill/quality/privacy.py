"""Finds personal data and secrets by pattern and checksum, and replaces them by placeholders.

Patterns are narrow on purpose: a card must pass Luhn's check, an IBAN its mod-97 check, an address
must be routable, and mail at RFC 2606's example domains is ignored.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pairmill.quality.wording import holds_any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "LEAST_CHARS",
    "Match",
    "find",
    "find_personal",
    "find_secrets",
    "may_hold_personal",
    "redact",
]


@dataclass(frozen=True, slots=True)
class Match:
    """One match: kind (``email``, ``phone``, ``iban``, ``card``, ``ip``, ``secret``) and place."""

    kind: str
    start: int
    end: int


_EMAIL = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b"
)
_EXAMPLE = re.compile(r"@(?:[\w-]+\.)*(?:example(?:\.\w+)?|test|invalid|localhost)$", re.IGNORECASE)
_PHONE = re.compile(
    r"(?<![\w.+/-])(?:\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]\d{2,8}){1,4}|\+\d{9,14}"
    r"|\(\d{3}\) ?\d{3}[ .-]\d{4}|\d{3}[.-]\d{3}[.-]\d{4})(?![\w/-])"
)
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_CARD = re.compile(r"(?<![\d.-])\d{4}(?:[ -]?\d){9,15}(?![\d-])")
_IPV4 = re.compile(r"(?<![\w.-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:])(?:[0-9A-Fa-f]{1,4}:){2,7}(?::?[0-9A-Fa-f]{1,4}){1,7}(?![\w:])")
_SECRET = re.compile(
    r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----(?:.{0,8000}?-----END [A-Z ]{0,20}PRIVATE KEY-----)?"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\bgh[pousr]_[A-Za-z0-9]{36,255}\b|\bgithub_pat_\w{22,255}\b|\bglpat-[\w-]{20,64}\b"
    r"|\bsk-[A-Za-z0-9_-]{20,200}|\bhf_[A-Za-z0-9]{30,64}\b|\bAIza[\w-]{35}(?![\w-])"
    r"|\bxox[abprs]-[A-Za-z0-9-]{10,200}|\b(?:sk|rk)_live_[A-Za-z0-9]{16,128}\b"
    r"|\beyJ[\w-]{10,1000}\.eyJ[\w-]{10,4000}\.[\w-]{10,1000}",
    re.DOTALL,
)
_SECRET_MARKS = (  # a letter that is rare in texts, and the beginning of a secret that contains it
    ("_", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "hf_", "_live_")),
    ("-", ("-----BEGIN ", "glpat-", "sk-", "xox")),
    ("I", ("AKIA", "ASIA", "AIza")),
    ("J", ("eyJ",)),
)
_LONG_NUMBER = re.compile(r"[0-9](?:[0-9 .()-]{5}|[0-9] ?[A-Z0-9]{4})")
_TIGHT_COLON = re.compile(r":(?=[0-9A-Fa-f:])")
_FOREIGN_DIGIT = re.compile(r"(?![0-9])\d")
LEAST_CHARS = 7  # of an IPv4 address; phones and cards have eight digits or more
_MOST_BETWEEN = 2  # characters between two digits of a phone, as in "+1 (555) 010"
_DIGITS_OF_CARD = 13
_COLONS_OF_IPV6 = 2
_PLACEHOLDERS = {
    "email": "[EMAIL]", "phone": "[PHONE]", "iban": "[IBAN]", "card": "[CARD]", "ip": "[IP]",
    "secret": "[SECRET]",
}  # fmt: skip


def find(text: str) -> list[Match]:
    """Return all personal data and secrets, in order; of two that overlap, the first kind wins.

    The kinds in order: secret, email, iban, card, IPv4, phone, IPv6.
    """
    taken: list[Match] = []
    for match in (*find_secrets(text), *find_personal(text)):
        if all(match.end <= other.start or other.end <= match.start for other in taken):
            taken.append(match)
    taken.sort(key=lambda match: match.start)
    return taken


def find_secrets(text: str) -> list[Match]:
    """Strings shaped like keys of well-known services, tokens, and private key blocks."""
    for letter, marks in _SECRET_MARKS:
        if letter in text and holds_any(text, marks):
            return [Match("secret", *found.span()) for found in _SECRET.finditer(text)]
    return []


def redact(text: str) -> tuple[str, list[Match]]:
    """Replace each find by a placeholder such as ``[EMAIL]``; return the text and the finds."""
    matches = find(text)
    if not matches:
        return text, matches
    pieces: list[str] = []
    at = 0
    for match in matches:
        pieces += [text[at : match.start], _PLACEHOLDERS[match.kind]]
        at = match.end
    return "".join([*pieces, text[at:]]), matches


def find_personal(text: str) -> Iterator[Match]:
    """Return all kinds but secrets, possibly overlapping."""
    if "@" in text:
        for found in _EMAIL.finditer(text):
            if not _EXAMPLE.search(found.group()):
                yield Match("email", *found.span())
    numeric = _LONG_NUMBER.search(text) is not None
    for kind, pattern, holds in _NUMERIC if numeric else ():
        for found in pattern.finditer(text):
            if holds(found.group()):
                yield Match(kind, *found.span())
    if text.count(":") >= _COLONS_OF_IPV6:
        for found in _IPV6.finditer(text):
            if _is_routable(found.group()):
                yield Match("ip", *found.span())


def may_hold_personal(text: str, numbers: Sequence[tuple[int, int]]) -> bool:
    """Return False if ``find_personal`` certainly finds nothing; in at most a third of its time.

    Args:
        text: The text.
        numbers: Positions of its numbers, from ``find_numbers``.
    """
    if "@" in text:
        return True
    if text.count(":") >= _COLONS_OF_IPV6 and _TIGHT_COLON.search(text):
        return True
    return bool(numbers) and _may_hold_numeric(text, numbers)


def _may_hold_numeric(text: str, numbers: Sequence[tuple[int, int]]) -> bool:
    """Return whether an IBAN, card, IPv4 address or phone may begin at one of the numbers."""
    if not text.isascii() and _FOREIGN_DIGIT.search(text):
        return True
    length = last = 0
    for start, end in numbers:
        near = last and start - last <= _MOST_BETWEEN
        length = end - start + (length if near else 0)
        if length >= LEAST_CHARS and (near or _may_stand_alone(text, start, end)):
            return True
        country = text[start - 2 : start] if start > 1 else ""
        if country.isalpha() and country.isupper():
            return True
        last = end
    return False


def _may_stand_alone(text: str, start: int, end: int) -> bool:
    """Return whether one number may be a card, an IPv4 address, or a phone number without gaps."""
    return (
        end - start >= _DIGITS_OF_CARD or text.find(".", start, end) > 0 or text[start - 1] == "+"
    )


def _is_card(text: str) -> bool:
    """Luhn's check (ISO/IEC 7812-1, annex B), on 13 to 19 digits that are not all alike."""
    digits = [int(character) for character in text if character.isdigit()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:  # noqa: PLR2004
        return False
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]  # noqa: PLR2004
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_iban(text: str) -> bool:
    """Apply the mod-97 check of ISO 13616, on 15 to 34 characters."""
    plain = text.replace(" ", "")
    if not 15 <= len(plain) <= 34:  # noqa: PLR2004
        return False
    return int("".join(str(int(letter, 36)) for letter in plain[4:] + plain[:4])) % 97 == 1


def _is_routable(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return address.is_global and not address.is_multicast


def _is_phone(text: str) -> bool:
    return 8 <= sum(map(str.isdigit, text)) <= 15  # noqa: PLR2004 (E.164 allows at most 15)


_NUMERIC = (
    ("iban", _IBAN, _is_iban),
    ("card", _CARD, _is_card),
    ("ip", _IPV4, _is_routable),
    ("phone", _PHONE, _is_phone),
)
