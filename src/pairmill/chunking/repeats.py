"""Index of texts seen before, to find exact and near repeats: on disk, in bounded memory.

A text is the set of its runs of three words (three characters where a script has no spaces), each
as a 32-bit hash. Its sketch holds the least hashes of that set: the bottom-k sketch of Broder ("On
the resemblance and containment of documents", 1997). Up to `SKETCH_SIZE` runs it is the whole set,
so that texts of the length of a chunk are compared almost exactly.

The Jaccard index *j* of two sets is converted to the share of words that are in both in the same
order, ``(2 j / (1 + j)) ** (1 / 3)``: if a share *p* of the words was changed at random, it is
about ``1 - p``. (Ondov et al., "Mash: fast genome and metagenome distance estimation using
MinHash", 2016, equation 4, without the logarithm.)

Each text that is kept has its sketch in an SQLite file, and the least `_INDEXED` hashes of it in an
index. A text is compared with those that share at least two of these with it: two texts that are
alike in 85 of 100 words share seven on average, and fewer than two in one case of a thousand. Every
pair that is found this way is verified by its sketches, so there are no false repeats.

Runs of words that `_COMMON` texts contain are ignored, which bounds the number of look-ups per
text.
"""

from __future__ import annotations

import zlib
from array import array
from collections import Counter
from heapq import merge
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from pairmill.quality.text import words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pairmill.chunking.intake_file import IntakeFile

__all__ = [
    "SKETCH_SIZE",
    "Repeat",
    "RepeatIndex",
    "Sketch",
    "similarity",
    "sketch",
    "text_name",
    "union",
]

SKETCH_SIZE = 512
_RUN = 3
_MASK = 2**30 - 1  # Python computes with numbers of up to 30 bits far faster
_SPREAD = 0x9E3779B1  # odd; crc32 alone is linear, so XORs of it would collide
_MOST_WORDS = 2**17  # words whose hashes are kept for the next text

Sketch: TypeAlias = array  # of "I": distinct hashes in ascending order
"""The least hashes of a text's runs of words, at most `SKETCH_SIZE`."""


class _Hashes(dict[str, int]):
    """Map of words to hashes at one position in a run; filled on demand, cleared when full."""

    def __init__(self, place: int) -> None:
        super().__init__()
        self._salt = zlib.crc32(bytes([place]))

    def __missing__(self, word: str) -> int:
        if len(self) >= _MOST_WORDS:
            self.clear()
        found = zlib.crc32(word.encode("utf-8", "replace"), self._salt) * _SPREAD >> 7 & _MASK
        self[word] = found
        return found


_FIRST, _SECOND, _THIRD = (_Hashes(place).__getitem__ for place in range(_RUN))


def sketch(text: str) -> Sketch[int]:
    """Return the sketch of a text; an empty one where it has fewer than three words."""
    tokens = words(text)
    runs = {
        one ^ two ^ three  # tabulation hashing: a table for each place
        for one, two, three in zip(
            map(_FIRST, tokens), map(_SECOND, tokens[1:]), map(_THIRD, tokens[2:]), strict=False
        )
    }
    return array("I", sorted(runs)[:SKETCH_SIZE])


def union(sketches: Iterable[Sequence[int]]) -> Sketch[int]:
    """Return the sketch of the union of several texts."""
    found = array("I")
    last = -1
    for value in merge(*sketches):
        if value != last:
            found.append(value)
            last = value
            if len(found) == SKETCH_SIZE:
                break
    return found


def similarity(one: Sketch[int], other: Sketch[int]) -> float:
    """Estimate the share of words that two texts have in common, in the same order: 0 to 1.

    Texts of up to `SKETCH_SIZE` different runs of words are compared exactly; for longer ones the
    standard error of the Jaccard index is below ``0.5 / sqrt(SKETCH_SIZE)``, about 0.02.
    """
    if not one or not other:
        return 0.0
    all_of_one, both = set(one), set(one).intersection(other)
    if len(one) == SKETCH_SIZE or len(other) == SKETCH_SIZE:  # a sample of the union only
        least = sorted(all_of_one.union(other))[:SKETCH_SIZE]
        shared = sum(value in both for value in least)
        jaccard = shared / len(least)
    else:
        jaccard = len(both) / (len(one) + len(other) - len(both))
    return float((2 * jaccard / (1 + jaccard)) ** (1 / _RUN))


_INDEXED = 16  # hashes of a text that are looked up
_AGREEING = 2  # that two texts must share to be compared
_COMMON = 64  # texts that share a hash, from which it is ignored
_MOST_COMMON = 2**18  # such hashes that are remembered: some 20 MB
_COMPARED = 32  # maximum candidates, those that share the most
_FILTER_BITS = 2**25  # 4 MB: with a million texts, one in 300 is looked up needlessly
_WRITTEN = 4096  # texts at a time
_LEAST_RUNS = 8  # a shorter text is only ever an exact repeat


class Repeat(NamedTuple):
    """The original of a repeated text: its source, and their similarity (1: exact)."""

    source: str
    similarity: float


class RepeatIndex:
    """Decisions of a run folder on texts of one kind (chunks, documents).

    Decisions are final in all later starts. The first of two similar texts is kept; to keep a
    particular one, query it first.
    """

    def __init__(
        self, file: IntakeFile, kind: str, least: float | None, *, keeps_from: int | None = None
    ) -> None:
        """Begin a start.

        Args:
            file: The run folder's file, open for writing or read-only.
            kind: ``chunk`` or ``document``.
            least: Minimum similarity of near repeats; None: only equal texts are repeats.
            keeps_from: Store the texts seen in the file, from documents after this number on;
                earlier ones are stored already. None: do not store them.
        """
        self._file = file
        self._least = least
        self._seen = _SeenTexts(file, kind, keeps_from)
        self._known = f"SELECT id, similarity FROM @{kind}_names WHERE name = ?"
        self._source = f"SELECT source FROM @{kind}_texts WHERE id = ?"
        self._sketch = f"SELECT source, sketch FROM @{kind}_texts WHERE id = ?"
        self._having = f"SELECT id FROM @{kind}_runs WHERE hash = ? LIMIT {_COMMON}"
        self._name = f"INSERT INTO main.{kind}_names VALUES (?, ?, ?)"
        self._keep = f"INSERT INTO main.{kind}_texts VALUES (?, ?, ?)"
        self._index = f"INSERT OR IGNORE INTO main.{kind}_runs VALUES (?, ?)"
        if least is None:
            return
        common = (
            f"SELECT hash FROM @{kind}_runs GROUP BY hash HAVING COUNT(*) >= {_COMMON}"
            f" LIMIT {_MOST_COMMON}"
        )
        self._common = {row[0] for row in file.rows(common)}
        (last,) = file.rows(f"SELECT MAX(id) FROM @{kind}_texts")
        self._next = (last[0] or 0) + 1

    def flush(self) -> None:
        """Write the texts seen; they are durable with the file's next commit."""
        self._seen.flush()

    def check(
        self, digest: str, make: Callable[[], Sketch[int]], source: str, mark: int = 0
    ) -> Repeat | None:
        """Return the original of a text; None if it is new, or was kept before. Records it.

        Args:
            digest: Digest of the text, as hex digits.
            make: Makes its sketch, if the digest does not decide.
            source: Source of the text.
            mark: Number of its document.

        Raises:
            InputError: The file is damaged, or the disk is full.
        """
        name = text_name(digest)
        first = self._seen.add(name, source, mark)
        if first is not None:
            return Repeat(first, 1.0)
        if self._least is None:
            return None
        known = self._file.rows(self._known, name)
        if known:
            at, alike = known[0]
            if alike is None:
                return None
            return Repeat(self._file.rows(self._source, at)[0][0], alike)
        return self._decide(name, make(), source, self._least)

    def _decide(self, name: int, made: Sketch[int], source: str, least: float) -> Repeat | None:
        shared: Counter[int] = Counter()
        rare: list[int] = []
        for value in made if len(made) >= _LEAST_RUNS else ():
            if value in self._common:
                continue
            having = self._file.rows(self._having, value)
            if len(having) >= _COMMON:
                if len(self._common) >= _MOST_COMMON:
                    self._common.clear()
                self._common.add(value)
                continue
            rare.append(value)
            shared.update(row[0] for row in having)
            if len(rare) == _INDEXED:
                break
        best, alike, of = -1, 0.0, ""
        for at, count in sorted(shared.items(), key=lambda item: (-item[1], item[0]))[:_COMPARED]:
            if count < _AGREEING:
                break
            where, other = self._file.rows(self._sketch, at)[0]
            found = similarity(made, array("I", other))
            if found > alike:
                best, alike, of = at, found, where
        if alike >= least:
            self._file.run(self._name, name, best, alike)
            return Repeat(of, alike)
        at, self._next = self._next, self._next + 1
        self._file.run(self._name, name, at, None)
        self._file.run(self._keep, at, source, made.tobytes())
        self._file.run_many(self._index, [(value, at) for value in rare])
        return None


class _SeenTexts:
    """Texts of this start, each with its first source: in a table, except the latest.

    A Bloom filter (Bloom, "Space/time trade-offs in hash coding", 1970) recognizes nearly all new
    texts as new, so that the table is mostly written, some thousands at a time.
    """

    def __init__(self, file: IntakeFile, kind: str, keeps_from: int | None = None) -> None:
        self._file = file
        self._bits = bytearray(_FILTER_BITS // 8)
        self._latest: dict[int, tuple[str, int]] = {}
        table = f"{'temp' if keeps_from is None else 'main'}.{kind}_seen"
        if not keeps_from:
            file.run(f"DROP TABLE IF EXISTS {table}")
        file.run(
            f"CREATE TABLE IF NOT EXISTS {table}"
            "(name INTEGER PRIMARY KEY, source TEXT, mark INTEGER)"
        )
        if keeps_from:
            file.run(f"DELETE FROM {table} WHERE mark > ?", keeps_from)
            for (name,) in file.each(f"SELECT name FROM {table}"):
                self._mark(name)
        self._write = f"INSERT INTO {table} VALUES (?, ?, ?)"
        self._look = f"SELECT source FROM {table} WHERE name = ?"

    def _mark(self, name: int) -> None:
        one, other = name % _FILTER_BITS, (name >> 32) % _FILTER_BITS
        self._bits[one >> 3] |= 1 << (one & 7)
        self._bits[other >> 3] |= 1 << (other & 7)

    def flush(self) -> None:
        """Write the latest additions."""
        rows = [(name, *of) for name, of in sorted(self._latest.items())]
        self._file.run_many(self._write, rows)
        self._latest.clear()

    def add(self, name: int, source: str, mark: int = 0) -> str | None:
        """Add a text and return None; if it is known, return its first source."""
        bits = self._bits
        one, other = name % _FILTER_BITS, (name >> 32) % _FILTER_BITS  # parts of a digest
        if bits[one >> 3] >> (one & 7) & bits[other >> 3] >> (other & 7) & 1:
            if name in self._latest:
                return self._latest[name][0]
            found = self._file.rows(self._look, name)
            if found:
                return str(found[0][0])
        bits[one >> 3] |= 1 << (one & 7)
        bits[other >> 3] |= 1 << (other & 7)
        self._latest[name] = (source, mark)
        if len(self._latest) >= _WRITTEN:
            self.flush()
        return None


def text_name(digest: str) -> int:
    """Return the key of a text in the table: 64 bits of its digest."""
    return int(digest[:16], 16) - 2**63
