"""Copies of a run folder's changing files, as they are between two commits."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from pairmill.errors import StorageError
from pairmill.store.files import refusal
from pairmill.store.shards import shard_number
from pairmill.store.sqlite.database import explained
from pairmill.store.sqlite.lookup import SqliteLookup

if TYPE_CHECKING:
    from pathlib import Path

    from pairmill.replica.archive import Member
    from pairmill.store.chain import LedgerChain
    from pairmill.store.entries import ShardRecord
    from pairmill.store.folder import RunFolder

__all__ = ["copy_ledger", "copy_small_files", "shard_file", "small_files"]

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
