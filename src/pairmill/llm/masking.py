"""Makes a server's text safe for a log line: no secrets, no control characters, short."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from pairmill.plain import plain as as_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["MESSAGE_LIMIT", "hide", "hide_in_headers", "mask", "plain"]

MESSAGE_LIMIT = 300  # characters

_MASK = "***"
# Patterns of providers' keys, and of places that hold a key.
_SHAPES = re.compile(
    r"""
    \b(?:sk|pk|rk|gsk|xai|pplx|nvapi|hf|r8|fw|csk|ghp|gho|github_pat|glpat|key|tgp)
        [-_][A-Za-z0-9*_.\-]{6,}                              # a provider's prefix
    | \bAIza[A-Za-z0-9_\-]{20,}                               # Google
    | \beyJ[A-Za-z0-9_\-]{8,}(?:\.[A-Za-z0-9_\-]+){1,2}       # a JSON web token
    | (?<=bearer\ )[^\s"',;]+
    | (?<=basic\ )[A-Za-z0-9+/=]{8,}
    | (?<=://)[^\s/@:]+:[^\s/@]+(?=@)                         # user:password in an address
    | (?:(?<=key=)|(?<=token=)|(?<=secret=)|(?<=password=))[^\s&"',;]+
    | \b(?=[A-Za-z_\-]*\d)(?=[\d_\-]*[A-Za-z])[A-Za-z0-9_\-]{32,}  # anything long and random
    """,
    re.VERBOSE | re.IGNORECASE,
)


_LEAST_SECRET = 8  # a shorter key is no secret: private servers accept "x" or "token"
_UNMISTAKABLE = 16  # a longer key is not part of a word by chance


def mask(text: str, secrets: Iterable[str] = ()) -> str:
    """Mask the given secrets (see ``hide``), and everything that looks like a key."""
    return _SHAPES.sub(_MASK, hide(text, secrets))


def hide(text: str, secrets: Iterable[str]) -> str:
    """Mask only the given secrets by three asterisks, in text that is otherwise kept.

    A secret of less than 8 characters is kept, as it may be an ordinary word; one of less than 16
    that is all letters or all digits is masked only as a whole word. Any other is found in any
    case, with JSON escapes, and if split by invisible characters.
    """
    for secret in secrets:
        if _is_unmistakable(secret):
            if _bare(secret) in _bare(text):
                text = _disguised(secret).sub(_MASK, text)
        elif len(secret) >= _LEAST_SECRET and secret in text:
            text = re.sub(rf"(?<![A-Za-z0-9_]){re.escape(secret)}(?![A-Za-z0-9_])", _MASK, text)
    return text


def hide_in_headers(headers: Mapping[str, str], secrets: Iterable[str]) -> Mapping[str, str]:
    """Return headers (names in lower case) with secrets masked."""
    known = tuple(secret for secret in secrets if len(secret) >= _LEAST_SECRET)
    texts = [text for pair in headers.items() for text in pair]
    if not any(secret in text or secret.lower() in text for text in texts for secret in known):
        return headers
    return {
        name: hide(value, known)
        for name, value in headers.items()
        if not any(secret.lower() in name for secret in known)
    }


_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_SMALL = bytes(range(256)).lower()
_UNSEEN = bytes(range(0x21)) + b"\\\x7f"


def _bare(text: str) -> bytes:
    """Return the printable ASCII characters of a text, in lower case and unescaped."""
    if "\\u" in text:
        text = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
    return text.encode("ascii", "ignore").translate(_SMALL, _UNSEEN)


def _is_unmistakable(secret: str) -> bool:
    """Return True if it cannot be an ordinary word: it is long, or mixes letters and digits."""
    if len(secret) >= _UNMISTAKABLE:
        return True
    is_mixed = any(map(str.isdigit, secret)) and any(map(str.isalpha, secret))
    return is_mixed and len(secret) >= _LEAST_SECRET


@lru_cache(maxsize=64)
def _disguised(secret: str) -> re.Pattern[str]:
    """Match a secret in any case, with escapes, and with invisible characters in between."""
    between = r"(?:[^\x21-\x7e]|\\+u(?:200[b-f]|206[0-4]|feff|00ad|00a0)){0,999}"
    letters = (rf"\\*(?:{re.escape(letter)}|u{ord(letter):04x})" for letter in secret)
    return re.compile(between.join(letters), re.IGNORECASE)


def plain(text: str, secrets: Iterable[str] = (), limit: int = MESSAGE_LIMIT) -> str:
    """``text`` masked, as one line of at most ``limit`` characters: see `pairmill.plain`."""
    text = text[: limit * 20]  # do not search long in what a hostile server sends
    return as_line(mask(text, secrets), limit)
