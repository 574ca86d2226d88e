"""Reading the lines of a run folder, also while a run is writing more."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pairmill.errors import FolderError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pairmill.store.entries import ShardRecord
    from pairmill.store.folder import RunFolder

__all__ = ["read_lines"]


def read_lines(
    folder: RunFolder, records: Sequence[ShardRecord], kind: str, *, longest_bytes: int = 2**26
) -> Iterator[bytes]:
    """Yield every committed line of a kind, newline included, oldest shard first.

    Args:
        folder: Where to read.
        records: From ``Lookup.shards``; an open shard is read up to its committed length.
        kind: ``train`` or ``rejected``.
        longest_bytes: A longer line is a damaged one.

    Raises:
        FolderError: A shard is missing, or a published one was edited into something else.
    """
    for record in records:
        if record.kind == kind:
            yield from _lines(folder, record, longest_bytes)


def _lines(folder: RunFolder, record: ShardRecord, longest_bytes: int) -> Iterator[bytes]:
    public = folder.published(record.kind) / record.name
    try:
        file, whole = (folder.open_shards / record.name).open("rb"), False
    except FileNotFoundError:  # a run publishes a shard at any moment, and never takes it back
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
