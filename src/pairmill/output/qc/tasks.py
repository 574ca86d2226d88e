"""Classifies requests by their words: some faults are none for certain tasks.

A translation is in another language, a role has its own voice, arithmetic has numbers of its own,
code ends as code does, a letter has gaps to fill in. Each function takes texts and says yes or no.
"""

# ruff: noqa: RUF001 (words of many scripts)
from __future__ import annotations

import re

__all__ = [
    "asks_for_dialogue",
    "asks_for_json",
    "asks_for_template",
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
