"""What a passage is, by a free look at it: which kinds of request it can answer.

Code, tables and numbered lists are seen in any language; words that compare, argue or tell only in
English. Where nothing is seen nothing is known, and every kind of request is offered.
"""

from __future__ import annotations

import re
from string import punctuation

from pairmill.quality.text import words
from pairmill.quality.word_lists import ENGLISH

__all__ = ["TRAITS", "holds_code", "traits_of"]

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
_ENGLISH_MARK = "e"
_TRAIT_MARKS = {trait[0]: trait for trait in _WORDS}
_LISTS = {mark: _WORDS[trait] for mark, trait in _TRAIT_MARKS.items()}
_MARKS = {
    word: "".join(
        mark for mark, known in {_ENGLISH_MARK: ENGLISH, **_LISTS}.items() if word in known
    )
    for word in ENGLISH.union(*_WORDS.values())
}
# Of ASCII: where words end, as `quality.text.words` parts them, and what digits are.
_SHAPES = bytes(
    ord("0" if chr(code).isdigit() else " ")
    if chr(code).isdigit() or chr(code).isspace() or chr(code) in punctuation
    else ord("a")
    for code in range(128)
) + bytes(128)
_LEAST_ITEMS = 3
_FENCES = 2  # marks of a row with a single cell
_LEAST_NUMBERS = 0.03
_ENGLISH_SHARE = 0.25


def traits_of(text: str) -> frozenset[str] | None:
    """Return a passage's traits, out of ``TRAITS``; None if its language shows only its form."""
    found = _form_of(text)
    tokens = words(text)
    total = max(len(tokens), 1)
    if _count_numbers(text, tokens) >= max(_LEAST_ITEMS, _LEAST_NUMBERS * total):
        found.add("numbers")
    # Each known word as the marks of its lists, in one string: to be counted by mark.
    marks = "".join(filter(None, map(_MARKS.get, tokens)))
    if marks.count(_ENGLISH_MARK) < _ENGLISH_SHARE * total:
        return frozenset(found) if found else None
    for mark, trait in _TRAIT_MARKS.items():
        if marks.count(mark) >= _LEAST_SHARE[trait] * total:
            found.add(trait)
    return frozenset(found)


def _count_numbers(text: str, tokens: tuple[str, ...]) -> int:
    """Count the words of a text that begin with a digit."""
    if not text.isascii():
        return sum([word[0].isdigit() for word in tokens])
    shapes = text.encode().translate(_SHAPES, b"'")  # apostrophes part no words
    return shapes.count(b" 0") + shapes.startswith(b"0")


def holds_code(text: str) -> bool:
    """Return whether a line of a text begins a fenced block, or is indented like code."""
    # What the pattern needs is looked for first: it takes 17 us for a chunk of prose, this 1.
    indented = text.startswith("    ") or ("\n" in text and "\n    " in text)
    if indented or ("`" in text and "```" in text) or ("~" in text and "~~~" in text):
        return _CODE.search(text) is not None
    return False


def _form_of(text: str) -> set[str]:
    """Return the traits that lines show. Patterns are only tried if they can match."""
    found = set()
    if holds_code(text):
        found.add("code")
    lines = text.count("\n") + 1
    if lines >= _LEAST_ITEMS and len(_LISTED.findall(text)) >= _LEAST_ITEMS:
        found.add("steps")
    if text.count("|") > 2 * _LEAST_ITEMS:
        rows = [line for line in text.split("\n") if line.startswith("|")]
        if sum(line.count("|") > _FENCES for line in rows) >= _LEAST_ITEMS:
            found.update(("comparison", "numbers"))
    return found
