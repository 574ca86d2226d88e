"""Writes records as JSONL, Parquet or CSV files of bounded size, named as on the hub."""

from __future__ import annotations

import csv
import hashlib
import os
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TextIO

import orjson

from pairmill.errors import StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pairmill.output.formats.format import Format, Record
    from pairmill.store.columns import Feature, Schema

__all__ = [
    "FILE_TYPES",
    "ArrowTables",
    "SplitWriter",
    "WrittenTable",
    "check_file_type",
    "csv_reader_options",
    "stored_schema",
]

FILE_TYPES = ("jsonl", "parquet", "csv")

_MOMENT = "timestamp[s, tz=UTC]"
_GROUP_ROWS = 1_000
_NO_PYARROW = "writing Parquet needs the extra 'parquet': pip install 'pairmill[parquet]'"


@dataclass(frozen=True, slots=True)
class WrittenTable:
    """One finished file: its path below the export, rows, bytes and SHA-256 in hex."""

    path: str
    rows: int
    size_bytes: int
    sha256: str


class _Sink(Protocol):
    def write(self, record: Record, line: bytes) -> None: ...

    def close(self) -> None: ...


class SplitWriter:
    """Writes one split as ``data/SPLIT-00000-of-N.SUFFIX``; nothing at all for no record.

    Args:
        folder: Holds ``data``; files get their final names in ``close``.
        split: Name of the split.
        file_type: ``jsonl``, ``parquet`` or ``csv``.
        schema: Columns of the records.
        file_bytes: A file is closed once its records, as JSON, reach this size.
    """

    def __init__(
        self, folder: Path, split: str, file_type: str, schema: Schema, file_bytes: int
    ) -> None:
        self.rows = 0
        self._data = folder / "data"
        self._split = split
        self._file_type = file_type
        self._schema = schema
        self._file_bytes = file_bytes
        self._rows_of: list[int] = []
        self._filled = 0
        self._sink: _Sink | None = None

    def write(self, record: Record) -> None:
        """Add one record.

        Raises:
            StorageError: The disk refused.
        """
        line = orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
        try:
            sink = self._sink or self._open()
            sink.write(record, line)
            self._rows_of[-1] += 1
            self.rows += 1
            self._filled += len(line)
            if self._filled >= self._file_bytes:
                self._finish()
        except OSError as error:
            raise _refused(error) from None

    def close(self) -> list[WrittenTable]:
        """Finish the files and name them; returns them in order.

        Raises:
            StorageError: The disk refused.
        """
        try:
            self._finish()
            return [self._name(number) for number in range(len(self._rows_of))]
        except OSError as error:
            raise _refused(error) from None

    def abandon(self) -> None:
        """Close the unfinished file; its content is not used."""
        if self._sink:
            self._sink.close()
            self._sink = None

    def _draft(self, number: int) -> Path:
        return self._data / f"{self._split}-{number:05d}.{self._file_type}"

    def _open(self) -> _Sink:
        path = self._draft(len(self._rows_of))
        if self._file_type == "parquet":
            self._sink = _Parquet(path, self._schema)
        elif self._file_type == "csv":
            self._sink = _Csv(path, self._schema)
        else:
            self._sink = _Lines(path)
        self._rows_of.append(0)
        self._filled = 0
        return self._sink

    def _finish(self) -> None:
        if self._sink:
            sink, self._sink = self._sink, None
            sink.close()

    def _name(self, number: int) -> WrittenTable:
        draft = self._draft(number)
        count = len(self._rows_of)
        final = draft.with_name(f"{self._split}-{number:05d}-of-{count:05d}.{self._file_type}")
        draft.rename(final)
        with final.open("rb") as file:
            os.fsync(file.fileno())
            name = hashlib.file_digest(file, "sha256").hexdigest()
        size = final.stat().st_size
        return WrittenTable(f"data/{final.name}", self._rows_of[number], size, name)


class ArrowTables:
    """Makes Arrow tables of records.

    Args:
        pyarrow: The library, which is an extra.
        schema: Columns of the records.

    Attributes:
        schema: The same as Arrow has it.
    """

    def __init__(self, pyarrow: Any, schema: Schema) -> None:
        self._pyarrow = pyarrow
        self.schema: Any = pyarrow.schema(
            [(name, _arrow_type(pyarrow, feature)) for name, feature in schema.items()]
        )
        self._moments = [name for name, feature in schema.items() if feature == _MOMENT]

    def make(self, records: Sequence[Record]) -> Any:
        """Make a table; a column that a record lacks is null."""
        whole = [self._with_moments(record) for record in records] if self._moments else records
        return self._pyarrow.Table.from_pylist(whole, self.schema)

    def _with_moments(self, record: Record) -> Record:
        moments = {name: record.get(name) for name in self._moments}
        read = {n: datetime.fromisoformat(v) for n, v in moments.items() if isinstance(v, str)}
        return {**record, **read}


class _Lines:
    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("wb")

    def write(self, record: Record, line: bytes) -> None:  # noqa: ARG002 (a _Sink)
        self._file.write(line)

    def close(self) -> None:
        self._file.close()


class _Csv:
    """Cells as in RFC 4180; a null is an empty cell, a list or struct is JSON."""

    def __init__(self, path: Path, schema: Schema) -> None:
        self._file: TextIO = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._names = tuple(schema)
        self._writer.writerow(self._names)

    def write(self, record: Record, line: bytes) -> None:  # noqa: ARG002 (a _Sink)
        self._writer.writerow([_cell(record[name]) for name in self._names])

    def close(self) -> None:
        self._file.close()


class _Parquet:
    def __init__(self, path: Path, schema: Schema) -> None:
        pyarrow = check_file_type("parquet")
        self._tables = ArrowTables(pyarrow, schema)
        self._writer = pyarrow.parquet.ParquetWriter(path, self._tables.schema, compression="zstd")
        self._group: list[Record] = []

    def write(self, record: Record, line: bytes) -> None:  # noqa: ARG002 (a _Sink)
        self._group.append(record)
        if len(self._group) == _GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._group:
            self._writer.write_table(self._tables.make(self._group))
            self._group = []


def check_file_type(name: str) -> Any:
    """Make sure that files of this type can be written; returns pyarrow for Parquet, else None.

    Raises:
        UsageError: No such type, or pyarrow is not installed; says which extra to install.
    """
    if name not in FILE_TYPES:
        raise UsageError(f"unknown file type '{name}'; known: {', '.join(FILE_TYPES)}")
    if name != "parquet":
        return None
    try:
        import_module("pyarrow.parquet")
        return import_module("pyarrow")
    except ImportError:
        raise UsageError(_NO_PYARROW) from None


def stored_schema(shape: Format, file_type: str) -> Schema:
    """Return the types of the columns in a file of that type: CSV has only scalars.

    Raises:
        UsageError: One of the format's own columns is a list, which no trainer reads from CSV.
    """
    if file_type != "csv":
        return shape.schema
    for name in shape.schema:
        if name not in shape.added and not isinstance(shape.schema[name], str):
            raise UsageError(
                f"--format csv: the column '{name}' of the format '{shape.name}' is a list, which"
                " CSV cannot hold; use jsonl or parquet, or --to alpaca or prompt_completion"
            )
    return {
        name: feature if _is_plain(feature) else "string" for name, feature in shape.schema.items()
    }


def csv_reader_options(shape: Format) -> dict[str, Any]:
    """Return the options with which pandas and ``datasets`` read the cells unchanged.

    Else a text such as ``NA`` or ``None`` is read as null.
    """
    empty_is_null = {name: [""] for name in shape.added}
    return {"keep_default_na": False} | ({"na_values": empty_is_null} if empty_is_null else {})


def _is_plain(feature: Feature) -> bool:
    return isinstance(feature, str) and feature != _MOMENT


def _cell(value: Any) -> Any:
    if isinstance(value, (list, dict)):
        return orjson.dumps(value).decode()
    return value


def _arrow_type(pyarrow: Any, feature: Feature) -> Any:
    if feature == _MOMENT:
        return pyarrow.timestamp("s", tz="UTC")
    if isinstance(feature, str):
        return pyarrow.type_for_alias(feature)
    if isinstance(feature, tuple):
        return pyarrow.list_(_arrow_type(pyarrow, feature[0]))
    return pyarrow.struct([(name, _arrow_type(pyarrow, item)) for name, item in feature.items()])


def _refused(error: OSError) -> StorageError:
    return StorageError(f"cannot write the export: {error.strerror or 'the disk refused'}")
