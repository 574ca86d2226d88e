"""Invisible characters, which no dataset, log or terminal should contain."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["plain_line", "strip_hidden", "strip_surrogates"]

# Terminal escape sequences go as a whole: their letters would stay as litter.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_LINE_BREAKS = ("\r", "\x0b", "\x0c", "\x85", "\u2028", "\u2029")
_HIDDEN_ASCII = bytes({*range(32), 127} - {ord("\n"), ord("\t")})
# C0, C1, soft hyphen, zero-width and bidirectional controls, fillers, lone surrogates, and the two
# blocks (tags, supplementary variation selectors) that are used to hide text from people.
_HIDDEN = re.compile(
    "[\\x00-\\x08\\x0e-\\x1f\\x7f-\\x9f\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180e"
    "\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"
    "\\ud800-\\udfff\U000e0000-\U000e0fff]"
)
_SURROGATES = re.compile("[\\ud800-\\udfff]")
# Joiners spell words in Persian and Indic scripts and build emoji: only there they stay.
_JOINERS = re.compile(
    r"(?<![^\x00-\x7f])[\u200c\u200d]+|[\u200c\u200d]+(?![^\x00-\x7f\u200c\u200d])"
)


def strip_hidden(text: str) -> str:
    r"""Return ``text`` in NFC, with lines ending in ``\n``, without hidden characters.

    Control characters (except ``\n`` and ``\t``), terminal escapes, zero-width and bidirectional
    marks, and surrogates are removed; a no-break space becomes a space. Visible characters stay.
    """
    if not text.isascii():
        return _strip_hidden(text)
    # Most texts hold nothing of the kind, and one look at the bytes tells.
    data = text.encode("ascii")
    if len(data.translate(None, _HIDDEN_ASCII)) == len(data):
        return text
    text = _break_lines(text)
    # Through bytes: str.translate takes three times as long.
    return text.encode("ascii").translate(None, _HIDDEN_ASCII).decode("ascii")


def _strip_hidden(text: str) -> str:
    text = _HIDDEN.sub("", _break_lines(text))
    if "\u00a0" in text:
        text = text.replace("\u00a0", " ")
    if "\u200c" in text or "\u200d" in text:
        text = _JOINERS.sub("", text)
    if not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    return text


def _break_lines(text: str) -> str:
    r"""Remove terminal escapes, and end each line with ``\n``."""
    if "\x1b" in text:
        text = _ESCAPES.sub("", text)
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    for mark in _LINE_BREAKS:
        if mark in text:
            text = text.replace(mark, "\n")
    return text


def strip_surrogates(text: str) -> str:
    """Return ``text`` without lone surrogates, which JSON can contain and UTF-8 cannot."""
    if text.isascii():
        return text
    try:
        text.encode()  # a tenth of what the pattern takes
    except UnicodeEncodeError:
        return _SURROGATES.sub("", text)
    return text


def plain_line(text: str, max_chars: int = 300) -> str:
    """Return ``text`` as one printable line of at most ``max_chars``: for titles, names, labels."""
    if len(text) <= max_chars and text.isascii() and text.isprintable():
        line = text if "  " not in text else " ".join(text.split())
        return line.strip(" ")
    line = " ".join(strip_hidden(text[: 4 * max_chars]).split())
    return line if len(line) <= max_chars else line[: max_chars - 1].rstrip() + "…"
