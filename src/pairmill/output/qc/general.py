"""Checks of a single exchange in data of any kind; `quality` has those of a pair from a text.

Each function takes what was said and returns one line of detail, or None if all is well. They
know what an honest exchange may look like: role play, letters with gaps, tool calls, calculations.
"""

# ruff: noqa: RUF001 (punctuation of many scripts)
from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pairmill.output.qc.tasks import (
    asks_for_dialogue,
    asks_for_json,
    asks_for_template,
    is_code,
    sets_role,
    stands_alone,
)
from pairmill.quality.phrases import fold, phrases_of
from pairmill.quality.text import count_words, words
from pairmill.quality.word_lists import FUNCTION_WORDS
from pairmill.quality.wording import find_chatter, find_cut, find_reference, quote

if TYPE_CHECKING:
    from pairmill.quality.text import Prepared

__all__ = ["find_cut_end", "find_leftovers", "find_pointer", "find_refused"]

_OPENING_CHARS = 200
_REFUSAL = re.compile(
    r"[\W_]*(?:"
    r"(?:(?:i'?m|i am) (?:so |very |really |truly |deeply )?sorry|sorry|my apologies|"
    r"i apologi[sz]e|unfortunately|regrettably)\b[^.!?]{0,60}?(?:can't|cannot|can not|unable|not "
    r"able|won't|will not|not (?:possible|appropriate|allowed|permitted|comfortable)|as an "
    r"ai|do(?: not|n't) have (?:access|enough|the ability|the capability|any information)|must "
    r"decline)|as an? (?:ai|artificial intelligence)(?: language)?(?: model| assistant| program| "
    r"chatbot| "
    r"system)?(?:,| i )|as a (?:large )?language model\b|"
    r"i(?:'m| am) (?:an? )?(?:just )?(?:an? )?(?:ai|language model)\b[^.]{0,40}(?:can't|cannot|"
    r"unable|not able|don't|do not)|"
    r"i (?:cannot|can't|can not|won't|will not|'m unable to|am unable to|am not able to) (?:assist|"
    r"help|provide|fulfil|fulfill|comply|answer|complete|generate|create|produce|access|engage|"
    r"support|offer|discuss|give|do (?:that|this)|process|respond|recommend|participate|continue)|"
    r"i(?:'m| am) (?:unable|not able|not programmed|not allowed|not permitted) to|"
    r"i (?:must|have to|need to) (?:respectfully |politely )?(?:decline|refuse)|"
    r"i(?:'d| would) rather not|i don't have (?:access|enough information)|"
    r"i do not have (?:access|enough information))"
)
_PLAIN_REFUSAL = re.compile(
    r"assist with|help with (?:that|this)|fulfil|comply|language model|an ai"
)
_LABEL = re.compile(
    r"[\s*#>\"'`]*(?:instruction|response|output|assistant|user|prompt)s?(?: ?\d+)? ?:",
    re.IGNORECASE,
)
_QUIET_LABEL = re.compile(r"[\s*#>\"'`]*(?:answer|question)s?(?: ?\d+)? ?:", re.IGNORECASE)
_PREAMBLE = re.compile(
    r"[\s*#>\"'`]*(?:(?:sure|certainly|of course|absolutely)[,!. ]+)?here(?:'s| is| are) (?:the|"
    r"an?|your|my|\d+) (?:\w+ ){0,2}(?:instruction|question|pair|answer|response|json|rewritten|"
    r"completion)\b",
    re.IGNORECASE,
)
_GAPS = ("[insert", "[your ")
_JSON_KEYS = ('"instruction":', '"answer":', '"pairs":', '"evidence":')
_MACHINE = ("<|im_", "<|end", "[/inst]", "\n### instruction", "\n### response", "<<<passage")
_POINTED = re.compile(
    r"passage|excerpt|snippet|(?:provided|given|preceding|aforementioned|above) \w+|the text"
)
_PRONOUNS = frozenset({"it", "they", "this", "these", "he", "she", "those", "its", "their"})
_LEAST_WORDS = 25
_LEAST_LAST = 5  # words of a last line that is prose
_SENTENCE_END = re.compile(r"[.!?。！？؟।…][\"'”’»)\]]*(?:\s|$)|[。！？]")
_UNFINISHED = re.compile(r"[,;(\u2013\u2014-]$")
_LINE_OF_ITS_OWN = re.compile(
    r"\s*(?:[-*+•]|\d{1,3}[.)]|\||#|>|\*\*|[A-Za-z]\)|\$)|.*(?:https?://\S+|\$|```|@\S+|\|)$"
)


def find_pointer(
    asked: Prepared, said: Prepared, *, has_text: bool, language: str | None
) -> str | None:
    """Find words of an exchange that point at a text which its reader lacks.

    Args:
        asked: The request.
        said: The reply.
        has_text: A passage, an input, a system message or earlier turns are there to point at.
        language: Two-letter code.
    """
    if has_text or not stands_alone(asked.text):
        return None
    found = find_reference(asked, language=language)
    if found and found.lower().split()[0] not in _PRONOUNS:
        return f"the instruction says {quote(found)}, and brings no text"
    if is_code(asked.text, said.text):
        return None
    found = find_reference(said, instruction=False, language=language)
    if found and (language not in {"en", None} or _POINTED.search(found.lower())):
        return f"the answer says {quote(found)}, and there is no text"
    return None


def find_refused(asked: str, said: str, *, role: str, language: str | None) -> str | None:
    """Find how a reply refuses; a refusal in a role does not count.

    Args:
        asked: The request.
        said: The reply.
        role: The system message, where there is one.
        language: Two-letter code.
    """
    opening = fold(said[:_OPENING_CHARS])
    found = _REFUSAL.match(opening)
    if found:
        plays = sets_role(asked) or sets_role(role)
        if not plays or _PLAIN_REFUSAL.search(opening):
            return f"the answer opens with {quote(found.group().strip())}"
        return None
    if language in {"en", None}:
        return None
    known = phrases_of(language)
    match = known.refusals.search(opening) if known and known.refusals else None
    return f"the answer opens with {quote(match.group())}" if match else None


def find_leftovers(
    asked: str, said: str, *, is_talk: bool, has_tools: bool, role: str, language: str | None
) -> str | None:
    """Find remains of the exchange with the generating model in an answer.

    Args:
        asked: The request.
        said: The reply.
        is_talk: One of several turns, in which "Sure!" is a manner of speaking.
        has_tools: Tools are called in it.
        role: The system message.
        language: Two-letter code.
    """
    held = _find_mark(asked, said, has_tools=has_tools)
    if held:
        return f"the answer holds {quote(held)}"
    label = _LABEL.match(said)
    if label and (asks_for_dialogue(asked) or is_code(asked, said)):
        return None
    if found := label or _PREAMBLE.match(said):
        return f"the answer opens with {quote(found.group().strip())}"
    has_manner = is_talk or has_tools or sets_role(asked) or sets_role(role)
    if has_manner or _QUIET_LABEL.match(said):
        return None
    chatter = find_chatter(said, "", language)
    return f"the answer {chatter}" if chatter else None


def _find_mark(asked: str, said: str, *, has_tools: bool) -> str | None:
    """Find a mark of a chat template, a bare JSON field or a gap that was not asked for."""
    folded = said.lower()
    wanted = asked.lower()
    marks = [mark for mark in _MACHINE if mark not in wanted]
    if not (asks_for_json(asked) or has_tools or "```" in said):
        marks += _JSON_KEYS
    if not asks_for_template(asked, said):
        marks += _GAPS
    return next((mark.strip() for mark in marks if mark in folded), None)


def find_cut_end(asked: str, said: Prepared) -> str | None:
    """Find how an answer ends in mid-sentence, if it is otherwise prose in whole sentences.

    Numbers, names, titles, lists, code, verse and short answers end as they like.
    """
    detail = find_cut(said.text)
    if detail is None or count_words(said) < _LEAST_WORDS or is_code(asked, said.text):
        return None
    bare = said.text.rstrip()
    _, _, last = bare.rpartition("\n")
    if _UNFINISHED.search(bare):
        return detail
    if not bare[-1].isalpha() or _LINE_OF_ITS_OWN.match(last):
        return None
    final = words(last)
    dangling = FUNCTION_WORDS.get(said.language or "en", frozenset())
    if final and final[-1] in dangling and said.spaceless == 0:
        return detail
    # Prose that puts its stops elsewhere, and none at the end of a line as long as a sentence.
    if len(final) < _LEAST_LAST:
        return None
    stops = len(_SENTENCE_END.findall(bare))
    return detail if stops and (_SENTENCE_END.search(last) or "\n" not in bare.strip()) else None
