"""Makes a server's text safe for a log line: no secrets, no control characters, short."""

from __future__ import annotations

import base64
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from pairmill.display import sanitize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["MESSAGE_LIMIT", "hide", "hide_in_headers", "mask", "masked_line"]

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


_LEAST_SECRET = 8  # a shorter key is not secret: private servers accept "x" or "token"
_UNMISTAKABLE = 16  # a longer key is not part of a word by chance


def mask(text: str, secrets: Iterable[str] = ()) -> str:
    """Mask the given secrets (see ``hide``), and everything that looks like a key."""
    return _SHAPES.sub(_MASK, hide(text, secrets))


def hide(text: str, secrets: Iterable[str]) -> str:
    """Mask only the given secrets by three asterisks, in text that is otherwise kept.

    A secret of less than 8 characters is kept, as it may be an ordinary word; one of less than 16
    that is all letters or all digits is masked only as a whole word. Any other is found in any
    case, with escapes of JSON, HTML, URLs and Python, in base64 and hexadecimal, and if split by
    invisible characters.
    """
    for secret in secrets:
        if _is_unmistakable(secret):
            bare = _bare(text)
            for part, patterns in _forms(secret):
                if part in bare:
                    text = patterns(secret).sub(_MASK, text)
        elif len(secret) >= _LEAST_SECRET and secret in text:
            text = re.sub(rf"(?<![A-Za-z0-9_]){re.escape(secret)}(?![A-Za-z0-9_])", _MASK, text)
    return text


def hide_in_headers(headers: Mapping[str, str], secrets: Iterable[str]) -> Mapping[str, str]:
    """Return headers (names in lower case) with secrets masked."""
    known = tuple(secret for secret in secrets if len(secret) >= _LEAST_SECRET)
    texts = [text for pair in headers.items() for text in pair]
    long = [text for text in texts if len(text) >= _LEAST_SECRET]
    if not any(hide(text, known) != text for text in long):
        return headers
    return {
        name: hide(value, known) for name, value in headers.items() if hide(name, known) == name
    }


_ESCAPE = re.compile(
    r"\\[uU]([0-9a-fA-F]{4})|%(?:25)*([0-9a-fA-F]{2})|\\x([0-9a-fA-F]{2})"
    r"|&#[xX]0*([0-9a-fA-F]{1,4});|&#0*([0-9]{1,4});"
)
_DECIMAL = 5  # the group of that regular expression that holds no hexadecimal digits
_SMALL = bytes(range(256)).lower()
_UNSEEN = bytes(range(0x21)) + b"\\\x7f"


def _bare(text: str) -> bytes:
    """Return the printable ASCII characters of a text, in lower case and unescaped."""
    if "\\" in text or "%" in text or "&#" in text:
        text = _ESCAPE.sub(_unescaped, text)
    return text.encode("ascii", "ignore").translate(_SMALL, _UNSEEN)


def _unescaped(found: re.Match[str]) -> str:
    group = found.lastindex or 1
    return chr(int(found[group], 10 if group == _DECIMAL else 16))


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
    return re.compile(between.join(map(_letter, secret)), re.IGNORECASE)


def _letter(letter: str) -> str:
    """Match one letter, literally or by its code."""
    numbers = sorted({ord(letter.lower()), ord(letter.upper())})
    ways = [rf"\\*{re.escape(letter)}"]
    for number in numbers:
        ways += [rf"\\+u{number:04x}", rf"%(?:25)*{number:02x}", rf"\\+x{number:02x}"]
        ways += [rf"&\#x0*{number:x};", rf"&\#0*{number};"]
    return f"(?:{'|'.join(ways)})"


@lru_cache(maxsize=64)
def _encoded(secret: str) -> tuple[str, ...]:
    """Return strings of which one occurs in any base64 or hexadecimal text that holds the secret.

    Base64 encodes three bytes as four characters, so the secret has three encodings, depending on
    its position; of each, only the characters that do not depend on other bytes are returned.
    """
    data = secret.encode("utf-8", "surrogateescape")
    found = [data.hex(), data.hex().upper()]
    for before in range(3):
        whole = base64.b64encode(bytes(before) + data).decode("ascii")
        own = whole[(0, 2, 3)[before] : (before + len(data)) * 4 // 3]
        found += [own, own.translate(_URL_SAFE)]
    return tuple(dict.fromkeys(found))


_URL_SAFE = str.maketrans("+/", "-_")


@lru_cache(maxsize=64)
def _forms(secret: str) -> list[tuple[bytes, Callable[[str], re.Pattern[str]]]]:
    """Return, for each form of the secret, a part of the bare text and the pattern to mask it."""
    encoded = dict.fromkeys(part.lower().encode("ascii") for part in _encoded(secret))
    return [(_bare(secret), _disguised), *((part, _encodings) for part in encoded)]


@lru_cache(maxsize=64)
def _encodings(secret: str) -> re.Pattern[str]:
    """Match encoded forms, with adjacent characters that encode a part of the secret."""
    parts = "|".join(map(re.escape, _encoded(secret)))
    return re.compile(rf"[A-Za-z0-9+/_-]{{0,3}}(?:{parts})[A-Za-z0-9+/_-]{{0,3}}={{0,2}}")


def masked_line(text: str, secrets: Iterable[str] = (), limit: int = MESSAGE_LIMIT) -> str:
    """Return the text masked, as one line of at most ``limit`` printable characters."""
    text = text[: limit * 20]  # do not search long in what a hostile server sends
    return sanitize(mask(text, secrets), limit)
