from __future__ import annotations

import pytest

from pairmill.quality.privacy import find, redact

AWS = "AKIA" + "IOSFODNN7ABCDEFG"
GITHUB = "ghp_" + "a1B2" * 9
OPENAI = "sk-" + "proj-" + "Ab3" * 12
KEY = "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEow\n-----END RSA " + "PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        ("Write to anna.berg+x@brewmail.org.", "email", "anna.berg+x@brewmail.org"),
        ("Call +49 30 901820 today", "phone", "+49 30 901820"),
        ("Call (212) 555-0187.", "phone", "(212) 555-0187"),
        ("tel 212-555-0187", "phone", "212-555-0187"),
        ("IBAN DE89 3704 0044 0532 0130 00 please", "iban", "DE89 3704 0044 0532 0130 00"),
        ("pay GB82WEST12345698765432", "iban", "GB82WEST12345698765432"),
        ("card 4111 1111 1111 1111.", "card", "4111 1111 1111 1111"),
        ("card 5500-0000-0000-0004", "card", "5500-0000-0000-0004"),
        ("from 8.8.8.8 and", "ip", "8.8.8.8"),
        ("from 2606:4700:4700::1111 it", "ip", "2606:4700:4700::1111"),
        (f"key {AWS}", "secret", AWS),
        (f"token={GITHUB};", "secret", GITHUB),
        (f"use {OPENAI} now", "secret", OPENAI),
        (f"a\n{KEY}\nb", "secret", KEY),
    ],
)
def test_each_kind_is_found_and_replaced(text: str, kind: str, found: str) -> None:
    (match,) = find(text)
    assert (match.kind, text[match.start : match.end]) == (kind, found)
    clean, matches = redact(text)
    assert clean == text.replace(found, f"[{kind.upper()}]")
    assert matches == [match]


@pytest.mark.parametrize(
    "text",
    [
        "Write to user@example.com or root@db.test.",
        "Order 4111 1111 1111 1112 shipped.",  # fails Luhn's check
        "0000 0000 0000 0000",
        "NL00 ABNA 0417 1643 00 is no account",  # fails mod 97
        "The server listens on 127.0.0.1, 10.0.0.8 and 192.168.1.20.",
        "Version 1.2.3.4.5 of 2024-05-17 10:30:00",
        "Between 1874 and 1914, some 1,500,000 litres; pi is 3.14159265358979.",
        "at 10:15:30 the ratio was 3:2:1",
        "The eight light skis are task-based; weigh them.",
        "Chapter 12, pages 100-120, ISBN 978-3-16-148410-0",
        "std::vector and a::b::c in C++",
        "sk-learn is a library",
    ],
)
def test_what_only_looks_private_is_left_alone(text: str) -> None:
    assert redact(text) == (text, [])


def test_several_finds_keep_the_text_between() -> None:
    clean, matches = redact("a@b.org, then 8.8.4.4, then c@d.org!")
    assert clean == "[EMAIL], then [IP], then [EMAIL]!"
    assert [match.kind for match in matches] == ["email", "ip", "email"]
