"""Archives of files in pieces: a base of the log, and the small files of a run folder.

A piece is an object of its own, so that no object and no memory grows with the folder. What is
unpacked may come from anybody: only plain files with plain relative names are.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pairmill.errors import FolderError
from pairmill.store.files import refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = ["PIECE_BYTES", "Member", "content_hash", "pack", "unpack"]

PIECE_BYTES = 32 * 2**20
_READ_BYTES = 2**20
_LEVEL = 1

Member = tuple[str, Path, int]
"""A name in the archive, the file, and how many of its first bytes."""


def pack(members: Iterable[Member], put: Callable[[bytes], None]) -> None:
    """Pack files, and hand over one piece after the other.

    Raises:
        StorageError: A file cannot be read, or is shorter than it should be.
    """
    sink = _PieceWriter(put)
    with (
        gzip.GzipFile(fileobj=sink, mode="wb", compresslevel=_LEVEL, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|") as archive,
    ):
        for name, path, size in members:
            try:
                with path.open("rb") as file:
                    entry = tarfile.TarInfo(name)
                    entry.size = size
                    archive.addfile(entry, file)
            except OSError as error:
                raise refusal(error, path) from None
    sink.flush()


def unpack(pieces: Iterable[bytes], target: Path, where: str) -> list[str]:
    """Unpack below a folder; returns the names.

    Raises:
        FolderError: It is no archive of ours.
        StorageError: The disk refused.
    """
    names = []
    try:
        with tarfile.open(fileobj=_PieceReader(iter(pieces)), mode="r|gz") as archive:
            for entry in archive:
                path = _place(entry, target, where)
                content = archive.extractfile(entry)
                assert content is not None  # noqa: S101 (a plain file has one)
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with path.open("wb") as file:
                    while block := content.read(_READ_BYTES):
                        file.write(block)
                    file.flush()
                    os.fsync(file.fileno())
                names.append(entry.name)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise FolderError(f"{where}: an archive is damaged: {error}") from None
    except OSError as error:
        if error.errno is None:  # of the decompressor
            raise FolderError(f"{where}: an archive is damaged") from None
        raise refusal(error, target) from None
    return names


def content_hash(members: Sequence[Member]) -> str:
    """Hash names and contents."""
    whole = hashlib.sha256()
    for name, path, size in members:
        whole.update(f"{name}\0{size}\0".encode())
        try:
            with path.open("rb") as file:
                left = size
                while left > 0 and (block := file.read(min(left, _READ_BYTES))):
                    whole.update(block)
                    left -= len(block)
        except OSError as error:
            raise refusal(error, path) from None
    return whole.hexdigest()


def _place(entry: tarfile.TarInfo, target: Path, where: str) -> Path:
    name = PurePosixPath(entry.name)
    is_plain = entry.isreg() and not name.is_absolute() and ".." not in name.parts
    if not is_plain or "\\" in entry.name or not name.parts:
        raise FolderError(f"{where}: an archive holds a name that leads out of it")
    return target.joinpath(*name.parts)


class _PieceWriter(io.RawIOBase):
    """Hands over what is written, in pieces."""

    def __init__(self, put: Callable[[bytes], None]) -> None:
        self._put = put
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        view = bytes(data)  # type: ignore[call-overload]
        self._held += view
        while len(self._held) >= PIECE_BYTES:
            self._put(bytes(self._held[:PIECE_BYTES]))
            del self._held[:PIECE_BYTES]
        return len(view)

    def flush(self) -> None:
        if self._held:
            self._put(bytes(self._held))
            self._held.clear()


class _PieceReader(io.RawIOBase):
    """Reads pieces as one stream."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._held = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while not self._held:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._held = piece
        size = len(self._held) if size < 0 else size
        data, self._held = self._held[:size], self._held[size:]
        return data
