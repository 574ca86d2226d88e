"""What a passage is, by a free look at it: which kinds of request it can answer.

Code, tables and numbered lists are seen in any language; words that compare, argue or tell only in
English. Where nothing is seen nothing is known, and every kind of request is offered.
"""

from __future__ import annotations

import re
from collections import Counter

from pairmill.quality.stopwords import ENGLISH
from pairmill.quality.text import words

__all__ = ["TRAITS", "traits_of"]

TRAITS = ("code", "steps", "comparison", "numbers", "argument", "narrative", "failure")

_CODE = re.compile(r"^(?:```|~~~|    \S)", re.MULTILINE)
_LISTED = re.compile(r"^[ \t]*(?:\d{1,2}[.)]|step \d+)\s+\S", re.MULTILINE | re.IGNORECASE)
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
_FENCES = 2  # marks of a row with a single cell
_LEAST_NUMBERS = 0.03
_ENGLISH_SHARE = 0.25


def traits_of(text: str) -> frozenset[str] | None:
    """What a passage is, out of ``TRAITS``; None where its language hides all but its form."""
    found = _form_of(text)
    tokens = words(text)
    counts, vocabulary = Counter(tokens), frozenset(tokens)
    total = max(len(tokens), 1)
    numbers = sum([counts[word] for word in vocabulary if word[0].isdigit()])
    if numbers >= max(_LEAST_ITEMS, _LEAST_NUMBERS * total):
        found.add("numbers")
    if _count(counts, ENGLISH & vocabulary) < _ENGLISH_SHARE * total:
        return frozenset(found) if found else None
    for trait, known in _WORDS.items():
        if _count(counts, known & vocabulary) >= _LEAST_SHARE[trait] * total:
            found.add(trait)
    return frozenset(found)


def _form_of(text: str) -> set[str]:
    """What lines show. Each pattern is only tried where it can match, which most prose cannot."""
    found = set()
    if ("```" in text or "~~~" in text or "    " in text) and _CODE.search(text):
        found.add("code")
    lines = text.count("\n") + 1
    if lines >= _LEAST_ITEMS and len(_LISTED.findall(text)) >= _LEAST_ITEMS:
        found.add("steps")
    if text.count("|") > 2 * _LEAST_ITEMS:
        rows = [line for line in text.split("\n") if line.startswith("|")]
        if sum(line.count("|") > _FENCES for line in rows) >= _LEAST_ITEMS:
            found.update(("comparison", "numbers"))
    return found


def _count(counts: Counter[str], known: frozenset[str]) -> int:
    return sum(map(counts.__getitem__, known))
