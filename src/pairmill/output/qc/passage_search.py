"""Finds the passage that an answer most likely came from, by shared words.

Documents are cut into windows of 2,800 characters that overlap by half, so that any chunk of up to
1,400 lies wholly in one. An inverted index of stems proposes windows; the best is scored exactly.
"""

from __future__ import annotations

import math
import re
from array import array
from bisect import bisect_left
from collections import defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING

from pairmill.errors import InputError
from pairmill.quality.grounding import PreparedChunk, coverage, prepare_chunk
from pairmill.quality.text import prepare

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Iterator

    from pairmill.quality.grounding import PreparedPair
    from pairmill.records import Document

__all__ = ["PassageIndex"]

_WINDOW_CHARS = 2800
_STRIDE_CHARS = 1400
_CANDIDATES = 5
_OWN = 8  # windows of a pair's own document that are scored exactly
_PROBES = 32  # the rarest stems of an answer; more change the candidates hardly ever
_LEAST_PROBES = 8
_POSTINGS = 20_000  # read for one answer, about 3 ms
_SENTENCE_WORDS = 4
_SENTENCE_END = re.compile(r"(?<=[.?!\u3002\uff1f\uff01])\s*|\n+")
_KEPT = 2048  # prepared windows, about 60 kB each


class PassageIndex:
    """Windows of all documents, indexed by content stems. Holds the texts, not the documents."""

    def __init__(self, documents: Iterable[Document]) -> None:
        """Index the documents.

        Raises:
            InputError: None of them has any text.
        """
        self._windows: list[tuple[str, str]] = []
        self._postings: defaultdict[str, array[int]] = defaultdict(lambda: array("I"))
        self._documents = array("I")
        self._ids: defaultdict[str, list[int]] = defaultdict(list)  # numbers of its windows
        for number, document in enumerate(documents):
            heading = " ".join(filter(None, (document.title, document.author)))
            for window in _windows(document.text):
                self._ids[document.id].append(len(self._windows))
                self._add(window, heading)
                self._documents.append(number)
        if not self._windows:
            raise InputError("the documents hold no text")
        self._prepare = lru_cache(maxsize=_KEPT)(self._prepare_window)

    def __len__(self) -> int:
        return len(self._windows)

    def find(self, pair: PreparedPair, document: str = "") -> tuple[int, int | None]:
        """Number of the window that covers most of the answer's content words, and a rival.

        The rival is the best window of any other document: chosen just as hard, so that it shows
        what the choice alone is worth. None if there is no other.

        Args:
            pair: The request and the answer.
            document: Id of the document that it was written from, whose windows alone are then
                looked at for the first one; "", or one that is not here: any document.
        """
        said = pair.answer.content
        own = self._ids.get(document, [])
        total = len(self._windows)
        held = [(len(self._postings[stem]), stem) for stem in said if stem in self._postings]
        votes: defaultdict[int, float] = defaultdict(float)
        read = 0
        for probe, (count, stem) in enumerate(sorted(held)[:_PROBES]):
            read += count
            if read > _POSTINGS and probe >= _LEAST_PROBES:
                break  # a common word in a big corpus: it tells little and costs much
            weight = math.log(1 + total / count)
            for window in self._postings[stem]:
                votes[window] += weight
        ranked = sorted(votes, key=votes.__getitem__, reverse=True)  # ties: as first met
        best = self._best(said, self._own(own, ranked) if own else ranked[:_CANDIDATES])
        if best is None:
            return 0, None
        home = {self._documents[window] for window in own or (best,)}
        away = [window for window in ranked if self._documents[window] not in home]
        return best, self._best(said, away[:_CANDIDATES])

    @staticmethod
    def _own(windows: list[int], ranked: list[int]) -> list[int]:
        """Return those windows of a pair's own document that may be the best one."""
        if len(windows) <= _OWN:
            return windows
        inside = set(windows)
        return [window for window in ranked if window in inside][:_OWN] or windows[:_OWN]

    def _best(self, said: frozenset[str], candidates: list[int]) -> int | None:
        return max(
            candidates,
            key=lambda window: (coverage(said, self.window(window).content), -window),
            default=None,
        )

    def window(self, number: int) -> PreparedChunk:
        """Prepare a window."""
        return self._prepare(number)

    def sentences(self, rng: random.Random) -> Iterator[str]:
        """Yield the documents' sentences of at least four words, windows in a random order.

        Windows overlap by half, and every other one of a document is left out.
        """
        for number in rng.sample(range(len(self._windows)), len(self._windows)):
            if (number - bisect_left(self._documents, self._documents[number])) % 2:
                continue  # it overlaps with the one before by half
            text, _ = self._windows[number]
            found = [part.strip() for part in _SENTENCE_END.split(text)]
            whole = [part for part in found if len(part.split()) >= _SENTENCE_WORDS]
            rng.shuffle(whole)
            yield from whole

    def _add(self, text: str, heading: str) -> None:
        number = len(self._windows)
        self._windows.append((text, heading))
        for stem in prepare(text).content:
            self._postings[stem].append(number)

    def _prepare_window(self, number: int) -> PreparedChunk:
        text, heading = self._windows[number]
        return prepare_chunk(text, context=(heading,))


def _windows(text: str) -> Iterator[str]:
    """Windows of 2,800 characters, each at most 1,400 behind the last, and after a space."""
    text = text.strip()
    start = 0
    while start < len(text):
        stop = start + _WINDOW_CHARS
        yield text[start:stop]
        if stop >= len(text):
            return
        near = text.rfind(" ", start + 1, start + _STRIDE_CHARS)
        start = near + 1 if near >= 0 else start + _STRIDE_CHARS
