"""Faults that the wording alone shows: refusals, chatter around the pair, cut-off ends."""

# ruff: noqa: RUF001 (punctuation of many scripts)
from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["find_chatter", "find_cut", "find_refusal", "holds_any", "quote"]

_OPENING_CHARS = 160
_REFUSALS = (
    "as an ai", "as a language model", "as a large language", "i cannot ", "i can't ", "i can’t ",
    "i'm sorry", "i’m sorry", "i am sorry", "i'm unable", "i am unable", "i apologize",
    "i don't have access", "i do not have access", "i'm not able to", "i am not able to",
    "i must decline", "i won't be able", "i don't have enough information",
)  # fmt: skip
_REFUSAL_MARKS = ("i ", "i'", "i\u2019", "as an ai", "as a la")  # each phrase holds one of them


def find_refusal(folded: str) -> str | None:
    """How an answer, given in lower case, refuses at its start; None if it does not."""
    opening = folded[:_OPENING_CHARS]
    if not holds_any(opening, _REFUSAL_MARKS):
        return None
    for phrase in _REFUSALS:
        if phrase in opening:
            return f"the answer opens with {quote(phrase)}"
    return None


_CHATTER = re.compile(
    r"[\s*#>\"'`]*(?:sure[,!.]|certainly[,!.]|of course[,!.]|absolutely[,!.]|great question|"
    r"here (?:are|is) (?:\d+|the|an?|some|three|two|five|your) (?:\w+ ){0,2}"
    r"(?:instruction|question|pair|example instruction|json|rewritten|revised|answer|response)|"
    r"(?:instruction|answer|question|response|output|assistant|user|prompt)s?(?: ?\d+)? ?:)",
    re.IGNORECASE,
)
_PLACEHOLDERS = (
    "[insert", "[your ", "lorem ipsum", "<<<passage", "passage>>>", '"instruction":', '"answer":',
    '"pairs":', '"evidence":', "<|im_", "<|end", "[/inst]", "\n### instruction", "\n### response",
    "rewritten prompt", "given prompt", "#rewritten",
)  # fmt: skip
_PLACEHOLDER_MARKS = ("[", "<", ">", '"', "#", "prompt", "lorem ipsum")  # one of them in each


def find_chatter(text: str, folded: str) -> str | None:
    """What a text says that belongs to the exchange with the model, not to the pair.

    Args:
        text: An instruction or an answer.
        folded: The same in lower case, or "" to look at its opening only.
    """
    found = _CHATTER.match(text)
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
    """Whether one of the marks stands in the text."""
    for mark in marks:  # noqa: SIM110 (any() with a generator takes three times as long)
        if mark in text:
            return True
    return False


_ENDS = frozenset(".!?:。！？…।॥؟。｡")
_CLOSERS = "\"'”’»›)]}*_` \t\r\n」』）】〉》"
_LIST_ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)]|\|)\s*\S")


def find_cut(answer: str) -> str | None:
    """How an answer ends where it should not: in mid-sentence, or in an open code block."""
    if "`" in answer and answer.count("```") % 2:
        return "a code block is not closed"
    bare = answer.rstrip()
    ending = bare.rstrip(_CLOSERS)
    if not ending or ending[-1] in _ENDS or bare.endswith(("```", ")", "|", "$$")):
        return None
    if _LIST_ITEM.match(bare.rpartition("\n")[2]):
        return None
    return f"the answer ends in {quote(bare[-30:])}"


_QUOTE_CHARS = 60


def quote(text: str) -> str:
    """Someone else's words on one line, short, without control characters."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text[: _QUOTE_CHARS + 1])
    return f"'{plain[:_QUOTE_CHARS]}…'" if len(plain) > _QUOTE_CHARS else f"'{plain}'"
