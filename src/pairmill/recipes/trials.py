"""Faults that are planted to see whether a judge finds them. What bears one never becomes a row."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "ENOUGH",
    "FAULTS",
    "add_foreign_sentence",
    "cut",
    "negate",
    "plant",
    "swap",
    "wrong_number",
]

FAULTS = ("swapped", "cut", "number", "foreign", "negated")
ENOUGH = 30
"""Planted faults of one kind, from which the share that was found says something."""

# A number that says something: not the mark of a list item, nor part of a word or a version.
_NUMBER = re.compile(r"(?<![\w.,#-])\d+(?:[.,]\d+)*(?![\w%]*-)(?=\b)(?![.)]\s)")
_LIST_MARK = re.compile(r"(?m)^[ \t>*-]*(?:\(?\d{1,3}[.):]|step \d+)", re.IGNORECASE)
_VERB = re.compile(
    r"\b(is|are|was|were|can|could|will|would|should|must|has|have|had|does|do|did)\b(?! not\b)"
    r"(?!n't)",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_BREAD = (
    "Salt holds the yeast back. Left unsalted, a dough races ahead: it puffs up within the hour "
    "and bakes into something pale and dull. With salt the rise takes its time, and in that time "
    "the slow work happens that you taste later."
)
_CHESS = (
    "Put it in the centre unless something concrete speaks against it. From there the piece "
    "reaches eight squares, from the rim only four, so half of its strength is given away before "
    "the first exchange."
)
_FOREIGN = (_BREAD, _CHESS)
_FOREIGN_SENTENCES = (
    "The same was already known to the bakers of Lisbon, who kept it secret for two centuries.",
    "Later experiments on lake trout in northern Canada showed the opposite.",
    "It was first sold under this name by a Danish shipping company in 1911.",
)
_SHORT_WORDS = 8  # half of so little may still be a whole answer


def plant(
    replies: Sequence[str], at: int, draw: int, counts: Mapping[str, int] | None = None
) -> tuple[str, str]:
    """Plant a fault in the reply at a position: which, and the faulty reply.

    Args:
        replies: The replies to one chunk's requests, in order.
        at: The position of the one that gets the fault.
        draw: A number of 0 or more that chooses among the faults that the reply can take.
        counts: How often each fault was planted before: the rarest is taken first.
    """
    reply = replies[at]
    possible = {"swapped": swap(replies, at), "foreign": add_foreign_sentence(reply, draw)}
    made = {"cut": cut(reply), "number": wrong_number(reply), "negated": negate(reply)}
    possible |= {kind: faulty for kind, faulty in made.items() if faulty is not None}
    before = Counter(counts or {})
    fewest = min(before[kind] for kind in possible)
    rarest = [kind for kind in FAULTS if kind in possible and before[kind] == fewest]
    kind = rarest[draw % len(rarest)]
    return kind, possible[kind]


def swap(replies: Sequence[str], at: int) -> str:
    """The reply of the next pair; something foreign where there is none, or the same one."""
    other = replies[(at + 1) % len(replies)]
    return other if other != replies[at] else _FOREIGN[len(other) % len(_FOREIGN)]


def cut(reply: str) -> str | None:
    """The first half of a reply; None where it is too short to be cut."""
    words = reply.split(" ")
    return " ".join(words[: len(words) // 2]) if len(words) > _SHORT_WORDS else None


def wrong_number(reply: str) -> str | None:
    """A reply with its first number changed; None where it has none but marks of lists."""
    marks = [found.span() for found in _LIST_MARK.finditer(reply)]
    for found in _NUMBER.finditer(reply):
        if any(start <= found.start() < end for start, end in marks):
            continue
        digits = re.sub(r"\D", "", found.group())[:12]
        return f"{reply[: found.start()]}{int(digits) * 3 + 7}{reply[found.end() :]}"
    return None


def add_foreign_sentence(reply: str, draw: int = 0) -> str:
    """A reply with one sentence in it, before the last one, that no text at hand says."""
    sentence = _FOREIGN_SENTENCES[draw % len(_FOREIGN_SENTENCES)]
    sentences = _SENTENCE_END.split(reply.strip())
    if len(sentences) == 1:
        return f"{reply} {sentence}"
    return " ".join([*sentences[:-1], sentence, sentences[-1]])


def negate(reply: str) -> str | None:
    """A reply whose first plain statement says the opposite; None where none is found (English)."""
    found = _VERB.search(reply)
    if found is None:
        return None
    return f"{reply[: found.end()]} not{reply[found.end() :]}"
