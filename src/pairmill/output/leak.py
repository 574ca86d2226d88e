"""Two measures of an export: leak between splits, and length of chosen beside rejected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pairmill.output.rows import key_text, said_in
from pairmill.quality.text import key, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pairmill.output.rows import Row

__all__ = ["GapCounter", "Leak", "LengthGap", "measure_leak"]

_GRAM = 8
_SAMPLE = 2_000
_COPIED = 0.5


@dataclass(frozen=True, slots=True)
class Leak:
    """Result of the measurement.

    Attributes:
        held_out: Rows of the held-out splits that were compared.
        same_instruction: Those whose instruction, but for case and punctuation, is in train; of a
            conversation all its requests together, of plain text the text.
        copied_answer: Those of whose answer's 8-word runs at least half are in answers of train;
            of a conversation, all its replies are the answer.
        overlap: Mean share of an answer's 8-word runs that are in answers of train, 0 to 1.
        copied_source: Of all held-out rows, those of whose chunk three fifths of the 3-word runs
            are in texts of train's documents; None if the texts were not at hand.
    """

    held_out: int
    same_instruction: int
    copied_answer: int
    overlap: float
    copied_source: int | None = None

    @property
    def share(self) -> float:
        """Share of the compared rows that leaked: the larger of instructions and answers."""
        return (
            (self.same_instruction + self.copied_answer) / self.held_out if self.held_out else 0.0
        )


def measure_leak(
    held_out: Iterable[Row],
    train: Iterable[Row],
    *,
    sample: int = _SAMPLE,
) -> Leak:
    """Compare held-out rows with all rows of train.

    At most ``sample`` held-out rows are compared, spread evenly by id, so that memory stays
    bounded; every row of train is read once. Answers shorter than 8 words have no run to compare.
    """
    instructions: dict[str, list[int]] = {}
    runs: dict[int, list[int]] = {}
    totals: list[int] = []
    for index, row in enumerate(_spread(held_out, sample)):
        instructions.setdefault(key(key_text(row)), []).append(index)
        own = set(_runs(said_in(row)))
        totals.append(len(own))
        for run in own:
            runs.setdefault(run, []).append(index)
    same: set[int] = set()
    shared = [0] * len(totals)
    for row in train if totals else ():
        same.update(instructions.pop(key(key_text(row)), ()))
        for run in _runs(said_in(row)):
            for index in runs.pop(run, ()):
                shared[index] += 1
    shares = [part / total for part, total in zip(shared, totals, strict=True) if total]
    return Leak(
        held_out=len(totals),
        same_instruction=len(same),
        copied_answer=sum(share >= _COPIED for share in shares),
        overlap=sum(shares) / len(shares) if shares else 0.0,
    )


def _spread(rows: Iterable[Row], size: int) -> list[Row]:
    """Return the ``size`` rows with the smallest ids: ids are digests, so they are random."""
    kept: list[Row] = []
    for row in rows:
        kept.append(row)
        if len(kept) >= 2 * size:
            kept = sorted(kept, key=_name)[:size]
    return sorted(kept, key=_name)[:size]


def _name(row: Row) -> str:
    name: str = row["id"]
    return name


def _runs(text: str) -> Iterator[int]:
    tokens = words(text)
    for start in range(len(tokens) - _GRAM + 1):
        yield hash(tuple(tokens[start : start + _GRAM]))


_FAR = 0.1  # of the mean length; beyond that a model can win by length alone


@dataclass(frozen=True, slots=True)
class LengthGap:
    """Result over all pairs of answers.

    Attributes:
        mean_words: Mean length of the chosen ones less that of the rejected, in words.
        mean_length: Mean length of all of them, in words.
        chosen_longer: Share of the pairs in which the chosen one is the longer.
    """

    mean_words: float
    mean_length: float
    chosen_longer: float

    @property
    def is_far(self) -> bool:
        """True if the gap is wider than a tenth of the mean length."""
        return abs(self.mean_words) > _FAR * self.mean_length

    def line(self) -> str:
        """Describe the gap in a line, with what a good one looks like."""
        verdict = "too wide: training learns length" if self.is_far else "fine"
        return (
            f"length gap: chosen answers are {self.mean_words:+.1f} words longer than rejected ones"
            f" on average (of {self.mean_length:.0f}), and the longer in {self.chosen_longer:.0%}"
            f" of the pairs; under a tenth is good: {verdict}"
        )


class GapCounter:
    """Counts records of a preference format."""

    def __init__(self) -> None:
        self._pairs = self._chosen = self._rejected = self._longer = 0

    def add(self, record: Mapping[str, str]) -> None:
        """Count one record with ``chosen`` and ``rejected``."""
        chosen, rejected = len(words(record["chosen"])), len(words(record["rejected"]))
        self._pairs += 1
        self._chosen += chosen
        self._rejected += rejected
        self._longer += chosen > rejected

    def result(self) -> LengthGap | None:
        """Return the gap; None if nothing was counted."""
        if not self._pairs:
            return None
        return LengthGap(
            (self._chosen - self._rejected) / self._pairs,
            (self._chosen + self._rejected) / (2 * self._pairs),
            self._longer / self._pairs,
        )
