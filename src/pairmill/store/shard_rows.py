"""Reads lines of shards: committed ones by the ledger, or all lines of a file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import orjson

from pairmill.errors import FolderError
from pairmill.store.files import refusal

if TYPE_CHECKING:
    import hashlib
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pairmill.store.entries import ShardRecord
    from pairmill.store.paths import FolderPaths

__all__ = ["Row", "count_of", "is_row", "read_last_rows", "read_lines", "read_rows", "tokens_of"]

Row = dict[str, Any]


def read_lines(
    folder: FolderPaths, records: Sequence[ShardRecord], kind: str, *, longest_bytes: int = 2**26
) -> Iterator[bytes]:
    """Yield every committed line of a kind, newline included, oldest shard first.

    Args:
        folder: Where to read.
        records: From ``Lookup.shards``; an open shard is read up to its committed length.
        kind: ``train`` or ``rejected``.
        longest_bytes: A longer line is treated as damaged.

    Raises:
        FolderError: A shard is missing, or a published one was edited.
    """
    for record in records:
        if record.kind == kind:
            yield from _lines(folder, record, longest_bytes)


def _lines(folder: FolderPaths, record: ShardRecord, longest_bytes: int) -> Iterator[bytes]:
    public = folder.published(record.kind) / record.name
    try:
        file, whole = (folder.open_shards / record.name).open("rb"), False
    except FileNotFoundError:  # a run may publish a shard at any moment, but never withdraws it
        try:
            file, whole = public.open("rb"), True
        except FileNotFoundError:
            raise FolderError(f"{public}: missing; put it back") from None
    with file:
        left = file.seek(0, os.SEEK_END) if whole else record.bytes
        file.seek(0)
        while left > 0:
            line = file.readline(min(left, longest_bytes))
            if not line.endswith(b"\n"):
                raise FolderError(
                    f"{file.name}: a line is cut off; the shard was damaged or edited"
                )
            left -= len(line)
            yield line


def read_rows(path: Path, content: hashlib._Hash | None = None) -> Iterator[tuple[Row | None, int]]:
    """Yield each line as a row, or as None if it is not a row, with its length in bytes."""
    try:
        with path.open("rb") as file:
            for line in file:
                if content is not None:
                    content.update(line)
                yield _row(line), len(line)
    except OSError as error:
        raise FolderError(str(refusal(error, path))) from None


def read_last_rows(path: Path, most: int, longest_bytes: int = 2**18) -> list[Row]:
    """Return up to ``most`` rows from the end of a shard that may be growing, the last one first.

    Args:
        path: The shard.
        most: How many rows.
        longest_bytes: How far back from the end to look.

    Raises:
        FolderError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - longest_bytes)
            file.seek(start)
            lines = file.read(longest_bytes).splitlines(keepends=True)
    except OSError as error:
        raise FolderError(str(refusal(error, path))) from None
    whole = lines[1:] if start else lines
    return [row for line in whole[: -most - 2 : -1] if (row := _row(line)) is not None][:most]


def is_row(line: bytes) -> bool:
    """Return whether a line, newline included, is a row."""
    return _row(line) is not None


def _row(line: bytes) -> Row | None:
    try:
        row = orjson.loads(line) if line.endswith(b"\n") else None
    except orjson.JSONDecodeError:
        return None
    if isinstance(row, dict) and _is_id(row.get("id")) and _is_id(row.get("chunk_id")):
        return row
    return None


def _is_id(value: object) -> bool:
    if not isinstance(value, str) or len(value) != 32:  # noqa: PLR2004 (hex digits of an id)
        return False
    return all(letter in "0123456789abcdef" for letter in value)


def tokens_of(rows: list[Row]) -> tuple[int, int]:
    """Return the total prompt and completion tokens of rows."""
    prompt = sum(count_of(row, "prompt_tokens") for row in rows)
    return prompt, sum(count_of(row, "completion_tokens") for row in rows)


def count_of(row: Row, name: str) -> int:
    """Return an integer field; 0 if it is not one."""
    value = row.get(name)
    return min(max(value, 0), 2**40) if isinstance(value, int) else 0
