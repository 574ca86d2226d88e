"""Counts of a dataset's rows for the report: in one pass, in bounded memory."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from pairmill.output.origins import license_name
from pairmill.output.rows import key_text, said_in, task_of, turns_of
from pairmill.output.show import Reservoir
from pairmill.quality.text import key, words
from pairmill.records import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pairmill.output.rows import Row

__all__ = ["DistinctCounter", "Measures", "NameCounts", "measure", "percentile"]

Lengths: TypeAlias = "Counter[int]"

_LONGEST = 5_000  # words; longer texts count as this long
_MOST_NAMES = 5_000
_GROUNDING_BINS = 20
_TOKEN_BYTES = 4
_MOST_TOKENS = 100_000


class DistinctCounter:
    """Number of distinct names: exact up to ``size``, then within about 1 percent.

    Beyond ``size`` it keeps the least hashes (Bar-Yossef et al., "Counting distinct elements in a
    data stream", 2002): with 65,536 of them the standard error is 0.4 percent.
    """

    def __init__(self, size: int = 65_536) -> None:
        self._size = size
        self._kept: set[int] = set()
        self._heap: list[int] = []  # negated, so that the greatest kept hash is on top

    @property
    def is_exact(self) -> bool:
        """True if the count is not an estimate."""
        return len(self._kept) < self._size

    def add(self, name: str) -> None:
        """Count the name, if it is new."""
        value = int(digest(name)[:16], 16)
        if value in self._kept:
            return
        if len(self._kept) < self._size:
            self._kept.add(value)
            heapq.heappush(self._heap, -value)
        elif value < -self._heap[0]:
            self._kept.remove(-heapq.heapreplace(self._heap, -value))
            self._kept.add(value)

    def count(self) -> int:
        """Return the number of distinct names, or its estimate."""
        if self.is_exact:
            return len(self._kept)
        return round((self._size - 1) * 2**64 / -self._heap[0])


class NameCounts:
    """Counts of names; beyond 5,000 distinct ones, new ones are counted together."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.others = 0

    def add(self, name: str) -> None:
        """Count one more of ``name``."""
        if name in self.counts or len(self.counts) < _MOST_NAMES:
            self.counts[name] += 1
        else:
            self.others += 1

    def top(self, count: int) -> list[tuple[str, int]]:
        """Return the most frequent names with their counts; ties are in order of the name."""
        return sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))[:count]


@dataclass(slots=True)
class Measures:
    """Counts over all rows. Lengths are in words.

    Attributes:
        grounding: Rows for each twentieth of the scale from 0 to 1.
        support: Likewise.
        row_tokens: Estimated tokens of all that a row trains, at four bytes of UTF-8 a token.
        ratings: By aspect, how often a judge gave each rating, rounded to 1 to 5.
        per_document: Rows of each document.
        samples: Some rows chosen at random.
    """

    rows: int = 0
    documents: DistinctCounter = field(default_factory=DistinctCounter)
    chunks: DistinctCounter = field(default_factory=DistinctCounter)
    instructions: DistinctCounter = field(default_factory=DistinctCounter)
    instruction_words: Lengths = field(default_factory=Counter)
    answer_words: Lengths = field(default_factory=Counter)
    grounding: list[int] = field(default_factory=lambda: [0] * _GROUNDING_BINS)
    support: list[int] = field(default_factory=lambda: [0] * _GROUNDING_BINS)
    grounded_rows: int = 0
    with_evidence: int = 0
    first_words: NameCounts = field(default_factory=NameCounts)
    kinds: NameCounts = field(default_factory=NameCounts)
    tasks: NameCounts = field(default_factory=NameCounts)
    flags: NameCounts = field(default_factory=NameCounts)
    models: NameCounts = field(default_factory=NameCounts)
    licenses: NameCounts = field(default_factory=NameCounts)
    row_tokens: Lengths = field(default_factory=Counter)
    ratings: dict[str, Counter[int]] = field(default_factory=dict)
    per_document: NameCounts = field(default_factory=NameCounts)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    samples: Sequence[Row] = ()

    @property
    def duplicate_rate(self) -> float:
        """Share of rows whose instruction is in an earlier row, but for case and marks."""
        return max(0.0, 1 - self.instructions.count() / self.rows) if self.rows else 0.0

    def add(self, row: Row) -> None:
        """Count one row."""
        self.rows += 1
        self.documents.add(str(row.get("document_id")))
        self.per_document.add(str(row.get("title") or row.get("source") or row.get("document_id")))
        self.chunks.add(str(row.get("chunk_id")))
        self._add_ratings(row)
        self._add_texts(row)
        self._add_grounding(row)
        self.kinds.add(str(row.get("kind") or "(none)")[:80])
        self.models.add(str(row.get("model"))[:80])
        self.licenses.add(license_name(row.get("license")))
        for flag in row.get("flags") or ():
            self.flags.add(str(flag)[:80])
        self.prompt_tokens += row.get("prompt_tokens") or 0
        self.completion_tokens += row.get("completion_tokens") or 0

    def _add_texts(self, row: Row) -> None:
        instruction = str(row.get("instruction") or "")
        asked = words(instruction)
        answered = words(said_in(row) if row.get("answer") is not None else "")
        self.tasks.add(task_of(row))
        texts = [row.get("system"), row.get("reasoning"), *(text for _, text in _turns(row))]
        size = sum(len(str(text).encode("utf-8", "replace")) for text in texts if text)
        self.row_tokens[min(-(-size // _TOKEN_BYTES), _MOST_TOKENS)] += 1
        self.instructions.add(key(key_text(row) if row.get("answer") is not None else instruction))
        self.instruction_words[min(len(asked), _LONGEST)] += 1
        self.answer_words[min(len(answered), _LONGEST)] += 1
        self.first_words.add(asked[0][:40] if asked else "(none)")

    def _add_ratings(self, row: Row) -> None:
        scores = row.get("scores")
        for aspect, value in scores.items() if isinstance(scores, dict) else ():
            if isinstance(value, int | float):
                self.ratings.setdefault(str(aspect)[:80], Counter())[round(value)] += 1

    def _add_grounding(self, row: Row) -> None:
        self.grounded_rows += _count_in(self.grounding, row.get("grounding"))
        _count_in(self.support, row.get("support"))
        self.with_evidence += bool(row.get("evidence"))


def _turns(row: Row) -> list[tuple[str, str]]:
    if not row.get("messages") and row.get("answer") is None:
        return []
    return turns_of(row) or [("text", str(row["answer"]))]


def _count_in(bins: list[int], value: object) -> bool:
    """Count a figure from 0 to 1 in its bin; False for a row without one."""
    if not isinstance(value, int | float):
        return False
    bins[min(max(int(value * len(bins)), 0), len(bins) - 1)] += 1
    return True


def measure(
    rows: Iterable[Row],
    *,
    samples: int = 20,
    seed: int = 0,
) -> Measures:
    """Count all rows, and choose some at random; the same rows and seed give the same choice."""
    found = Measures()
    reservoir: Reservoir[Row] = Reservoir(samples, seed)
    for row in rows:
        found.add(row)
        reservoir.offer(row)
    found.samples = reservoir.items
    return found


def percentile(lengths: Lengths, share: float) -> int:
    """Return the smallest length that at least ``share`` (0 to 1) of the counted do not exceed."""
    needed = share * lengths.total()
    seen = 0
    for length in sorted(lengths):
        seen += lengths[length]
        if seen >= needed:
            return length
    return 0
