"""Whether a pair holds text of a benchmark, by shared runs of 13 words.

The 13-word rule is that of GPT-3 (Brown et al. 2020, appendix C). It sees copies, not rephrased
test items: "no hits" means only that nothing was copied. No benchmark ships with pairmill; the user
names the files.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pairmill.quality.text import words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["Benchmark", "is_contaminated", "read_benchmark"]

_LONG = 13
_SHORT = 8
_SHORT_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Benchmark:
    """The runs of 13 and of 8 words of all its items, as 64-bit hashes: 8 bytes and a slot each."""

    long: frozenset[int]
    short: frozenset[int]


def read_benchmark(texts: Iterable[str]) -> Benchmark:
    """Prepare a benchmark from its items (questions, answers, passages: each a text)."""
    long: set[int] = set()
    short: set[int] = set()
    for text in texts:
        tokens = words(text)
        long.update(_hashes(tokens, _LONG))
        short.update(_hashes(tokens, _SHORT))
    return Benchmark(frozenset(long), frozenset(short))


def is_contaminated(text: str, benchmark: Benchmark) -> bool:
    """Whether any 13 words in a row, or half of the runs of 8, stand in the benchmark.

    A text below 8 words is never a hit: "What is the capital of France?" belongs to everybody.
    """
    tokens = words(text)
    if any(run in benchmark.long for run in _hashes(tokens, _LONG)):
        return True
    runs = list(_hashes(tokens, _SHORT))
    hits = sum(run in benchmark.short for run in runs)
    return bool(runs) and hits >= _SHORT_SHARE * len(runs)


def _hashes(tokens: Sequence[str], length: int) -> Iterator[int]:
    for at in range(len(tokens) - length + 1):
        run = " ".join(tokens[at : at + length]).encode("utf-8", "backslashreplace")
        yield int.from_bytes(hashlib.blake2b(run, digest_size=8).digest(), "big")
