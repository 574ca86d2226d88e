"""Makes units of chunks about the same subject, each from another document.

A chunk is represented by its most distinctive terms: stems of its content words, weighted by their
frequency in it and rarity in the corpus (tf-idf; those of title and headings count double), scaled
so that a chunk's weights add up to a thousand. The similarity of two chunks is the weight that they
share. Chunks are taken in the order of their ids, which are hashes: the first that is free, with
the nearest free ones of other documents. So the same documents in any order give the same units.

All of the input is read before the first unit. The chunks wait in a temporary database on disk, so
that memory is bounded whatever the size of the corpus: some 4 MB of counts, and the database's
cache.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections import Counter
from contextlib import closing
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from pairmill.errors import StoppedError
from pairmill.quality.language import primary
from pairmill.quality.text import prepare
from pairmill.records import Chunk, PartOrigin, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = ["distinctive_terms", "gather"]

_TERMS = 12  # of a chunk
_WHOLE = 1_000  # sum of the weights of a chunk's terms
_LEAST_SHARED = 2  # terms; a single one may be ambiguous
_LEAST_NEAR = 150  # of _WHOLE
_COPY = 800  # chunks that share more are copies, not another view of the subject
_MOST_TIMES = 4  # maximum occurrences of a term in a chunk that count
_BUCKETS = 2**20  # size of the table of chunk counts by term
_LOOKED_AT = 400  # chunks that are compared for each term, in the order of their ids
_CANDIDATES = 32  # nearest candidates; copies and chunks of the same document are excluded
_CACHE_KB = 32 * 1024
_TELL_EACH = 256  # chunks

_SCHEMA = """
PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = FILE;
CREATE TABLE chunks (id BLOB NOT NULL UNIQUE, document TEXT NOT NULL, packed BLOB NOT NULL);
CREATE TABLE free (id BLOB PRIMARY KEY, terms BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE terms (term INTEGER, id BLOB, weight INTEGER, PRIMARY KEY (term, id)) WITHOUT ROWID;
BEGIN;
"""
# Of equal texts in several documents, the one with the lowest document id is used.
_PUT = (
    "INSERT INTO chunks VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET document ="
    " excluded.document, packed = excluded.packed WHERE excluded.document < document"
)
_NEXT = "SELECT id, terms FROM free WHERE id > ? ORDER BY id LIMIT 1"
_SHARING = "SELECT id, weight FROM terms WHERE term = ? AND id > ? ORDER BY id LIMIT ?"

Weights = dict[int, int]

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Chunk).decode
_weights = msgspec.msgpack.Decoder(Weights).decode


def gather(
    chunks: Iterable[Chunk], size: int, on_wait: Callable[[int], None] | None = None
) -> Iterator[Chunk]:
    """Yield units of 2 to ``size`` chunks of one subject, each of another document.

    A chunk without a sufficiently similar one makes no unit; no chunk is in two units.

    Args:
        chunks: All chunks of the input; read to the end before the first unit is yielded.
        size: Maximum chunks of a unit.
        on_wait: Called periodically while they are read.

    Raises:
        StoppedError: The disk is full.
    """
    # Without a name SQLite uses a temporary file, which does not survive the process.
    with closing(sqlite3.connect("", isolation_level=None)) as database:
        try:
            database.executescript(f"PRAGMA cache_size = -{_CACHE_KB}; {_SCHEMA}")
            shelf = _Shelf(database)
            for number, chunk in enumerate(chunks):
                shelf.put(chunk)
                if on_wait is not None and number % _TELL_EACH == 0:
                    on_wait(0)
            shelf.describe()
            for group in shelf.groups(size):
                yield _joined(group)
        except sqlite3.Error as error:
            raise StoppedError(
                f"cannot store chunks in a temporary file until others of their subject come"
                f" ({error}): set TMPDIR to a folder with free space"
            ) from None


def distinctive_terms(chunk: Chunk) -> Mapping[str, int]:
    """Return the stems of a chunk's content words, with their weights regardless of rarity."""
    language = primary(chunk.language)
    prepared = prepare(chunk.text, language)
    listed = prepared.content if prepared.spaceless else prepared.stems
    counts = {term: min(times, _MOST_TIMES) for term, times in Counter(listed).items()}
    heads = prepare(" ".join((chunk.title or "", *chunk.section)), language).content
    for term in heads & counts.keys():
        counts[term] *= 2
    return counts


class _Shelf:
    """Chunks that wait for a unit, and their terms."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        # number of chunks that contain a term, by its bucket
        self._holders = array("I", bytes(4 * _BUCKETS))
        self._count = 0

    def put(self, chunk: Chunk) -> None:
        row = (bytes.fromhex(chunk.id), chunk.document_id, _pack(chunk))
        self._database.execute(_PUT, row)

    def describe(self) -> None:
        """Determine each chunk's distinctive terms, once all chunks are stored."""
        for chunk in self._all():
            self._count += 1
            for term in distinctive_terms(chunk):
                self._holders[_number(term) % _BUCKETS] += 1
        for chunk in self._all():
            name, weights = bytes.fromhex(chunk.id), self._weighed(distinctive_terms(chunk))
            shared = {
                term: weight
                for term, weight in weights.items()
                if self._holders[term % _BUCKETS] > 1
            }
            if len(shared) >= _LEAST_SHARED:
                self._database.execute("INSERT INTO free VALUES (?, ?)", (name, _pack(weights)))
                self._database.executemany(
                    "INSERT INTO terms VALUES (?, ?, ?)",
                    [(term, name, weight) for term, weight in shared.items()],
                )

    def groups(self, size: int) -> Iterator[list[Chunk]]:
        """Yield groups of related chunks; independent of the order in which they were added."""
        at = b""
        while (row := self._database.execute(_NEXT, (at,)).fetchone()) is not None:
            at, weights = row[0], _weights(row[1])
            group = self._near(at, weights, size)
            if len(group) > 1:
                for name in (at, *group[1:]):
                    self._take(name)
                yield [self._chunk(name) for name in group]

    def _near(self, name: bytes, weights: Weights, size: int) -> list[bytes]:
        """Return the chunk and the nearest free ones, nearest first, each of another document."""
        near: Counter[bytes] = Counter()
        shared: Counter[bytes] = Counter()
        for term, weight in weights.items():
            for other, its in self._database.execute(_SHARING, (term, name, _LOOKED_AT)):
                near[other] += min(weight, its)
                shared[other] += 1
        found = [(-score, other) for other, score in near.items() if score >= _LEAST_NEAR]
        found = sorted(it for it in found if shared[it[1]] >= _LEAST_SHARED)[:_CANDIDATES]
        group, kept = [name], [weights]
        documents = {self._document(name)}
        for _, other in found:
            if len(group) == size:
                break
            its, document = self._terms(other), self._document(other)
            if document not in documents and all(_nearness(its, one) < _COPY for one in kept):
                group.append(other)
                kept.append(its)
                documents.add(document)
        return group

    def _take(self, name: bytes) -> None:
        self._database.executemany(
            "DELETE FROM terms WHERE term = ? AND id = ?",
            [(term, name) for term in self._terms(name)],
        )
        self._database.execute("DELETE FROM free WHERE id = ?", (name,))

    def _all(self) -> Iterator[Chunk]:
        with closing(self._database.execute("SELECT packed FROM chunks")) as rows:
            for (packed,) in rows:
                yield _unpack(packed)

    def _chunk(self, name: bytes) -> Chunk:
        row = self._database.execute("SELECT packed FROM chunks WHERE id = ?", (name,)).fetchone()
        return _unpack(row[0])

    def _document(self, name: bytes) -> str:
        row = self._database.execute("SELECT document FROM chunks WHERE id = ?", (name,)).fetchone()
        return str(row[0])

    def _terms(self, name: bytes) -> Weights:
        row = self._database.execute("SELECT terms FROM free WHERE id = ?", (name,)).fetchone()
        return _weights(row[0])

    def _weighed(self, counts: Mapping[str, int]) -> Weights:
        """Return the most distinctive terms, as numbers, with weights that add up to ``_WHOLE``."""
        raw = {}
        for term, count in counts.items():
            number = _number(term)
            holders = max(1, self._holders[number % _BUCKETS])
            # halvings of the corpus, so that a few more documents change little
            raw[number] = count * (self._count // holders).bit_length()
        best = sorted(raw.items(), key=lambda item: (-item[1], item[0]))[:_TERMS]
        whole = sum(weight for _, weight in best) or 1
        return {term: _WHOLE * weight // whole for term, weight in best}


def _nearness(one: Weights, other: Weights) -> int:
    return sum(min(weight, other[term]) for term, weight in one.items() if term in other)


@lru_cache(maxsize=65_536)
def _number(term: str) -> int:
    """Map a term to an integer that SQLite can store."""
    name = blake2b(term.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(name, "big") >> 1


def _joined(chunks: list[Chunk]) -> Chunk:
    """Join several chunks into one, with the place, title and section of the first."""
    first, *others = chunks
    text, starts = first.text, []
    for chunk in others:
        starts.append(len(text) + 2)
        text = f"{text}\n\n{chunk.text}"
    return Chunk(
        id=digest(text),
        text=text,
        document_id=first.document_id,
        start=first.start,
        end=first.end,
        source=first.source,
        index=first.index,
        section=first.section,
        title=first.title,
        author=_common(chunk.author for chunk in chunks),
        url=first.url,
        language=_common(chunk.language for chunk in chunks),
        parts=tuple(starts),
        date=_common(chunk.date for chunk in chunks),
        preceding=first.preceding,
        license=_all_of(chunk.license for chunk in chunks),
        origins=tuple(
            PartOrigin(chunk.document_id, chunk.source, chunk.title, chunk.url) for chunk in others
        ),
    )


def _all_of(licenses: Iterable[str | None]) -> str | None:
    """Combine licences into one that requires all of them; None if one is unknown."""
    found = list(dict.fromkeys(licenses))
    return None if None in found else " AND ".join(filter(None, found))


def _common(values: Iterable[str | None]) -> str | None:
    found = set(values)
    return found.pop() if len(found) == 1 else None
