"""What a passage is, by a free look at it: which kinds of request it can answer.

Code, tables and numbered lists are seen in any language; words that compare, argue or tell only in
English. Where nothing is seen nothing is known, and every kind of request is offered.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pairmill.quality.stopwords import ENGLISH
from pairmill.quality.text import words

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["TRAITS", "traits_of"]

TRAITS = ("code", "steps", "comparison", "numbers", "argument", "narrative", "failure")

_CODE = re.compile(r"^(?:```|~~~|    \S)", re.MULTILINE)
_LISTED = re.compile(r"^\s*(?:\d{1,2}[.)]|step \d+)\s+\S", re.MULTILINE | re.IGNORECASE)
_TABLE = re.compile(r"^\|.*\|.*\|\s*$", re.MULTILINE)
_NUMBER = re.compile(r"(?<![\w.])\d[\d.,]*(?![\w-])")
_COMPARING = (
    "than whereas unlike versus vs instead rather both either compared comparison contrast "
    "difference differs different similar likewise better worse"
)
_ARGUING = (
    "because therefore hence thus should ought must reason reasons argue argues argument believe "
    "evidence although however nevertheless consequently why claim opinion"
)
_TELLING = (
    "was were had went came said told saw began took gave became left year years ago later then "
    "when he she they his her"
)
_FAILING = (
    "error errors fail fails failed failure bug broken crash problem problems fix wrong issue"
)
_STEPPING = "first then next finally click run install open select press type after before begin"
_WORDS = {
    "comparison": frozenset(_COMPARING.split()),
    "argument": frozenset(_ARGUING.split()),
    "narrative": frozenset(_TELLING.split()),
    "failure": frozenset(_FAILING.split()),
    "steps": frozenset(_STEPPING.split()),
}
_LEAST_SHARE = {
    # of all words; about twice what newspapers and encyclopaedias have
    "comparison": 0.014,
    "argument": 0.016,
    "narrative": 0.055,
    "failure": 0.008,
    "steps": 0.03,
}
_LEAST_ITEMS = 3
_LEAST_NUMBERS = 0.03
_ENGLISH_SHARE = 0.25


def traits_of(text: str) -> frozenset[str] | None:
    """What a passage is, out of ``TRAITS``; None where its language hides all but its form."""
    found = set()
    tokens = words(text)
    if _CODE.search(text):
        found.add("code")
    if len(_LISTED.findall(text)) >= _LEAST_ITEMS:
        found.add("steps")
    if len(_TABLE.findall(text)) >= _LEAST_ITEMS:
        found.update(("comparison", "numbers"))
    if len(_NUMBER.findall(text)) >= max(_LEAST_ITEMS, _LEAST_NUMBERS * len(tokens)):
        found.add("numbers")
    if not _is_english(tokens):
        return frozenset(found) if found else None
    for trait, known in _WORDS.items():
        share = sum(map(known.__contains__, tokens)) / max(len(tokens), 1)
        if share >= _LEAST_SHARE[trait]:
            found.add(trait)
    return frozenset(found)


def _is_english(tokens: Sequence[str]) -> bool:
    return sum(map(ENGLISH.__contains__, tokens)) >= _ENGLISH_SHARE * max(len(tokens), 1)
