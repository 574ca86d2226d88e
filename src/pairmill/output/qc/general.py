"""Checks of a single exchange in data of any kind; `quality` has those of a pair from a text.

First the kind of task is recognized, since each excuses something: a translation is in another
language, a role has its own voice, arithmetic introduces new numbers, code ends like code, a letter
has gaps to fill in. These functions return True or False.

Each check takes the texts of an exchange and returns one line of detail, or None if all is well.
"""

# ruff: noqa: RUF001 (words of many scripts)
# ruff: noqa: RUF001 (punctuation of many scripts)
from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pairmill.quality.phrases import fold, phrases_of
from pairmill.quality.text import count_words, words
from pairmill.quality.word_lists import FUNCTION_WORDS
from pairmill.quality.wording import find_chatter, find_cut, find_reference, quote

if TYPE_CHECKING:
    from pairmill.quality.text import Prepared

__all__ = [
    "asks_for_dialogue",
    "asks_for_json",
    "asks_for_template",
    "find_cut_end",
    "find_leftovers",
    "find_pointer",
    "find_refused",
    "is_arithmetic",
    "is_code",
    "languages_named",
    "names_language",
    "sets_role",
    "stands_alone",
]

_LANGUAGE = re.compile(
    r"translat|interpret(?:er|ation)? (?:in|to)|übersetz|traduc|traduz|tradui|tradu[çc]|перевед|"
    r"перевод|翻译|翻譯|譯|译成|訳|번역|ترجم|dịch|แปล|çevir|अनुवाद|vertaal|terjemah|przetłumacz|"
    r"\b(?:afrikaans|albanian|arabic|armenian|basque|bengali|bulgarian|cantonese|catalan|chinese|"
    r"croatian|czech|danish|dutch|english|estonian|farsi|filipino|finnish|french|gaelic|georgian|"
    r"german|greek|gujarati|hausa|hebrew|hindi|hungarian|icelandic|igbo|indonesian|irish|italian|"
    r"japanese|kannada|korean|latin|latvian|lithuanian|malay|malayalam|mandarin|marathi|mongolian|"
    r"nepali|norwegian|persian|polish|portuguese|punjabi|romanian|russian|serbian|sinhala|slovak|"
    r"slovenian|somali|spanish|swahili|swedish|tagalog|tamil|telugu|thai|turkish|ukrainian|urdu|"
    r"uzbek|vietnamese|welsh|yoruba|zulu|deutsch|englisch|français|anglais|español|inglés|italiano|"
    r"português|inglês)\b|中文|英文|英语|日语|日文|法语|德语|英語|日本語|영어|한국어|английск|русск|"
    r"немецк|الإنجليزية|العربية|tiếng (?:anh|việt|pháp)|हिंदी|अंग्रेज़ी|ภาษา",
    re.IGNORECASE,
)
_ROLE = re.compile(
    r"\b(?:you are|you're|act as|acting as|pretend|role[- ]?play|imagine (?:that )?you|in "
    r"character|take on the (?:role|persona)|persona|play the (?:role|part)|as if you were|"
    r"from the "
    r"(?:perspective|point of view)|in the (?:style|voice) of|write a (?:story|scene|monologue|"
    r"dialogue|poem|song|letter|diary))\b|扮演|你是|あなたは|ты |du bist|tu es |eres ",
    re.IGNORECASE,
)
_ARITHMETIC = re.compile(
    r"\bhow (?:many|much|far|long|old|tall|fast)\b|\b(?:calculate|compute|solve|evaluate|simplify|"
    r"sum|difference|product|quotient|percent(?:age)?|average|mean|median|total|probability|"
    r"equation|convert|round|multipl\w+|divid\w+|add|subtract|area|perimeter|volume|interest|"
    r"square root|integral|derivative)\b|\d\s*[-+*/×÷^%=]\s*\(?\d|计算|多少|求|計算|いくつ",
    re.IGNORECASE,
)
_CODE_WORDS = re.compile(
    r"\b(?:code|function|script|program|python|javascript|java|c\+\+|sql|regex|regular expression|"
    r"html|css|json|xml|yaml|bash|shell|query|class|method|algorithm|api|command|snippet|latex)\b",
    re.IGNORECASE,
)
_CODE_SIGNS = re.compile(r"[=(){}\[\]<>;/\\|*+_]")
_CODE_LINE = re.compile(
    r"^\s*(?:def |class |import |from \w+ import|function |const |let |var |public |#include|"
    r"return |SELECT |INSERT |UPDATE |CREATE |for ?\(|if ?\(|while ?\(|print\(|</?\w+[ >]|"
    r"\{|\}|\$ |>>> )",
    re.MULTILINE,
)
_TEMPLATE = re.compile(
    r"\b(?:e-?mail|letter|template|form|contract|resume|résumé|cv|cover|invitation|message|speech|"
    r"script|memo|announcement|press release|agreement|proposal|note|notice|bio|profile|post|"
    r"advert\w*|flyer|pitch|sign|certificate|report|essay|statement|placeholder|fill)\b",
    re.IGNORECASE,
)
_SALUTATION = re.compile(r"\s*(?:subject:|dear |hi |hello |to whom|hey )", re.IGNORECASE)
_DIALOGUE = re.compile(
    r"dialog|conversation|chat|script|screenplay|interview|exchange|transcript|prompt|q&a|faq",
    re.IGNORECASE,
)
_JSON = re.compile(r"json|schema|object|dict|structured|yaml|api|payload|key|field", re.IGNORECASE)
_QUOTED = re.compile(r"[\"“«„'‘「『][^\"”»“'’」』]{25,}[\"”»“'’」』]")
_AFTER_COLON = re.compile(r"[:：]\s*\S+(?:\s+\S+){5,}|[:：]\s*[^\s]{12,}|https?://")
_LONG_WORDS = 40
_BLOCK_WORDS = 5
_MOST_SIGNS = 0.05


def names_language(text: str) -> bool:
    """Return whether a request asks for a translation, or names a language."""
    return _LANGUAGE.search(text) is not None


def languages_named(text: str) -> frozenset[str]:
    """Return the words by which `names_language` decides."""
    return frozenset(found.lower() for found in _LANGUAGE.findall(text))


def sets_role(text: str) -> bool:
    """Return whether a request or a system message gives the model a role, voice or story."""
    return _ROLE.search(text) is not None


def is_arithmetic(text: str) -> bool:
    """Return whether a request asks for a calculation."""
    return _ARITHMETIC.search(text) is not None


def is_code(asked: str, said: str) -> bool:
    """Return whether an answer is code, or contains code as asked for."""
    if "```" in said or _CODE_LINE.search(said):
        return True
    signs = len(_CODE_SIGNS.findall(said))
    return bool(said) and signs > _MOST_SIGNS * len(said) and _CODE_WORDS.search(asked) is not None


def asks_for_template(asked: str, said: str) -> bool:
    """Return whether an answer may have gaps for its reader to fill in, like a letter."""
    return _TEMPLATE.search(asked) is not None or _SALUTATION.match(said) is not None


def asks_for_dialogue(asked: str) -> bool:
    """Return whether speakers' names before a colon were asked for."""
    return _DIALOGUE.search(asked) is not None


def asks_for_json(asked: str) -> bool:
    """Return whether field names in quotation marks were asked for."""
    return _JSON.search(asked) is not None


def stands_alone(asked: str) -> bool:
    """False if a request brings a text along: after a colon, in quotes, or as its own block."""
    if len(asked.split()) >= _LONG_WORDS or _QUOTED.search(asked) or _AFTER_COLON.search(asked):
        return False
    blocks = asked.strip().split("\n")
    return len(blocks) == 1 or all(len(block.split()) < _BLOCK_WORDS for block in blocks[1:])


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
