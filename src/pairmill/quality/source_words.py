"""Finds references to a source that the reader does not have ("the passage", "above").

A model that answers from a passage often mentions it; a user who asks an assistant never does.
The naive pattern hits idioms ("in the context of", "text editor"), so what follows the noun counts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pairmill.quality.phrases import fold, phrases_of
from pairmill.quality.speedups import Flag
from pairmill.quality.word_lists import (
    POINTERS,
    POINTERS_IN_ANSWERS,
    SOURCE_NOUNS,
    SURE_SOURCE_NOUNS,
)

if TYPE_CHECKING:
    from pairmill.quality.text import Prepared

__all__ = ["find_reference"]

_LEADING = frozenset({"it", "they", "this", "these", "he", "she", "those", "its", "their"})
_NOUN = "|".join(SOURCE_NOUNS)
_COMPOUND = (  # what makes a noun the first half of another: "the text editor", "this page table"
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
_ENDS = (  # what shows that the noun stands for itself, and that nothing more is said of it
    r"(?=$|[?.!,;:)]|\s+(?:please|briefly)\b|\s+(?:for|to)\s+(?:me|us|an?|someone|beginners)\b|"
    r"\s+in(?:to)?\s+(?:\w+\s+){1,2}(?:words|sentences?|lines|points|bullets|paragraphs?|terms|"
    r"english|language)\b)"
)
_AIM = r"(?=\s(?:into|as|to|for)\b)"
_RETELL = (  # what can only be done to a text that is there
    r"(?:summari[sz]e|sum\s+up|paraphrase|rephrase|rewrite|retell|condense|shorten|simplify|recap|"
    r"translate)"
)
_ANYWHERE = (
    # "this passage", "the given text", "the above section"
    rf"\b(?:this|above|provided|given|preceding|aforementioned)\s+(?:{_NOUN})\b(?!{_COMPOUND})",
    # "the author argues", "the text explicitly states", "does the article mention"
    rf"\bthe\s+(?:{_NOUN})(?:'s|\u2019s)?\s+(?:\w+ly\s+|is\s+|was\s+|are\s+)?{_VERB}\b",
    rf"\baccording\s+to\s+the\s+(?:{_NOUN})\b(?!{_COMPOUND})",
)
_IN_INSTRUCTIONS = (
    # "... in the passage?", "what is the author's view": these nouns are rarely the subject itself
    rf"\bthe\s+(?:{'|'.join(SURE_SOURCE_NOUNS)})(?:'s|\u2019s)?\s*(?=$|[?.!,;:)]|{_FOLLOWS})",
    # "why does the author prefer": who is meant, if no work is named?
    r"\bthe\s+(?:authors?|writer|speaker|excerpt)\b(?!\s+(?:of|field|tag|attribute|name|column)\b)",
    # "in the text?", "as mentioned in the section,"
    rf"\b(?:based\s+on|from|in|by|of|per)\s+the\s+(?:{_NOUN})\s*{_ENDS}",
    # "summarise the text for me", "rewrite the whole article as a dialogue"
    rf"\b{_RETELL}\s+the\s+(?:(?:whole|entire|full)\s+)?(?:{_NOUN})\s*(?:{_ENDS}|{_AIM})",
    rf"\bthe\s+(?:{'|'.join(SURE_SOURCE_NOUNS)})\s*{_ENDS}",
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
        rf"\s*{_ENDS}"
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

    An instruction must not open with a pronoun either. An answer may refer back to what it said
    itself ("the example above"), so that fewer words count there. English is a grammar, other
    languages are lists of phrases (:mod:`pairmill.quality.phrases`).
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
    if instruction and not _LEADING.isdisjoint(text.folded.split(None, 1)[:1]):
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
