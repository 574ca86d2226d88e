"""Stops a run whose model ignores its text: pairs that parse and read well, but are unrelated.

Each answer is compared with its own chunk and with another one. If it is no closer to its own, the
text is most likely not in the prompt. It judges after the first 50 chunks with pairs, and then
after every 500. The remaining chunks at the end of a run are judged too, but can only cause a
warning: they are too few to fail a run for.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import Struct

from pairmill.quality.grounding import PreparedChunk, covered_by, score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pairmill.quality.grounding import PreparedPair
    from pairmill.quality.text import Prepared

__all__ = ["Canary", "CanaryInput", "CanaryLimits", "CanaryWindow", "ChunkComparer"]


@dataclass(frozen=True, slots=True)
class CanaryLimits:
    """Thresholds at which the canary stops a run.

    Attributes:
        first_chunks: Chunks with pairs before the first judgement.
        window_chunks: Chunks in each later one.
        least_lift: Mean coverage by the own chunk must exceed that by another by this much.
        safe_coverage: Answers covered this well by their own chunk come from it, even if the lift
            is small because all chunks are alike.
        most_repeats: Maximum share of instructions (or of texts without one) that repeat an earlier
            one in the window.
        least_pairs: Minimum number of pairs for a judgement.
        last_chunks: Minimum number of chunks with a pair in the last window for a judgement at the
            end of a run.
    """

    first_chunks: int = 50
    window_chunks: int = 500
    least_lift: float = 0.15
    safe_coverage: float = 0.55
    most_repeats: float = 0.5
    least_pairs: int = 30
    last_chunks: int = 10


@dataclass(frozen=True, slots=True)
class CanaryWindow:
    """Figures of one window of chunks; ``problem`` is a sentence for people, or None."""

    chunks: int
    pairs: int
    own_coverage: float
    other_coverage: float
    repeat_share: float
    problem: str | None

    @property
    def lift(self) -> float:
        """Coverage by the own chunk minus that by another."""
        return self.own_coverage - self.other_coverage


_KEPT_CHUNKS = 64  # to choose the other chunk from: about 30 kB each


class CanaryInput(Struct, frozen=True, array_like=True):
    """Figures of one chunk and its pairs, as input of the canary.

    Attributes:
        own: Coverage of the answers by their own chunk, summed up.
        other: Coverage by another chunk, summed up.
        compared: Number of answers compared; 0 for the first chunk.
        instructions: A 64-bit hash of each pair's words.
    """

    own: float
    other: float
    compared: int
    instructions: list[int]


class ChunkComparer:
    """Compares answers with their own chunk and with an earlier one.

    It keeps 64 chunks. The figures depend only on the chunks, their order and the seed.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._others: list[PreparedChunk] = []

    def look(self, chunk: PreparedChunk, pairs: Sequence[PreparedPair]) -> CanaryInput:
        """Compare the pairs of a chunk, and keep the chunk to compare others with."""
        draw = self._draw(chunk)
        own = other = 0.0
        compared = 0
        if self._others:
            foreign = self._others[draw % len(self._others)]
            compared = len(pairs)
            for pair in pairs:
                own += score(pair, chunk)
                other += covered_by(pair.answer, foreign)
        self._remember(PreparedChunk(chunk.text, chunk.heading, chunk.language), draw)
        # a plain text has no instruction: there the text itself must not repeat
        names = [_number(pair.instruction.words or pair.answer.words) for pair in pairs]
        return CanaryInput(own, other, compared, names)

    def _draw(self, chunk: PreparedChunk) -> int:
        """Map seed and chunk to a number, so that a replay draws the same."""
        data = f"{self._seed} {chunk.text.text}".encode("utf-8", "backslashreplace")
        return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")

    def _remember(self, chunk: PreparedChunk, draw: int) -> None:
        """Keep a sample of the chunks seen: the first 64, then each in place of a drawn one."""
        if self._others and _are_same(self._others[-1].text, chunk.text):
            return
        if len(self._others) < _KEPT_CHUNKS:
            self._others.append(chunk)
        else:
            self._others[(draw >> 32) % _KEPT_CHUNKS] = chunk


def _are_same(one: Prepared, other: Prepared) -> bool:
    """Return whether two texts are the same, word for word."""
    return one.length == other.length and one.folded == other.folded


def _number(words: Sequence[str]) -> int:
    """Map words to a number that is the same in every process."""
    data = " ".join(words).encode("utf-8", "backslashreplace")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


class Canary:
    """Accumulates figures of pairs as they arrive, and judges them.

    Add every valid pair, including those that a filter then drops: ungrounded pairs are what it
    detects. It keeps 8 bytes per instruction of the current window.
    """

    def __init__(self, limits: CanaryLimits | None = None) -> None:
        self._limits = limits or CanaryLimits()
        self._size = self._limits.first_chunks
        self._reset()

    def add(self, seen: CanaryInput) -> CanaryWindow | None:
        """Add a chunk with pairs. Returns the window's figures when it is full, else None."""
        if not seen.instructions:
            return None
        self._own += seen.own
        self._other += seen.other
        self._compared += seen.compared
        self._pairs += len(seen.instructions)
        self._instructions.update(seen.instructions)
        self._chunks += 1
        if self._chunks < self._size:
            return None
        window = self._judge(self._limits.least_pairs)
        self._size = self._limits.window_chunks
        self._reset()
        return window

    def conclude(self) -> CanaryWindow | None:
        """Return the figures of the current window; None with fewer than ``last_chunks`` chunks."""
        if self._chunks < self._limits.last_chunks:
            return None
        return self._judge(self._limits.last_chunks)

    def _judge(self, least_pairs: int) -> CanaryWindow:
        compared = max(self._compared, 1)
        own, other = self._own / compared, self._other / compared
        repeats = 1 - len(self._instructions) / self._pairs
        problem = None
        if self._pairs >= least_pairs:
            problem = self._problem(own, other, repeats)
        return CanaryWindow(self._chunks, self._pairs, own, other, repeats, problem)

    def _problem(self, own: float, other: float, repeats: float) -> str | None:
        limits = self._limits
        if own - other < limits.least_lift and own < limits.safe_coverage:
            return (
                f"the answers are no closer to their chunk than to any other ({own:.0%} of their "
                f"content words stand in their own, {other:.0%} in another, over {self._chunks} "
                "chunks): is the text in the prompt?"
            )
        if repeats > limits.most_repeats:
            return (
                f"{repeats:.0%} of the instructions repeat an earlier one, over {self._chunks} "
                "chunks: does the model read the text, is the temperature above 0?"
            )
        return None

    def _reset(self) -> None:
        self._chunks = self._pairs = self._compared = 0
        self._own = self._other = 0.0
        self._instructions: set[int] = set()
