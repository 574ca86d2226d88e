"""Fills the index, in its own process: first all present rows, then rows added later.

Shards of a run grow and are published under a new path; what was read of one is known by its last
line, so that one that was cut back and written again is read again.
"""

from __future__ import annotations

import sqlite3
import time
import zlib
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from pairmill.chunking.reader import read_chunks
from pairmill.errors import PairmillError
from pairmill.output.marks.overlay import Marks, RecordMarks, reject_key
from pairmill.output.marks.rescue import row_of_reject
from pairmill.output.qc.read import data_files, records_of
from pairmill.output.qc.record_formats import Fields, PairRow, read_record
from pairmill.output.report.pairs import badness_of, rows_words
from pairmill.output.rows import Place, mean_score, open_shards, published_shards, turns_of
from pairmill.output.source_texts import find_inputs
from pairmill.output.view.index import create, spaced
from pairmill.output.view.place import is_lines
from pairmill.quality.language import identify
from pairmill.store.folder import read_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pairmill.output.rows import Row
    from pairmill.output.view.place import ViewJob
    from pairmill.records import Chunk

__all__ = ["INDEX", "JUDGED", "READY", "index_forever"]

INDEX, READY = "index.db", "index.ready"
JUDGED = "judged.json"
_POLL_S = 0.5
_SLICE_S = 0.25  # of work on one thing before the others get their turn
_FIRST, _BATCH = 50, 1_000
_MOST_FACETS = 200
_SAID_CHARS = 240  # of an answer, by which its language is told
_TEXT_CHARS = 100_000  # of a pair, that can be searched
_NAME_CHARS = 200
_SETTLE_S = 2.0  # after a change of a foreign file, before it is read again
_REJECT_BADNESS = 0.5
_FACETS = ("finding", "reason", "source", "kind", "language", "author")
_USUAL = Fields()


@dataclass(slots=True)
class _Shard:
    """How far one file of lines was read."""

    id: int
    path: Path
    read_to: int = 0
    line: int = 0
    last: bytes = b""


class Indexer:
    """Fills the index of one dataset."""

    def __init__(self, job: ViewJob) -> None:
        self._job = job
        self._path = Path(job.path)
        self._scratch = Path(job.scratch)
        self._database = create(self._scratch / INDEX)
        self._shards: dict[str, _Shard] = {}
        self._keys = RecordMarks(Marks())
        self._facets: dict[str, Counter[str]] = {name: Counter() for name in _FACETS}
        self._pairs = self._rejects = self._damaged = 0
        self._bytes = [0, 0]
        self._is_done = False
        self._problem = ""
        self._signature: Any = None
        self._pending: Any = None
        self._changed_at = 0.0
        self._chunks: Iterator[Chunk] | None = None
        self._chunk_note = ""
        self._judged_at = 0.0
        self._judged: dict[tuple[str, int], list[tuple[str, str, int]]] = {}
        self._told = b""
        self._tell()
        (self._scratch / READY).touch()

    def run(self) -> None:
        """Run until the process is ended."""
        if self._job.is_run:
            self._open_chunks()
        while True:
            try:
                is_busy = self._look()
                is_busy |= self._tell_languages()
                is_busy |= self._take_chunks()
                is_busy |= self._take_findings()
                self._problem = ""
            except (OSError, PairmillError, sqlite3.Error) as error:
                self._problem = str(error) or type(error).__name__
                is_busy = False
            with suppress(sqlite3.Error):  # a full disk: told once there is room
                self._tell()
            if not is_busy:
                time.sleep(_POLL_S)

    def _look(self) -> bool:
        """Read new lines; return True if there is more."""
        return self._look_at_run() if self._job.is_run else self._look_at_files()

    # A run folder

    def _look_at_run(self) -> bool:
        if not self._path.is_dir():
            raise PairmillError(f"{self._path}: the folder is gone")
        files: dict[str, Path] = {}
        for kind in ("train", "rejected"):
            for path in (*open_shards(self._path, kind), *published_shards(self._path, kind)):
                files[path.name] = path
        self._bytes[1] = sum(_size(path) for path in files.values())
        started = time.monotonic()
        is_busy = False
        for name in sorted(files, key=lambda name: (name.startswith("rejected"), name)):
            shard = self._shard(name, files[name])
            while self._read_on(shard):
                if time.monotonic() - started > _SLICE_S:
                    is_busy = True
                    break
        self._bytes[0] = sum(shard.read_to for shard in self._shards.values())
        self._is_done |= not is_busy
        return is_busy

    def _shard(self, name: str, path: Path) -> _Shard:
        shard = self._shards.get(name)
        if shard is None:
            shard = self._shards[name] = _Shard(len(self._shards), path)
            self._database.execute(
                "INSERT INTO shard VALUES (?, ?, ?)", (shard.id, name, str(path))
            )
        elif shard.path != path:
            shard.path = path
            self._database.execute("UPDATE shard SET path = ? WHERE id = ?", (str(path), shard.id))
        return shard

    def _read_on(self, shard: _Shard) -> bool:
        """Index some more lines; return True if there may be more."""
        size = _size(shard.path)
        if shard.read_to and (size < shard.read_to or not _still_ends(shard)):
            self._forget(shard)
        if size <= shard.read_to:
            return False
        batch = _FIRST if not self._pairs else _BATCH
        before = (shard.read_to, shard.line, shard.last), (self._pairs, self._rejects)
        try:
            return self._take_lines(shard, batch)
        except sqlite3.Error as error:
            (shard.read_to, shard.line, shard.last), (self._pairs, self._rejects) = before
            raise PairmillError(f"the index cannot be written: {error}") from None

    def _take_lines(self, shard: _Shard, batch: int) -> bool:
        taken = 0
        with shard.path.open("rb") as file, self._transaction():
            file.seek(shard.read_to)
            for data in islice(file, batch):
                is_whole = data.endswith(b"\n") or not self._job.is_run
                if not is_whole:
                    return False  # torn, or being written
                shard.line += 1
                if not data.isspace():
                    self._take_line(shard, data)
                shard.read_to += len(data)
                shard.last = data
                taken += 1
        return taken == batch

    def _forget(self, shard: _Shard) -> None:
        """Take out everything of a file that was cut back or replaced."""
        with self._transaction():
            gone = "SELECT number FROM pair WHERE shard = ?"
            for table in ("named", "found", "untold"):
                query = f"DELETE FROM {table} WHERE number IN ({gone})"  # noqa: S608 (our names)
                self._database.execute(query, (shard.id,))
            rows = self._database.execute(
                "SELECT is_reject, count(*) FROM pair WHERE shard = ? GROUP BY 1", (shard.id,)
            ).fetchall()
            counts = dict(rows)
            self._pairs -= counts.get(0, 0)
            self._rejects -= counts.get(1, 0)
            self._database.execute("DELETE FROM pair WHERE shard = ?", (shard.id,))
        shard.read_to = shard.line = 0
        shard.last = b""

    def _take_line(self, shard: _Shard, data: bytes) -> None:
        place = (shard.id, shard.line, shard.read_to, len(data), None)
        try:
            value = orjson.loads(data)
            if not self._job.is_run:
                row = read_record(value, _USUAL, None, Place(str(shard.path), shard.line))
                key = self._keys.key(value)
                if row is None:
                    self._damaged += 1
                    return
                self._add_foreign(row, key, place)
            elif not isinstance(value, dict):
                self._damaged += 1
            elif shard.path.name.startswith("rejected"):
                self._add_reject(value, data, place)
            else:
                self._add_pair(value, place)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            self._damaged += 1

    def _add_pair(self, row: Row, place: tuple[Any, ...]) -> None:
        turns = turns_of(row) or [("text", str(row["answer"]))]
        said = " ".join(text for role, text in turns if role != "user")
        flags = [str(flag)[:_NAME_CHARS] for flag in row.get("flags") or ()]
        text = [row.get("title"), row.get("source"), row.get("id"), *(text for _, text in turns)]
        self._add(
            place,
            key=str(row["id"]),
            chunk_id=str(row.get("chunk_id")),
            badness=badness_of(row),
            grounding=_number(row.get("grounding")),
            support=_number(row.get("support")),
            score=mean_score(row),
            words=len(said.split()),
            source=_name(row.get("source")),
            kind=_name(row.get("kind")),
            text=text,
            said=said,
            names=flags,
        )
        self._pairs += 1

    def _add_reject(self, row: Row, data: bytes, place: tuple[Any, ...]) -> None:
        raw, reason = str(row.get("raw") or ""), _name(row.get("reason")) or "rejected"
        key = reject_key(data)
        pair = row_of_reject(row, key)
        self._add(
            place,
            key=key,
            is_reject=1,
            can_rescue=int(pair is not None),
            chunk_id=str(row.get("chunk_id")),
            badness=_REJECT_BADNESS,
            grounding=pair["grounding"] if pair else None,
            support=pair["support"] if pair else None,
            words=len(raw.split()),
            reason=reason,
            source=_name(row.get("source")),
            text=[row.get("source"), reason, row.get("detail"), row.get("id"), raw],
            names=[reason],
        )
        self._rejects += 1

    def _add_foreign(self, row: PairRow, key: str, place: tuple[Any, ...]) -> None:
        said = " ".join(text for _, text in row.exchanges)
        asked = [text for exchange in row.exchanges for text in exchange]
        self._add(
            place,
            key=key,
            badness=0.0,
            words=rows_words(row),
            source=_name(row.place.file.rpartition("/")[2]),
            kind=_name(row.task),
            text=[*asked, row.surroundings],
            said=said,
        )
        self._pairs += 1

    def _add(
        self,
        place: tuple[Any, ...],
        *,
        key: str,
        text: list[Any],
        said: str = "",
        names: list[str] | None = None,
        **columns: Any,
    ) -> None:
        columns |= {"key": key, "has_finding": int(bool(names))}
        columns.setdefault("is_reject", 0)
        columns |= dict(zip(("shard", "line", "offset", "length", "body"), place, strict=True))
        marks = ", ".join("?" * len(columns))
        query = f"INSERT INTO pair ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 (our names)
        number = self._database.execute(query, list(columns.values())).lastrowid
        for name in names or ():
            self._name(name, number, is_own=True)
        for facet in ("source", "kind", "reason"):
            if columns.get(facet):
                self._count(facet, columns[facet])
        body = spaced("\n".join(str(part) for part in text if part)[:_TEXT_CHARS])
        self._database.execute("INSERT INTO fts(rowid, text) VALUES (?, ?)", (number, body))
        if said:
            self._database.execute("INSERT INTO untold VALUES (?, ?)", (number, said[:_SAID_CHARS]))
        if self._judged and (found := self._judged.pop(self._place_of(place), None)):
            self._add_findings(number, found)

    def _name(self, name: str, number: int | None, *, is_own: bool = False) -> None:
        """Put a name to a pair: a flag or a reason of the data's own, or what the judge found."""
        done = self._database.execute(
            "INSERT OR IGNORE INTO named VALUES (?, ?, ?)", (name, number, is_own)
        )
        if done.rowcount:
            self._count("finding", name)

    def _count(self, facet: str, name: str) -> None:
        counts = self._facets[facet]
        if name in counts or len(counts) < 25 * _MOST_FACETS:
            counts[name] += 1

    # Any other dataset

    def _look_at_files(self) -> bool:
        files = data_files(self._path)
        signature = [(str(file), *_stamp(file)) for file in files]
        if signature == self._signature:
            self._is_done = True
            return False
        is_first = self._signature is None
        if not is_first and time.monotonic() - self._changed_at < _SETTLE_S:
            return False
        self._changed_at = time.monotonic()
        if not is_first and signature != self._pending:
            self._pending = signature
            return False  # perhaps still being written
        self._pending = signature
        self._read_afresh(files)
        self._signature = signature
        return True

    def _read_afresh(self, files: list[Path]) -> None:
        self._is_done = False
        self._keys = RecordMarks(Marks())
        self._damaged = 0
        for shard in self._shards.values():
            self._forget(shard)
        for counts in self._facets.values():
            counts.clear()
        self._bytes = [0, sum(_size(file) for file in files)]
        for file in files:
            shard = self._shard(str(file), file)
            if is_lines(file):
                while self._read_on(shard):
                    self._bytes[0] = sum(s.read_to for s in self._shards.values())
                    self._tell()
            else:
                self._read_records(shard, file)
            self._tell()

    def _read_records(self, shard: _Shard, file: Path) -> None:
        """Keep the records of a container that has no lines to go back to."""
        records = records_of(file)
        while batch := list(islice(records, _FIRST if not self._pairs else _BATCH)):
            with self._transaction():
                for record in batch:
                    self._take_record(shard, record.value, record.split, record.place)
            self._tell()
        shard.read_to = _size(file)

    def _take_record(self, shard: _Shard, value: Any, split: str | None, place: Place) -> None:
        row = read_record(value, _USUAL, split, place)
        key = self._keys.key(value)
        if row is None:
            self._damaged += 1
            return
        try:
            body = zlib.compress(orjson.dumps(value, default=str), 1)
        except TypeError:
            self._damaged += 1
            return
        self._add_foreign(row, key, (shard.id, place.line, 0, 0, body))

    # What takes longer

    def _tell_languages(self) -> bool:
        rows = self._database.execute("SELECT * FROM untold LIMIT 400").fetchall()
        if not rows or not self._is_done:
            return False
        started = time.monotonic()
        with self._transaction():
            for number, said in rows:
                language = identify(said) or ""
                self._database.execute(
                    "UPDATE pair SET language = ? WHERE number = ?", (language, number)
                )
                self._database.execute("DELETE FROM untold WHERE number = ?", (number,))
                if language:
                    self._count("language", language)
                if time.monotonic() - started > _SLICE_S:
                    break
        return True

    def _open_chunks(self) -> None:
        try:
            settings, self._chunk_note = find_inputs(
                read_folder(self._path), run_code=self._job.run_code
            )
            if settings is not None:
                self._chunks = iter(read_chunks(settings, lambda _note: None))
        except (OSError, ValueError, PairmillError) as error:
            self._chunk_note = str(error)

    def _take_chunks(self) -> bool:
        """Keep some more of the texts that pairs may have been written from."""
        if self._chunks is None or not self._is_done:
            return False
        started = time.monotonic()
        with self._transaction():
            while time.monotonic() - started < _SLICE_S:
                try:
                    chunk = next(self._chunks, None)
                except (OSError, ValueError, PairmillError) as error:
                    self._chunk_note, chunk = str(error), None
                if chunk is None:
                    self._chunks = None
                    return False
                body = zlib.compress(msgspec.json.encode(chunk), 1)
                author = _name(chunk.author)
                done = self._database.execute(
                    "INSERT OR IGNORE INTO chunk VALUES (?, ?, ?)", (chunk.id, body, author)
                )
                if author and done.rowcount:
                    self._count("author", author)
        return True

    def _take_findings(self) -> bool:
        """Put the findings of the judge beside their pairs; True where that was done."""
        file = self._scratch / JUDGED
        try:
            stamp = file.stat().st_mtime_ns
            if stamp == self._judged_at or not self._is_done:
                return False
            rows = orjson.loads(file.read_bytes())["findings"]
        except (OSError, ValueError, KeyError, TypeError):
            return False
        self._judged_at = stamp
        self._judged = {(path, line): found for path, line, found in rows}
        with self._transaction():
            self._clear_findings()
            for (path, line), found in list(self._judged.items()):
                shard = self._shards.get(Path(path).name if self._job.is_run else path)
                place = self._database.execute(
                    "SELECT number FROM pair WHERE shard = ? AND line = ?",
                    (shard.id if shard else -1, line),
                ).fetchone()
                if place:
                    self._add_findings(place[0], found)
                    del self._judged[path, line]
        return True

    def _place_of(self, place: tuple[Any, ...]) -> tuple[str, int]:
        shard = next(s for s in self._shards.values() if s.id == place[0])
        return str(shard.path), place[1]

    def _clear_findings(self) -> None:
        """Remove the results of an earlier judgement."""
        rows = self._database.execute(
            "SELECT number, check_name, sum(weight) FROM found GROUP BY 1, 2"
        ).fetchall()
        for number, name, weight in rows:
            self._database.execute(
                "UPDATE pair SET badness = badness - ? WHERE number = ?", (weight, number)
            )
            gone = self._database.execute(
                "DELETE FROM named WHERE name = ? AND number = ? AND NOT is_own", (name, number)
            )
            self._facets["finding"][name] -= gone.rowcount
        self._database.execute(
            "UPDATE pair SET has_finding = number IN (SELECT number FROM named)"
            " WHERE number IN (SELECT number FROM found)"
        )
        self._database.execute("DELETE FROM found")

    def _add_findings(self, number: int | None, found: list[tuple[str, str, int]]) -> None:
        for name, detail, weight in found:
            self._database.execute(
                "INSERT INTO found VALUES (?, ?, ?, ?)", (number, name, detail, weight)
            )
            self._name(name, number)
        self._database.execute(
            "UPDATE pair SET badness = badness + ?, has_finding = 1 WHERE number = ?",
            (sum(weight for *_, weight in found), number),
        )

    # What the server is told

    def _tell(self) -> None:
        state = {
            "pairs": self._pairs,
            "rejects": self._rejects,
            "damaged": self._damaged,
            "bytes": self._bytes,
            "is_done": self._is_done,
            "problem": self._problem,
            "chunks": "reading" if self._chunks is not None else self._chunk_note,
            "facets": {
                name: [list(item) for item in (+counts).most_common(_MOST_FACETS)]
                for name, counts in self._facets.items()
            },
        }
        value = orjson.dumps(state)
        if value != self._told:
            self._told = value
            self._database.execute("INSERT OR REPLACE INTO meta VALUES ('progress', ?)", (value,))

    def _transaction(self) -> _Transaction:
        return _Transaction(self._database)


class _Transaction:
    """A transaction: all or nothing."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database.execute("BEGIN")

    def __exit__(self, kind: object, *_: object) -> None:
        self._database.execute("ROLLBACK" if kind else "COMMIT")


def index_forever(job: ViewJob) -> None:
    """Fill the index of a dataset until the process is ended."""
    Indexer(job).run()


def _still_ends(shard: _Shard) -> bool:
    """Return whether the last line that was read is still in its place."""
    with suppress(OSError), shard.path.open("rb") as file:
        file.seek(shard.read_to - len(shard.last))
        return file.read(len(shard.last)) == shard.last
    return False


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_size, found.st_mtime_ns)


def _name(value: object) -> str:
    return str(value)[:_NAME_CHARS] if value else ""


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
