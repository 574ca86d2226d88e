"""Record of the split of each document, for the next export in the same place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from pairmill.output.split import Shares

__all__ = ["SPLIT_RECORD", "SplitRecord", "read_splits"]

SPLIT_RECORD = "splits.txt"


class SplitRecord:
    """Writes the file: the shares and the seed, then a line for each document.

    A context manager; what it writes is closed, and then can be read, when it ends.
    """

    def __init__(self, folder: Path, shares: Shares, seed: int) -> None:
        self._path = folder / SPLIT_RECORD
        self._head = _head(shares, seed)
        self._last = ""

    def __enter__(self) -> Self:
        self._file = self._path.open("wb")
        self._file.write(self._head)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def note(self, document_id: str, split: str) -> None:
        """Note where a document's rows went; they come one after the other."""
        if document_id != self._last:
            self._last = document_id
            line = orjson.dumps({"document_id": document_id, "split": split})
            self._file.write(line + b"\n")


def read_splits(folder: Path, shares: Shares, seed: int) -> Iterator[tuple[str, str]]:
    """Yield id and split of each document of an earlier export with the same shares and seed."""
    try:
        with (folder / SPLIT_RECORD).open("rb") as file:
            if file.readline() != _head(shares, seed):
                return  # another assignment was asked for
            for line in file:
                entry = orjson.loads(line)
                yield str(entry["document_id"]), str(entry["split"])
    except (OSError, ValueError, KeyError, TypeError):
        return  # there is none, or it was damaged: nothing is held that cannot be read


def _head(shares: Shares, seed: int) -> bytes:
    given = [shares.train, shares.validation, shares.test]
    return orjson.dumps({"shares": given, "seed": seed}) + b"\n"
