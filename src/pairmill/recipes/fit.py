"""What a passage is, by a free look at it: which kinds of request it can answer.

Code, tables and numbered lists are seen in any language; words that compare, argue or tell only in
English. Where nothing is seen nothing is known, and every kind of request is offered.
"""

from __future__ import annotations

import re
from collections import Counter
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
_DIGIT = re.compile(r"\d")
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
    # What a pattern needs is looked for first: most passages hold no code and no table.
    if ("`" in text or "~" in text or "    " in text) and _CODE.search(text):
        found.add("code")
    has_digits = _DIGIT.search(text) is not None
    if has_digits and len(_LISTED.findall(text)) >= _LEAST_ITEMS:
        found.add("steps")
    if "|" in text and len(_TABLE.findall(text)) >= _LEAST_ITEMS:
        found.update(("comparison", "numbers"))
    least = max(_LEAST_ITEMS, _LEAST_NUMBERS * len(tokens))
    if has_digits and len(_NUMBER.findall(text)) >= least:
        found.add("numbers")
    counts = Counter(tokens)
    if _share(counts, ENGLISH, tokens) < _ENGLISH_SHARE:
        return frozenset(found) if found else None
    for trait, known in _WORDS.items():
        if _share(counts, known, tokens) >= _LEAST_SHARE[trait]:
            found.add(trait)
    return frozenset(found)


def _share(counts: Counter[str], known: frozenset[str], tokens: Sequence[str]) -> float:
    return sum([counts[word] for word in counts.keys() & known]) / max(len(tokens), 1)
