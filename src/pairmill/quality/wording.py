"""Faults of wording: refusals, chatter, cut-off ends, references to a source that users cannot see.

A model that answers from a passage often mentions it; a user who asks an assistant never does. The
naive pattern hits idioms ("in the context of", "text editor"), so what follows the noun counts.
"""

# ruff: noqa: RUF001 (punctuation of many scripts)
from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pairmill.quality.phrases import fold, phrases_of
from pairmill.quality.speedups import Flag
from pairmill.quality.word_lists import (
    LEADING_PRONOUNS,
    POINTERS,
    POINTERS_IN_ANSWERS,
    SOURCE_NOUNS,
    SURE_SOURCE_NOUNS,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pairmill.quality.text import Prepared

__all__ = [
    "find_chatter",
    "find_cut",
    "find_reference",
    "find_refusal",
    "holds_any",
    "may_open_with_chatter",
    "quote",
]

_OPENING_CHARS = 160
_ENGLISH_MARKS = (
    "i ", "i'", "as an ai", "as a la", "for me to", "information to", "regrettably",
)  # fmt: skip
"""Each English refusal contains one of them."""


def find_refusal(folded: str, language: str | None = "en") -> str | None:
    """Find how an answer, given in lower case, refuses at its start; None if it does not.

    English refusals are searched in every language: models fall back on them.
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
# each of them contains one of these
_PLACEHOLDER_MARKS = ("[", "<", ">", '"', "#", "prompt", "lorem ipsum")


def find_chatter(text: str, folded: str, language: str | None = "en") -> str | None:
    """Find text that belongs to the exchange with the model, not to the pair.

    Args:
        text: An instruction or an answer.
        folded: The same in lower case, or "" to look at its opening only.
        language: Its two-letter code; English openings are looked for in every language.
    """
    if may_open_with_chatter(text, language):
        found = _CHATTER.match(text)
        if found is None and (known := phrases_of(language or "en")):
            openings = known.answer_chatter if folded else known.chatter
            found = openings.match(fold(text[:_OPENING_CHARS])) if openings else None
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


# First letters of the openings in `_CHATTER`.
_STARTS = frozenset(
    (
        "sur",
        "cer",
        "of ",
        "abs",
        "gre",
        "her",
        "ins",
        "ans",
        "que",
        "res",
        "out",
        "ass",
        "use",
        "pro",
    )
)


def may_open_with_chatter(text: str, language: str | None) -> bool:
    """Return whether a text begins like chatter, by its first three letters.

    After punctuation, or if lower-casing may change its letters, the answer is True.
    """
    start = text[:3]
    if not (start.isascii() and start[:1].isalpha()):
        return True
    start = start.lower()
    known = phrases_of(language or "en")
    return start in _STARTS or (known is not None and known.may_start(start))


def holds_any(text: str, marks: Iterable[str]) -> bool:
    """Return whether one of the marks occurs in the text."""
    for mark in marks:  # noqa: SIM110 (any() with a generator takes three times as long)
        if mark in text:
            return True
    return False


# Sentence ends of Unicode (property Sentence_Terminal) in the scripts of identified languages, #
# with the Greek question mark, the Armenian full stop and the Tibetan shad.
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
    """Format quoted text on one short line, without control characters."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text[: _QUOTE_CHARS + 1])
    return f"'{plain[:_QUOTE_CHARS]}…'" if len(plain) > _QUOTE_CHARS else f"'{plain}'"


_NOUN = "|".join(SOURCE_NOUNS)
# words after which a noun is the first half of a compound: "the text editor", "this page table"
_COMPOUND = (
    r"(?:\s+|-)(?:editor|file|files|box|field|fields|message|messages|window|windows|switch|"
    r"switching|manager|managers|store|stores|database|databases|object|model|root|processor|"
    r"code|tree|table|tables|fault|faults|cache|header|headers|number|size|layout|element|tag|"
    r"office|mode|type|class|menu|free|data|based|generation|classification)\b"
)
_VERB = (
    r"(?:say|said|state|mention|describe|discuss|explain|provide|suggest|argue|present|give|"
    r"recommend|highlight|outline|note|claim|refer|mean|emphasi[sz]e|offer|list|define|propose|"
    r"cover|address|compare|illustrate|identify|point|believe|consider|conclude|advocate|contain|"
    r"reveal|focus|show|indicate|detail|introduce|report|talk|tell|begin|end|specif(?:y|ie))"
    r"(?:s|d|es|ed|ing)?"
)
_FOLLOWS = "view|opinion|claim|argument|experience|approach|point|main|and|or|above|below"
_SENTENCE_ENDS = (  # shows that the noun is used alone, without a further attribute
    r"(?=$|[?.!,;:)]|\s+(?:please|briefly)\b|\s+(?:for|to)\s+(?:me|us|an?|someone|beginners)\b|"
    r"\s+in(?:to)?\s+(?:\w+\s+){1,2}(?:words|sentences?|lines|points|bullets|paragraphs?|terms|"
    r"english|language)\b)"
)
_AIM = r"(?=\s(?:into|as|to|for)\b)"
_RETELL = (  # actions that need a visible text
    r"(?:summari[sz]e|sum\s+up|paraphrase|rephrase|rewrite|retell|condense|shorten|simplify|recap|"
    r"translate)"
)
_ANYWHERE = (
    # "this passage", "the given text", "the above section"
    rf"\b(?:this|above|provided|given|preceding|aforementioned)\s+(?:{_NOUN})\b(?!{_COMPOUND})",
    # "the author argues", "the text explicitly states", "does the article mention"
    rf"\bthe\s+(?:{_NOUN})(?:'s|\u2019s)?\s+(?:\w+ly\s+|is\s+|was\s+|are\s+)?{_VERB}\b",
    rf"\baccording\s+to\s+the\s+(?:{_NOUN})\b(?!{_COMPOUND})",
    # "the reasons given in the article for the delay", "using only the details provided"
    (
        r"\b(?:mentioned|described|discussed|given|named|listed|cited|stated|provided|offered|"
        rf"presented)\s+(?:in|by)\s+the\s+(?:{'|'.join(SURE_SOURCE_NOUNS)}|text)\b(?!\s+of\b|{_COMPOUND})"
    ),
    (
        r"\b(?:using|from|on|with)\s+(?:only\s+|just\s+|solely\s+)?the\s+(?:\w+\s+)?"
        r"(?:information|details|facts|data)\s+(?:provided|given|supplied|presented)\b"
    ),
)
_IN_INSTRUCTIONS = (
    # "... in the passage?", "what is the author's view": these nouns are rarely the subject itself
    rf"\bthe\s+(?:{'|'.join(SURE_SOURCE_NOUNS)})(?:'s|\u2019s)?\s*(?=$|[?.!,;:)]|{_FOLLOWS})",
    # "why does the author prefer": who is meant, if no work is named?
    r"\bthe\s+(?:authors?|writer|speaker|excerpt)\b(?!\s+(?:of|field|tag|attribute|name|column)\b)",
    # "in the text?", "as mentioned in the section,"
    rf"\b(?:based\s+on|from|in|by|of|per)\s+the\s+(?:{_NOUN})\s*{_SENTENCE_ENDS}",
    # "summarise the text for me", "rewrite the whole article as a dialogue"
    rf"\b{_RETELL}\s+the\s+(?:(?:whole|entire|full)\s+)?(?:{_NOUN})\s*(?:{_SENTENCE_ENDS}|{_AIM})",
    rf"\bthe\s+(?:{'|'.join(SURE_SOURCE_NOUNS)})\s*{_SENTENCE_ENDS}",
    # "using the text above", but not "the text above the button"
    rf"\bthe\s+(?:{_NOUN})\s+(?:above|below)\b(?!\s+(?:the|an?|each|every|it|them|your|my)\b)",
    r"\b(?:mentioned|described|discussed|listed|shown|stated)\s+(?:above|earlier|here)\b",
    r"\bas\s+mentioned\b(?!\s+in\s+\w+'s)",
    r"\b(?:code|figure|table|example|list|image|diagram)\s+(?:above|below)\b",
)
_IN_ANSWERS = (
    # "In the passage, ...", "the passage is about", "a summary of the passage"
    (
        r"\b(?:in|from|by|of|per|throughout)\s+(?:the|this)"
        r"\s+(?:passage|excerpt|snippet|article|extract)\b(?!\s+of\b)"
    ),
    rf"\bthe\s+(?:{'|'.join(SURE_SOURCE_NOUNS)}|text)\s+(?:is|was)\s+(?:about|from|an?|taken)\b",
    # "as the author puts it", "this is described in the text"
    r"\bas\s+the\s+(?:authors?|writer|speaker|article|passage|excerpt)\b(?!\s+of\b)",
    (
        rf"\b(?:mentioned|described|discussed|stated|explained|named)\s+in\s+the\s+(?:{_NOUN})"
        rf"\s*{_SENTENCE_ENDS}"
    ),
    r"\b(?:passage|excerpt)\s+(?:above|below|provided|given)\b",
)
_ANSWER = re.compile("|".join((*_ANYWHERE, *_IN_ANSWERS)))
_INSTRUCTION = re.compile("|".join((*_ANYWHERE, *_IN_INSTRUCTIONS)))
_LEADING_PRONOUN = re.compile(
    r"\s*(?:(?:it|they|he|she)\b|(?:this|these|those|its|their)\s+(?:is|are|was|were|can|could|has|"
    r"have|does|do|will|would|should|may|might)\b)",
    re.IGNORECASE,
)


def find_reference(
    text: Prepared, *, instruction: bool = True, language: str | None = "en"
) -> str | None:
    """Return the words that refer to an unseen source, or None.

    An instruction must not open with a pronoun either. An answer may refer back to itself ("the
    example above"), so fewer words count there. English is a grammar, other languages are lists of
    phrases (:mod:`pairmill.quality.phrases`).
    """
    if language not in {"en", None}:
        known = phrases_of(language)
        listed = (known.instruction_pointers if instruction else known.pointers) if known else None
        match = listed.search(fold(text.text)) if listed else None
        return match.group() if match else None
    if _may_point(text, instruction=instruction):
        found = (_INSTRUCTION if instruction else _ANSWER).search(text.text.lower())
        if found:
            return found.group().strip()
    if instruction and not LEADING_PRONOUNS.isdisjoint(text.folded.split(None, 1)[:1]):
        found = _LEADING_PRONOUN.match(text.text)
        if found:
            return found.group().strip()
    return None


def _may_point(text: Prepared, *, instruction: bool) -> bool:
    """Return whether an English text has a word that such a reference needs."""
    if text.fast is not None:
        return text.fast.count(Flag.POINTER if instruction else Flag.POINTER_IN_ANSWER) > 0
    pointers = POINTERS if instruction else POINTERS_IN_ANSWERS
    return not pointers.isdisjoint(text.vocabulary)
