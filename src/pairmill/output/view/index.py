"""Index of a dataset: place of each pair, with the keys for filtering, sorting and searching.

An SQLite file in a private folder of its own, written by one process and read by another while it
grows. Shards stay where they are: of a pair in a file of lines only its place is kept.
"""

from __future__ import annotations

import re
import sqlite3
import threading
import unicodedata
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from pairmill.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pairmill.output.marks.overlay import Mark

__all__ = ["MARKS", "RATINGS", "SORTS", "STATES", "Filter", "Found", "Index", "create", "spaced"]

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -131072;
PRAGMA wal_autocheckpoint = 8000;
CREATE TABLE pair (
    number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT, is_reject INTEGER, shard INTEGER,
    line INTEGER, offset INTEGER, length INTEGER, body BLOB, chunk_id TEXT, badness REAL,
    grounding REAL, support REAL, score REAL, words INTEGER, reason TEXT, source TEXT, kind TEXT,
    language TEXT, has_finding INTEGER, can_rescue INTEGER DEFAULT 0
);
CREATE INDEX pair_key ON pair (key);
CREATE INDEX pair_line ON pair (shard, line);
CREATE INDEX pair_badness ON pair (badness DESC, number);
CREATE INDEX pair_grounding ON pair (ifnull(grounding, 2), number);
CREATE INDEX pair_support ON pair (ifnull(support, 2), number);
CREATE INDEX pair_score ON pair (ifnull(score, 9), number);
CREATE INDEX pair_words ON pair (words, number);
CREATE INDEX pair_source ON pair (source);
CREATE INDEX pair_chunk ON pair (chunk_id);
CREATE TABLE named (
    name TEXT, number INTEGER, is_own INTEGER, PRIMARY KEY (name, number)
) WITHOUT ROWID;
CREATE INDEX named_number ON named (number);
CREATE TABLE found (number INTEGER, check_name TEXT, detail TEXT, weight INTEGER);
CREATE INDEX found_number ON found (number);
CREATE TABLE untold (number INTEGER PRIMARY KEY, said TEXT);
CREATE TABLE shard (id INTEGER PRIMARY KEY, name TEXT UNIQUE, path TEXT);
CREATE TABLE chunk (id TEXT PRIMARY KEY, body BLOB, author TEXT) WITHOUT ROWID;
CREATE INDEX chunk_author ON chunk (author);
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;
CREATE VIRTUAL TABLE fts USING fts5(
    text, content='', tokenize="unicode61 remove_diacritics 2"
);
INSERT INTO fts(fts, rank) VALUES ('hashsize', 16777216);
"""
_MARK_TABLE = """
CREATE TEMP TABLE mark (
    key TEXT PRIMARY KEY, decision TEXT, is_edited INTEGER, is_noted INTEGER
) WITHOUT ROWID;
"""
SORTS = {
    "worst": "badness DESC, number",
    "grounding": "ifnull(grounding, 2), number",
    "support": "ifnull(support, 2), number",
    "score": "ifnull(score, 9), number",
    "long": "words DESC, number DESC",
    "short": "words, number",
    "order": "number",
    "newest": "number DESC",
}
"""Names of orders, each with its terms."""
STATES = {
    "": "",
    "kept": "is_reject = 0",
    "flagged": "is_reject = 0 AND has_finding = 1",
    "rejected": "is_reject = 1",
}
RATINGS = {
    "": "",
    "low": "score < 3",
    "middle": "score >= 3 AND score < 4",
    "high": "score >= 4",
    "none": "score IS NULL AND is_reject = 0",
}
MARKS = {
    "": "",
    "none": "is_reject = 0 AND key NOT IN (SELECT key FROM mark WHERE decision != '')",
    "accepted": "key IN (SELECT key FROM mark WHERE decision = 'accepted')",
    "rejected": "key IN (SELECT key FROM mark WHERE decision = 'rejected')",
    "edited": "key IN (SELECT key FROM mark WHERE is_edited)",
    "noted": "key IN (SELECT key FROM mark WHERE is_noted)",
}
_PLACES = (
    "SELECT number, key, is_reject, path, line, offset, length, body, chunk_id, language, badness"
    " FROM pair JOIN shard ON shard.id = shard"
)
_WORD = re.compile(r"\w+")
# Scripts without spaces between words: each character is a word of its own.
_DENSE = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])"
)
_MOST_WORDS = 16


@dataclass(frozen=True, slots=True)
class Filter:
    """Filter of pairs; "" for any.

    Attributes:
        search: Words, each of which begins a word of the pair.
        upto: Only pairs up to this number, so that two questions are about the same; None: all.
    """

    search: str = ""
    state: str = ""
    finding: str = ""
    source: str = ""
    kind: str = ""
    language: str = ""
    author: str = ""
    rating: str = ""
    mark: str = ""
    upto: int | None = None

    def describe(self) -> str:
        """For people, and for the file of marks."""
        names = self.__dataclass_fields__
        given = [(name, getattr(self, name)) for name in names if name != "upto"]
        return ", ".join(f"{name}: {value}" for name, value in given if value)


@dataclass(frozen=True, slots=True)
class Found:
    """Place of one pair, and its index entry."""

    number: int
    key: str
    is_reject: bool
    path: str
    line: int
    offset: int
    length: int
    body: bytes | None
    chunk_id: str
    language: str | None
    badness: float


def create(path: Path) -> sqlite3.Connection:
    """Create a new, empty index, for the process that fills it.

    Raises:
        UsageError: This Python's SQLite cannot search.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.executescript(_SCHEMA)
    except sqlite3.OperationalError as error:
        if "fts5" not in str(error):
            raise
        raise UsageError("view needs a Python whose SQLite has full-text search (FTS5)") from None
    return connection


def spaced(text: str) -> str:
    """Prepare a text for the index: with spaces between characters that are words of their own."""
    return _DENSE.sub(r" \1 ", unicodedata.normalize("NFKC", text))


class Index:
    """Reads an index, from any thread, with the marks beside it."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False,
            isolation_level=None,
        )  # fmt: skip
        self._database.executescript("PRAGMA temp_store = MEMORY; PRAGMA cache_size = -65536;")
        self._database.executescript(_MARK_TABLE)

    def close(self) -> None:
        """Give the connection back."""
        with self._lock:
            self._database.close()

    def set_marks(self, marks: Iterable[tuple[str, Mark]], *, afresh: bool = False) -> None:
        """Take in marks that are new; all there are, if ``afresh``."""
        rows = [(key, m.decision, bool(m.edits), bool(m.note)) for key, m in marks]
        with self._lock:
            self._database.execute("BEGIN")
            if afresh:
                self._database.execute("DELETE FROM mark")
            self._database.executemany("INSERT OR REPLACE INTO mark VALUES (?, ?, ?, ?)", rows)
            self._database.execute("COMMIT")

    def progress(self) -> dict[str, Any]:
        """Return the last report of the process that fills it."""
        rows = self._ask("SELECT value FROM meta WHERE name = 'progress'")
        return orjson.loads(rows[0][0]) if rows else {}

    def last_number(self) -> int:
        """Return the number of the newest pair."""
        return int(self._ask("SELECT ifnull(max(number), 0) FROM pair")[0][0])

    def count(self, wanted: Filter) -> int:
        """Count the pairs that pass."""
        where, values = _where(wanted)
        return int(self._ask(f"SELECT count(*) FROM pair WHERE {where}", values)[0][0])  # noqa: S608

    def page(self, wanted: Filter, sort: str, offset: int, limit: int) -> tuple[int, list[Found]]:
        """Count the pairs that pass, and return some of them in order."""
        if wanted.search.strip():
            total, numbers = self._search(wanted, sort, offset, limit)
        else:
            where, values = _where(wanted)
            query = (
                f"SELECT number FROM pair WHERE {where}"  # noqa: S608 (our terms)
                f" ORDER BY {SORTS[sort]} LIMIT ? OFFSET ?"
            )
            numbers = [row[0] for row in self._ask(query, [*values, limit, offset])]
            total = self.count(wanted)
        found = {item.number: item for item in self.find(numbers)}
        return total, [found[number] for number in numbers if number in found]

    def _search(self, wanted: Filter, sort: str, offset: int, limit: int) -> tuple[int, list[int]]:
        """Do the same for words: matches are looked up once, for the count and the page."""
        where, values = _where(replace(wanted, search=""))
        hits = (
            "SELECT number, badness, grounding, support, score, words FROM fts"  # noqa: S608 (our terms)
            f" CROSS JOIN pair ON pair.number = fts.rowid WHERE fts MATCH ? AND {where}"
        )
        query = (
            f"WITH hit AS MATERIALIZED ({hits}) SELECT number, (SELECT count(*) FROM hit)"  # noqa: S608
            f" FROM hit ORDER BY {SORTS[sort]} LIMIT ? OFFSET ?"
        )
        rows = self._ask(query, [_match(wanted.search), *values, limit, offset])
        total = rows[0][1] if rows else (self.count(wanted) if offset else 0)
        return total, [row[0] for row in rows]

    def keys(self, wanted: Filter) -> list[str]:
        """Return the keys of all pairs that pass and that can be decided about.

        What the run dropped is only among them where nothing else is wanted: a decision on all of a
        mixed list is about the dataset's pairs.
        """
        where, values = _where_decidable(wanted)
        query = f"SELECT key FROM pair WHERE {where} ORDER BY number"  # noqa: S608
        return [row[0] for row in self._ask(query, values)]

    def count_decidable(self, wanted: Filter) -> int:
        """Count the passing pairs that a decision on all of them applies to; see `keys`."""
        where, values = _where_decidable(wanted)
        return int(self._ask(f"SELECT count(*) FROM pair WHERE {where}", values)[0][0])  # noqa: S608

    def find(self, numbers: Sequence[int]) -> list[Found]:
        """Pairs by their numbers; those that are not there are left out."""
        found: list[Found] = []
        for start in range(0, len(numbers), 500):
            part = numbers[start : start + 500]
            marks = ", ".join("?" * len(part))
            rows = self._ask(f"{_PLACES} WHERE number IN ({marks})", part)
            found += [Found(row[0], row[1], bool(row[2]), *row[3:]) for row in rows]
        return found

    def findings(self, number: int) -> list[tuple[str, str, int]]:
        """Return the findings of ``qc`` in a pair."""
        query = "SELECT check_name, detail, weight FROM found WHERE number = ? ORDER BY rowid"
        return self._ask(query, [number])

    def chunk(self, chunk_id: str) -> dict[str, Any] | None:
        """Return the text that pairs were written from, with its metadata; None while unknown."""
        rows = self._ask("SELECT body FROM chunk WHERE id = ?", [chunk_id])
        return orjson.loads(zlib.decompress(rows[0][0])) if rows else None

    def _ask(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._lock:
            return self._database.execute(query, values).fetchall()


def _where(wanted: Filter) -> tuple[str, list[Any]]:
    """Build the condition, and its values in order: no user's text is part of the condition."""
    terms = [STATES[wanted.state], RATINGS[wanted.rating], MARKS[wanted.mark]]
    values: list[Any] = []

    def add(term: str, value: object) -> None:
        terms.append(term)
        values.append(value)

    if wanted.search.strip():
        add("number IN (SELECT rowid FROM fts WHERE fts MATCH ?)", _match(wanted.search))
    if wanted.finding:
        add("number IN (SELECT number FROM named WHERE name = ?)", wanted.finding)
    if wanted.author:
        add("chunk_id IN (SELECT id FROM chunk WHERE author = ?)", wanted.author)
    for name in ("source", "kind", "language"):
        if getattr(wanted, name):
            add(f"{name} = ?", getattr(wanted, name))
    if wanted.upto is not None:
        add("number <= ?", wanted.upto)
    return " AND ".join(term for term in terms if term) or "1", values


def _where_decidable(wanted: Filter) -> tuple[str, list[Any]]:
    where, values = _where(wanted)
    kind = "can_rescue = 1" if wanted.state == "rejected" else "is_reject = 0"
    return f"{kind} AND {where}", values


def _match(search: str) -> str:
    """Build an FTS5 query: words match by prefix; in dense scripts, consecutive characters."""
    terms = []
    for word in _WORD.findall(unicodedata.normalize("NFKC", search))[:_MOST_WORDS]:
        parts = spaced(word).split()
        is_dense = bool(_DENSE.search(word))
        terms.append(f'"{" ".join(parts)}"' + ("" if is_dense else "*"))
    return " AND ".join(terms) or '""'
