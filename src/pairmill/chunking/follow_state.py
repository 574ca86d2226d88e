"""Memory of a followed input: ``.run/follow.db``.

The position in each file is stored under a *mark*. A mark is settled once every unit that was read
before it has ended: the run records that in ``.run/follow.mark``. A later start continues from the
settled mark and reads the rest again; such text is known to be repeated (`is_again`), so that it
does not restore an article's former version.

It also stores which chunks each article contains. When an article's text changes, its former chunks
are superseded, unless another article contains them.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Self

from pairmill.chunking.intake_file import database_fault
from pairmill.records import digest
from pairmill.sources.notes import InputFate
from pairmill.store.counts import InputCounts
from pairmill.store.superseded import SupersededLog

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from types import TracebackType

    from pairmill.errors import PairmillError
    from pairmill.records import ArticleVersion
    from pairmill.sources.notes import Note

__all__ = [
    "MARK_FILE",
    "FilePosition",
    "FollowState",
    "article_name",
    "followed_counts",
    "read_mark",
]

MARK_FILE = "follow.mark"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS files(
  path BLOB PRIMARY KEY, stamp TEXT, offset INTEGER, lines INTEGER, seal TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pending(
  path BLOB, mark INTEGER, stamp TEXT, offset INTEGER, lines INTEGER, seal TEXT,
  PRIMARY KEY(path, mark)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS again(path BLOB PRIMARY KEY, stamp TEXT, offset INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counts(
  mark INTEGER, name TEXT, value INTEGER, PRIMARY KEY(mark, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS holds(
  chunk BLOB, article BLOB, reading INTEGER, PRIMARY KEY(chunk, article)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS held ON holds(article, reading);
CREATE TABLE IF NOT EXISTS gone(chunk BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS last(name TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID;
"""
_CACHE_KIB = 16_384
_READ, _DROPPED, _SKIPPED = "read", "dropped", "skipped "
_REPEATED_CHUNKS, _REPEATED_CHARS = "repeated chunks", "repeated chars"


class FilePosition(NamedTuple):
    """Position up to which a file was read.

    Attributes:
        stamp: Identifies its state if it is read as a whole: size, time and inode.
        offset: Bytes read so far, if it grows by lines.
        lines: Line ends among them.
        seal: Digest of the content before the offset, to recognize the file.
    """

    stamp: str = ""
    offset: int = 0
    lines: int = 0
    seal: str = ""


class FollowState:
    """Memory of a followed input. Use it in ``with``, in one process at a time."""

    def __init__(self, folder: Path) -> None:
        """Open the memory of a run folder, and continue from the mark that its last start settled.

        Raises:
            InputError: It is damaged.
            StoppedError: The disk fails.
            StorageError: Likewise.
        """
        state = folder / ".run"
        self._path = state / "follow.db"
        self._mark_file = state / MARK_FILE
        self._notes: Counter[str] = Counter()
        self._changes: dict[bytes, bool] = {}
        self._sweeps: list[ArticleVersion] = []
        try:
            self._connection = sqlite3.connect(
                str(self._path.absolute()), isolation_level=None, check_same_thread=False
            )
            self._prepare()
        except sqlite3.Error as error:
            raise self._fault(error) from None
        self._log = SupersededLog(folder)

    def _prepare(self) -> None:
        run = self._connection.execute
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = NORMAL")
        run(f"PRAGMA cache_size = -{_CACHE_KIB}")
        run("PRAGMA temp_store = FILE")
        self._connection.executescript(_SCHEMA)
        run("BEGIN")
        settled = read_mark(self._mark_file)
        self._settle(settled)
        (last,) = run("SELECT MAX(mark) FROM pending").fetchone()
        self.mark = max(settled, last or 0, self._last("mark"))
        self.reading = self._last("reading")
        run("DELETE FROM again")
        run(
            "INSERT INTO again SELECT path, stamp, offset FROM pending"
            " WHERE true ORDER BY mark ON CONFLICT(path) DO UPDATE SET stamp = excluded.stamp,"
            " offset = MAX(again.offset, excluded.offset)"
        )
        run("DELETE FROM pending")
        run("DELETE FROM counts WHERE mark > 0")
        run("COMMIT")
        run("BEGIN")

    # Files

    def position(self, path: bytes) -> FilePosition | None:
        """Return the position up to which a file was read; None if it never was."""
        row = self._one(
            "SELECT stamp, offset, lines, seal FROM pending WHERE path = ?"
            " ORDER BY mark DESC LIMIT 1",
            path,
        ) or self._one("SELECT stamp, offset, lines, seal FROM files WHERE path = ?", path)
        return FilePosition(*row) if row else None  # type: ignore[arg-type]

    def is_settled(self, path: bytes, offset: int) -> bool:
        """Return whether all units of the first ``offset`` bytes of a file have ended."""
        row = self._one("SELECT offset FROM files WHERE path = ?", path)
        return row is not None and int(str(row[0])) >= offset

    def is_again(self, path: bytes, stamp: str) -> bool:
        """Return whether a file, in its current state, was read completely before."""
        row = self._one("SELECT stamp FROM again WHERE path = ?", path)
        return bool(row and row[0] == stamp)

    def again_until(self, path: bytes) -> int:
        """Return the end of the part of a growing file that was read before; 0 if none was."""
        row = self._one("SELECT offset FROM again WHERE path = ?", path)
        return int(str(row[0])) if row else 0

    def forget(self, path: bytes) -> None:
        """Forget a file that is gone for good."""
        self._run("DELETE FROM files WHERE path = ?", path)

    # Articles

    def next_reading(self) -> int:
        """Number one more reading of a file."""
        self.reading += 1
        return self.reading

    def note(self, version: ArticleVersion, chunks: Iterable[str]) -> None:
        """Record chunks of a version of an article.

        Args:
            version: Version of the article; if it is not ``is_whole``, more chunks may follow,
                until `sweep`.
            chunks: Their ids.
        """
        article = bytes.fromhex(version.article)
        for chunk in map(bytes.fromhex, chunks):
            self._run(
                "INSERT INTO holds VALUES (?, ?, ?) ON CONFLICT(chunk, article)"
                " DO UPDATE SET reading = excluded.reading",
                chunk,
                article,
                version.reading,
            )
            if self._is_gone(chunk):
                self._change(chunk, is_gone=False)
        if version.is_whole:
            self._sweep(version)

    def sweep(self, version: ArticleVersion) -> None:
        """Supersede, at the next commit, chunks that only earlier versions contain."""
        self._sweeps.append(version)

    def _sweep(self, version: ArticleVersion) -> None:
        article = bytes.fromhex(version.article)
        has_any = self._one(
            "SELECT 1 FROM holds WHERE article = ? AND reading = ? LIMIT 1",
            article,
            version.reading,
        )
        if not has_any:
            return  # it no longer makes a chunk: its former chunks are kept
        while True:
            old = self._connection.execute(
                "SELECT chunk FROM holds WHERE article = ? AND reading < ? LIMIT 1000",
                (article, version.reading),
            ).fetchall()
            for (chunk,) in old:
                self._run("DELETE FROM holds WHERE chunk = ? AND article = ?", chunk, article)
                if not self._one("SELECT 1 FROM holds WHERE chunk = ? LIMIT 1", chunk):
                    self._change(chunk, is_gone=True)
            if not old:
                return

    def _is_gone(self, chunk: bytes) -> bool:
        return self._one("SELECT 1 FROM gone WHERE chunk = ?", chunk) is not None

    def _change(self, chunk: bytes, *, is_gone: bool) -> None:
        if is_gone:
            self._run("INSERT OR IGNORE INTO gone VALUES (?)", chunk)
        else:
            self._run("DELETE FROM gone WHERE chunk = ?", chunk)
        self._changes[chunk] = is_gone

    # Counts

    def watch(self, note: Note) -> None:
        """Count a note; see `pairmill.sources.notes`."""
        if note.fate is InputFate.READ:
            self._notes[_READ] += 1
            return
        if note.fate is InputFate.NOTICE:
            return
        self._notes[_REPEATED_CHUNKS] += note.chunks
        self._notes[_REPEATED_CHARS] += note.chars
        if note.fate is not InputFate.REPEATED:
            self._notes[f"{_SKIPPED}{note.reason.partition(':')[0]}"] += 1
            self._notes[_DROPPED] += note.fate is InputFate.DROPPED

    def counted(self) -> Counter[str]:
        """Return the settled counts of earlier starts: see ``InputCounts``."""
        rows = self._connection.execute("SELECT name, value FROM counts WHERE mark = 0").fetchall()
        return Counter(dict(rows))

    # Marks

    def commit(self, mark: int, positions: Mapping[bytes, FilePosition]) -> None:
        """Store durably what was read up to a mark.

        Args:
            mark: Higher than all earlier ones; 0: there is none, and counts wait for the next.
            positions: Positions up to which files were read.

        Raises:
            StorageError: The disk fails; nothing is lost, but it must be read again.
            StoppedError: Likewise.
        """
        try:
            for version in self._sweeps:
                self._sweep(version)
            self._sweeps.clear()
            self._log.append((chunk.hex(), gone) for chunk, gone in self._changes.items())
            self._changes.clear()
            if mark > 0:
                self._connection.executemany(
                    "INSERT OR REPLACE INTO pending VALUES (?, ?, ?, ?, ?, ?)",
                    [(path, mark, *position) for path, position in positions.items()],
                )
                self._connection.executemany(
                    "INSERT INTO counts VALUES (?, ?, ?)",
                    [(mark, name, value) for name, value in self._notes.items() if value],
                )
                self._notes.clear()
                self._note_last("mark", mark)
            self._note_last("reading", self.reading)
            self._settle(read_mark(self._mark_file))
            self._connection.execute("COMMIT")
            self._connection.execute("BEGIN")
        except sqlite3.Error as error:
            raise self._fault(error) from None

    def _settle(self, mark: int) -> None:
        run = self._connection.execute
        if run("SELECT 1 FROM counts WHERE mark BETWEEN 1 AND ? LIMIT 1", (mark,)).fetchone():
            run(
                "INSERT INTO counts SELECT 0, name, SUM(value) FROM counts"
                " WHERE mark BETWEEN 1 AND ? GROUP BY name"
                " ON CONFLICT(mark, name) DO UPDATE SET value = value + excluded.value",
                (mark,),
            )
            run("DELETE FROM counts WHERE mark BETWEEN 1 AND ?", (mark,))
        if run("SELECT 1 FROM pending WHERE mark <= ? LIMIT 1", (mark,)).fetchone():
            run(
                "INSERT OR REPLACE INTO files SELECT path, stamp, offset, lines, seal"
                " FROM pending WHERE mark <= ? ORDER BY mark",
                (mark,),
            )
            run("DELETE FROM pending WHERE mark <= ?", (mark,))

    def _last(self, name: str) -> int:
        row = self._one("SELECT value FROM last WHERE name = ?", name)
        return int(str(row[0])) if row else 0

    def _note_last(self, name: str, value: int) -> None:
        self._run("INSERT OR REPLACE INTO last VALUES (?, ?)", name, value)

    def _run(self, statement: str, *values: object) -> None:
        try:
            self._connection.execute(statement, values)
        except sqlite3.Error as error:
            raise self._fault(error) from None

    def _one(self, query: str, *values: object) -> tuple[object, ...] | None:
        try:
            row: tuple[object, ...] | None = self._connection.execute(query, values).fetchone()
        except sqlite3.Error as error:
            raise self._fault(error) from None
        return row

    def _fault(self, error: sqlite3.Error) -> PairmillError:
        advice = (
            "holds how far the input was read and may be deleted: the input is then read from its"
            " beginning, and nothing is paid for twice"
        )
        return database_fault(self._path, error, advice)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(sqlite3.Error):
            self._connection.execute("ROLLBACK")
        self._connection.close()
        self._log.close()


def followed_counts(folder: Path) -> InputCounts:
    """Return the settled counts of the input that a run folder follows.

    Raises:
        PairmillError: It cannot be read; see `FollowState`.
    """
    with FollowState(folder) as state:
        found = state.counted()
    skipped = {
        name.removeprefix(_SKIPPED): count
        for name, count in found.items()
        if name.startswith(_SKIPPED)
    }
    return InputCounts(
        read=found[_READ],
        skipped=skipped,
        dropped=found[_DROPPED],
        repeated_chunks=found[_REPEATED_CHUNKS],
        repeated_chars=found[_REPEATED_CHARS],
    )


def read_mark(path: Path) -> int:
    """Return the last settled mark; 0 if there is none."""
    try:
        return int(path.read_bytes())
    except (OSError, ValueError):
        return 0


def article_name(kind: str, name: str) -> str:
    """Return an article's identity: its URL, its id, or its file."""
    return digest(kind, name)
