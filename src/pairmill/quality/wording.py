"""Faults that are visible in the wording: refusals, chatter around the pair, cut-off ends."""

# ruff: noqa: RUF001 (punctuation of many scripts)
from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pairmill.quality.phrases import fold, phrases_of

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["find_chatter", "find_cut", "find_refusal", "holds_any", "quote"]

_OPENING_CHARS = 160
_ENGLISH_MARKS = ("i ", "i'", "as an ai", "as a la")  # each English phrase holds one of them


def find_refusal(folded: str, language: str | None = "en") -> str | None:
    """Find how an answer, given in lower case, refuses at its start; None if it does not.

    English refusals are looked for in every language: models fall back on them.
    """
    opening = fold(folded[:_OPENING_CHARS])
    for code in ("en", language) if language not in {None, "en"} else ("en",):
        known = phrases_of(code)
        if known is None or known.refusals is None:
            continue
        if code == "en" and not holds_any(opening, _ENGLISH_MARKS):
            continue
        found = known.refusals.search(opening)
        if found:
            return f"the answer opens with {quote(found.group())}"
    return None


_CHATTER = re.compile(
    r"[\s*#>\"'`]*(?:sure[,!.]|certainly[,!.]|of course[,!.]|absolutely[,!.]|great question|"
    r"here(?:'s| are| is) (?:\d+|the|an?|some|three|two|five|your|my) (?:[\w-]+ ){0,3}"
    r"(?:instruction|question|pair|example instruction|json|rewritten|revised|answer|response|"
    r"summary|explanation|overview|list|version|breakdown|outline|rewrite|paraphrase)\b|"
    r"(?:instruction|answer|question|response|output|assistant|user|prompt)s?(?: ?\d+)? ?:)",
    re.IGNORECASE,
)
_PLACEHOLDERS = (
    "[insert", "[your ", "lorem ipsum", "<<<passage", "passage>>>", '"instruction":', '"answer":',
    '"pairs":', '"evidence":', "<|im_", "<|end", "[/inst]", "\n### instruction", "\n### response",
    "rewritten prompt", "given prompt", "#rewritten",
)  # fmt: skip
_PLACEHOLDER_MARKS = ("[", "<", ">", '"', "#", "prompt", "lorem ipsum")  # one of them in each


def find_chatter(text: str, folded: str, language: str | None = "en") -> str | None:
    """Find text that belongs to the exchange with the model, not to the pair.

    Args:
        text: An instruction or an answer.
        folded: The same in lower case, or "" to look at its opening only.
        language: Its two-letter code; English openings are looked for in every language.
    """
    found = _CHATTER.match(text)
    if found is None and language != "en" and (known := phrases_of(language)) and known.chatter:
        found = known.chatter.match(fold(text[:_OPENING_CHARS]))
    if found:
        return f"opens with {quote(found.group().strip())}"
    if text.strip() in {"...", "…"}:
        return "is a placeholder"
    if not holds_any(folded, _PLACEHOLDER_MARKS):
        return None
    for phrase in _PLACEHOLDERS:
        if phrase in folded:
            return f"holds {quote(phrase.strip())}"
    return None


def holds_any(text: str, marks: Iterable[str]) -> bool:
    """Return whether one of the marks occurs in the text."""
    for mark in marks:  # noqa: SIM110 (any() with a generator takes three times as long)
        if mark in text:
            return True
    return False


# Sentence ends of Unicode (property Sentence_Terminal) in the scripts whose languages are told
# apart, with the Greek question mark, the Armenian full stop and the Tibetan shad.
_ENDS = frozenset(
    ".!?:\u2026\u203c\u203d\u2047\u2048\u2049\u3002\uff01\uff0e\uff1a\uff1f\uff61"
    "\u037e\u0589\u061d\u061e\u061f\u06d4\u0964\u0965\u0df4\u0f0d\u0f0e\u0f11\u1362\u1367\u1368"
    "\u104a\u104b\u17d4\u17d5"
)
_CLOSERS = "\"'”’»›)]}*_` \t\r\n」』）】〉》"
_LIST_ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)]|\|)\s*\S")


_VERSE_LINES = 3
_VERSE_WORDS = 12  # in a line; prose lines are longer
_HASHTAG = re.compile(r"(?:^|\s)[#@]\w+$")
_SIGN_OFF = re.compile(r"^(?:[-\u2013\u2014]\s*)?[A-Z][\w.'\u2019-]*(?: [A-Z][\w.'\u2019-]*){0,3}$")
_CODE_END = re.compile(r"[;{}=>\]]$|^\s{4,}\S|^\$ |^>>> ")


def find_cut(answer: str) -> str | None:
    """Find how an answer ends abnormally: in mid-sentence, or in an open code block.

    Lists, tables, verse, signatures, hashtags and code may end without a full stop.
    """
    if "`" in answer and answer.count("```") % 2:
        return "a code block is not closed"
    bare = answer.rstrip()
    ending = bare.rstrip(_CLOSERS)
    if not ending or ending[-1] in _ENDS or bare.endswith(("```", ")", "|", "$$")):
        return None
    before, _, last = bare.rpartition("\n")
    if _LIST_ITEM.match(last) or _HASHTAG.search(last) or _CODE_END.search(last):
        return None
    if _is_emoji(ending[-1]):
        return None
    if before.strip() and (_SIGN_OFF.match(last.strip()) or _is_verse(bare)):
        return None
    return f"the answer ends in {quote(bare[-30:])}"


def _is_emoji(character: str) -> bool:
    return ord(character) >= 0x2190 and not character.isalnum()  # noqa: PLR2004 (arrows and on)


def _is_verse(text: str) -> bool:
    """Return whether the last lines are short, like those of a poem, a recipe or program output."""
    lines = [line for line in text.splitlines() if line.strip()][-_VERSE_LINES:]
    return len(lines) == _VERSE_LINES and all(
        len(line.split()) <= _VERSE_WORDS and len(line) <= _VERSE_WORDS * 8 for line in lines
    )


_QUOTE_CHARS = 60


def quote(text: str) -> str:
    """Someone else's words on one line, short, without control characters."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text[: _QUOTE_CHARS + 1])
    return f"'{plain[:_QUOTE_CHARS]}…'" if len(plain) > _QUOTE_CHARS else f"'{plain}'"
