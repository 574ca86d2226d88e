"""Writes documents that a Python program holds in memory to a file, for later starts to find.

A run is resumed by reading its input again, in another process and perhaps on another day. For
that, documents in memory become a JSONL file beside the run folder, ``NAME-documents.jsonl``. The
same documents give the same bytes, and the file can also be an input on the command line.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import orjson

from pairmill.errors import StorageError, UsageError
from pairmill.records import Document

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Given", "as_paths"]

Given: TypeAlias = "str | os.PathLike[str] | Iterable[Any]"
"""A path, or paths, dicts or `Document` values in an iterable, a data frame or a dataset."""


def as_paths(inputs: Iterable[Given], output: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return all inputs as paths; write those that are not to a file.

    Args:
        inputs: Paths or documents. Text and metadata of a dict are found as in a JSON file; see
            docs/sources.md.
        output: The run folder.

    Raises:
        UsageError: One is neither a path nor a container of documents.
        StorageError: The disk refused.
    """
    paths: list[str] = []
    records: list[Iterator[Any]] = []
    for given in inputs:
        if isinstance(given, str | os.PathLike):
            paths.append(os.fspath(given))
            continue
        items = _items(given)
        first = next(items, None)
        if isinstance(first, str | os.PathLike):
            paths += [_path(item, at) for at, item in enumerate((first, *items), start=1)]
        elif first is not None:
            records.append(_put_back(first, items))
    if records:
        place = Path(output)
        file = place.with_name(f"{place.resolve().name}-documents.jsonl")
        _write_down(file, records)
        paths.append(str(file))
    if not paths:
        raise UsageError("nothing to read: the input holds no document")
    return tuple(paths)


def _path(item: Any, number: int) -> str:
    if isinstance(item, str | os.PathLike):
        return os.fspath(item)
    raise UsageError(f"input {number} of a list of paths is of type {type(item).__name__}")


def _items(given: Any) -> Iterator[Any]:
    """Yield the records of a container."""
    if isinstance(given, Mapping):
        if any(isinstance(value, Iterable) and not isinstance(value, str | bytes)
               and hasattr(value, "column_names") for value in given.values()):  # fmt: skip
            raise UsageError(f"a set of splits: give one of them, such as [{next(iter(given))!r}]")
        return iter((given,))
    if hasattr(given, "iter_rows") and hasattr(given, "iter_batches"):  # ray.data
        return iter(given.iter_rows())
    if hasattr(given, "to_pylist"):  # pyarrow
        return iter(given.to_pylist())
    if hasattr(given, "iter_rows"):  # polars
        return iter(given.iter_rows(named=True))
    if hasattr(given, "iterrows"):  # pandas
        return iter(given.to_dict("records"))
    if isinstance(given, Iterable) and not isinstance(given, bytes):
        return iter(given)
    raise UsageError(
        f"cannot read a value of type {type(given).__name__}: give paths, dicts with a 'text', a"
        " data frame or a dataset"
    )


def _put_back(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest


def _write_down(file: Path, groups: Iterable[Iterator[Any]]) -> None:
    """Write all records as lines; a file with the same content is left alone."""
    draft: Path | None = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        draft = Path(name)
        with os.fdopen(handle, "wb") as opened:
            for group in groups:
                for number, record in enumerate(group, start=1):
                    opened.write(_line(record, number))
            opened.flush()
            os.fsync(opened.fileno())
        if not _is_same(draft, file):
            draft.replace(file)
            draft = None
    except OSError as error:
        raise StorageError(f"cannot write {file}: {error.strerror}") from None
    finally:
        if draft is not None:
            with suppress(OSError):
                draft.unlink()


def _line(record: Any, number: int) -> bytes:
    if isinstance(record, Document):
        told = {"id": record.id, "text": record.text, "title": record.title}
        record = told | {"author": record.author, "url": record.url, "language": record.language}
    elif isinstance(record, msgspec.Struct):
        record = msgspec.structs.asdict(record)
    if not isinstance(record, Mapping):
        raise UsageError(
            f"document {number} is of type {type(record).__name__}; give dicts with a 'text', or"
            " paths"
        )
    try:
        return orjson.dumps(
            dict(record), default=str, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
            | orjson.OPT_SERIALIZE_NUMPY,
        )  # fmt: skip
    except (TypeError, ValueError) as error:
        raise UsageError(f"document {number} cannot be written as JSON: {error}") from None


def _is_same(one: Path, other: Path) -> bool:
    with suppress(OSError):
        if one.stat().st_size == other.stat().st_size:
            with one.open("rb") as left, other.open("rb") as right:
                while part := left.read(2**20):
                    if part != right.read(2**20):
                        return False
                return True
    return False
