"""How many pairs a chunk is to give, and of which sorts: drawn by hash, the same every time.

Left to itself a model asks "Explain ..." two times in three. So each pair is assigned a type and a
form, and each chunk an asker and a difficulty, by the hash of the chunk and the seed: the draws
vary over the run, and a replay asks the very same question.
"""

from __future__ import annotations

import hashlib
import math
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pairmill.records import Chunk

__all__ = ["TYPES", "Plan", "count_pairs", "plan_pairs"]

BYTES_PER_TOKEN = 4  # of UTF-8; near enough, and no tokenizer has to be at hand
TOKENS_PER_PAIR = 150

TYPES = (
    ("explain", 3),
    ("how_to", 3),
    ("why", 3),
    ("compare", 2),
    ("list_with_reasons", 2),
    ("write_in_style", 2),
    ("summarise_topic", 1),
    ("definition_with_example", 1),
    ("troubleshoot", 1),
    ("decide", 1),
    ("critique", 1),
)
"""Types with their weights. ``code_task`` joins them where the chunk holds code."""

_CODE_TASK = ("code_task", 3)
_CODE = re.compile(r"^(?:```|~~~|    \S)", re.MULTILINE)
_ASKERS = ("a beginner", "a practitioner", "a manager", "a student", "a sceptic")
_DIFFICULTIES = ("easy", "medium", "hard")
_FORMS = (
    "question",
    "plain request",
    "casual question",
    "formal request",
    "a sentence or two of situation, then the request",
)
_DRAWS = struct.Struct(">32H")  # one BLAKE2b digest


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for: a type and a form for each pair, an asker and a difficulty for all."""

    types: tuple[str, ...]
    forms: tuple[str, ...]
    asker: str
    difficulty: str

    def after(self, kept: int) -> Plan:
        """The plan for what is missing when the first ``kept`` pairs are there; at least one."""
        start = min(kept, len(self.types) - 1)
        return Plan(self.types[start:], self.forms[start:], self.asker, self.difficulty)

    def lines(self) -> str:
        """The plan as the prompt says it."""
        pairs = "; ".join(
            f"{number}. {kind}, {form}"
            for number, (kind, form) in enumerate(zip(self.types, self.forms, strict=True), 1)
        )
        return f"Pairs: {pairs}\nAsker: {self.asker}\nDifficulty: {self.difficulty}"


def count_pairs(text: str, most: int) -> int:
    """One pair for every 150 tokens of text, at least one and at most ``most``."""
    tokens = len(text.encode("utf-8", "replace")) / BYTES_PER_TOKEN
    return max(1, min(most, int(tokens / TOKENS_PER_PAIR + 0.5)))


def plan_pairs(chunk: Chunk, count: int, seed: int) -> Plan:
    """Draw a plan for ``count`` pairs, at most 11 of different types, by chunk and seed."""
    state = hashlib.blake2b(f"{seed} {chunk.id}".encode(), digest_size=_DRAWS.size)
    draws = _DRAWS.unpack(state.digest())
    known = (*TYPES, _CODE_TASK) if _holds_code(chunk.text) else TYPES
    used = len(known)
    return Plan(
        types=_weighted(known, draws)[:count],
        forms=tuple(_FORMS[draw % len(_FORMS)] for draw in draws[used : used + count]),
        asker=_ASKERS[draws[-1] % len(_ASKERS)],
        difficulty=_DIFFICULTIES[draws[-2] % len(_DIFFICULTIES)],
    )


def _holds_code(text: str) -> bool:
    # What the pattern needs is looked for first: it takes 17 us for a chunk of prose, this 1.
    indented = text.startswith("    ") or "\n    " in text
    if indented or ("`" in text and "```" in text) or ("~" in text and "~~~" in text):
        return _CODE.search(text) is not None
    return False


def _weighted(items: Sequence[tuple[str, int]], draws: Sequence[int]) -> tuple[str, ...]:
    """All names, those of more weight rather first (Efraimidis and Spirakis 2006)."""
    ranked = [
        (math.log((draw + 1) / 65537) / weight, name)
        for (name, weight), draw in zip(items, draws, strict=False)
    ]
    ranked.sort(reverse=True)
    return tuple([name for _, name in ranked])
