"""Copies of a run folder's files between two commits, and archives of them in pieces.

A piece is an object of its own, so that no object and no memory grows with the folder. What is
unpacked may come from anybody: only plain files with plain relative names are.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import sqlite3
import tarfile
from contextlib import (
    closing,
    suppress,
)
from pathlib import (
    Path,
    PurePosixPath,
)
from typing import (
    TYPE_CHECKING,
)

from pairmill.errors import (
    FolderError,
    StorageError,
)
from pairmill.store.files import (
    refusal,
)
from pairmill.store.shards import (
    shard_number,
)
from pairmill.store.sqlite.database import (
    explained,
)
from pairmill.store.sqlite.lookup import (
    SqliteLookup,
)

if TYPE_CHECKING:
    from collections.abc import (
        Callable,
        Iterable,
        Iterator,
        Sequence,
    )

    from pairmill.store.chain import (
        LedgerChain,
    )
    from pairmill.store.entries import (
        ShardRecord,
    )
    from pairmill.store.folder import (
        RunFolder,
    )

__all__ = [
    "PIECE_BYTES",
    "Member",
    "content_hash",
    "copy_ledger",
    "copy_small_files",
    "pack",
    "shard_file",
    "small_files",
    "unpack",
]

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


_LEFT_OUT = frozenset({"open", "lock", "generation"})
_LEDGER = "ledger.db"
_PASSING = (".tmp", ".new", "-wal", "-shm", "-journal")
_TRIES = 3


def small_files(folder: RunFolder) -> list[Path]:
    """Return the files of a run folder that are neither shards nor the ledger's."""
    found = []
    for place, _, names in os.walk(folder.path):
        here = folder.path.joinpath(place)
        if here == folder.open_shards or folder.open_shards in here.parents:
            continue
        for name in sorted(names):
            is_of_ledger = here == folder.state and (name in _LEFT_OUT or name.startswith(_LEDGER))
            is_shard = here in {folder.data, folder.rejected} and shard_number(name) is not None
            is_kept = not (is_of_ledger or is_shard or name.endswith(_PASSING))
            path = here / name
            if is_kept and path.is_file() and not path.is_symlink():
                found.append(path)
    return sorted(found)


def copy_small_files(folder: RunFolder, into: Path) -> list[Member]:
    """Copy them; databases by SQLite, so that each is whole.

    Raises:
        StorageError: The disk refused.
    """
    shutil.rmtree(into, ignore_errors=True)
    members: list[Member] = []
    for path in small_files(folder):
        name = path.relative_to(folder.path).as_posix()
        target = into / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".db":
                _copy_database(path, target)
            else:
                shutil.copyfile(path, target)
            members.append((name, target, target.stat().st_size))
        except FileNotFoundError:
            continue  # it was replaced, or is gone: the next copy has it
        except (OSError, sqlite3.Error) as error:
            if isinstance(error, OSError):
                raise refusal(error, target) from None
            raise StorageError(f"{path}: cannot be copied: {error}", transient=True) from None
    return members


def copy_ledger(
    folder: RunFolder, into: Path
) -> tuple[LedgerChain | None, list[ShardRecord], list[Member]]:
    """Copy the ledger as of one moment, beside the run that writes it.

    Returns:
        Its place in its chain, its shards, and what belongs into a base: the copy, and the open
        shards up to their lengths in it.

    Raises:
        StorageError: The disk refused.
        FolderError: The ledger is damaged, or a shard is missing.
    """
    target = into / _LEDGER
    try:
        into.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
    except OSError as error:
        raise refusal(error, target) from None
    with explained(folder.ledger):
        _copy_database(folder.ledger, target)
    with closing(SqliteLookup(target)) as copied:
        chain, records = copied.chain(), copied.shards()
    members: list[Member] = [(_LEDGER, target, target.stat().st_size)]
    opened = [record for record in records if not record.closed and record.bytes]
    members += [(f"open/{it.name}", shard_file(folder, it), it.bytes) for it in opened]
    return chain, records, members


def shard_file(folder: RunFolder, record: ShardRecord) -> Path:
    """Return where a shard is now, open or published; it may be on its way.

    Raises:
        StorageError: It is in neither place.
    """
    places = (folder.published(record.kind), folder.open_shards)
    for _ in range(_TRIES):
        for place in places:
            path = place / record.name
            if path.exists():
                return path
    raise StorageError(f"{places[0] / record.name}: is missing, and cannot be uploaded")


def _copy_database(source: Path, target: Path) -> None:
    with suppress(FileNotFoundError):
        target.unlink()
    uri = f"{source.absolute().as_uri()}?mode=ro"
    with (
        closing(sqlite3.connect(uri, uri=True)) as reading,
        closing(sqlite3.connect(target.absolute())) as writing,
    ):
        writing.execute("PRAGMA synchronous = OFF")
        reading.backup(writing)
        writing.execute("PRAGMA journal_mode = DELETE")
