"""Faults that are planted to see whether a judge finds them. What bears one never becomes a row."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["FAULTS", "cut", "plant", "swap", "wrong_number"]

FAULTS = ("swapped", "cut", "number")

_NUMBER = re.compile(r"\d+")
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
_SHORT_WORDS = 8  # half of so little may still be a whole answer


def plant(replies: Sequence[str], at: int, draw: int) -> tuple[str, str]:
    """Plant a fault in the reply at a position: which, and the faulty reply.

    ``draw``, a number of 0 or more, chooses among the faults that the reply can take.
    """
    reply = replies[at]
    possible = {"swapped": swap(replies, at)}
    halved, changed = cut(reply), wrong_number(reply)
    if halved is not None:
        possible["cut"] = halved
    if changed is not None:
        possible["number"] = changed
    kind = list(possible)[draw % len(possible)]
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
    """A reply with its first number changed; None where it has none."""
    found = _NUMBER.search(reply)
    if found is None:
        return None
    wrong = str(int(found.group()[:12]) * 3 + 7)
    return reply[: found.start()] + wrong + reply[found.end() :]
