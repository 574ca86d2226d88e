"""The run folder: its ownership, lock, and the settings that it was begun with.

data/ rejected/            published shards
README.md manifest.json    what people and ``datasets`` read first
.run/                      ledger.db, open/ (open shards), settings.json, lock
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from pairmill.errors import ChangedError, FolderError, LockedError
from pairmill.store.chain import GenerationLog, read_manifest
from pairmill.store.files import DISK, Files, atomic_write, network_file_system, refusal, write_all
from pairmill.store.ledger import LedgerStore, find_store
from pairmill.store.paths import FolderPaths
from pairmill.store.shards import holds_shards, shard_number
from pairmill.store.side_files import FORMATS, check_formats
from pairmill.store.sqlite.store import SQLITE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pairmill.store.ledger import LedgerReader

__all__ = [
    "RunFolder",
    "lock_folder",
    "open_folder",
    "read_folder",
    "read_settings",
    "write_settings",
]

_RESTORED = "restored"

_HARMLESS = re.compile(  # what file systems, mounts and desktops leave by themselves
    r"lost\+found|\.DS_Store|\.gitignore|\.gitkeep|\.Trash(es|-\d+)?|\.nfs[0-9a-f]+|\.snapshots?"
    r"|\.zfs|\.fseventsd|\.Spotlight-V100|\.fuse_hidden\w+|@eaDir|#recycle|\$RECYCLE\.BIN"
    r"|System Volume Information|a?quota\.(user|group)"
)
_MOST_LINE_BYTES = 2**24
_SHOWN = 80  # characters of a setting's value in an error line


@dataclass(frozen=True, slots=True)
class RunFolder(FolderPaths):
    """A run folder: its paths, its ledger, and what this process may do in it.

    Attributes:
        writable: This process holds the lock.
        version: Of the pairmill that works here; empty if it only reads.
        is_bare: Only what was published is here, as after a copy without ``.run/``.
        is_blank: Nothing was asked yet: no earlier start's settings bind.
        notices: Plain lines for people, such as that the folder lies on a network file system.
        ledgers: Where its ledger is kept.
    """

    writable: bool = False
    version: str = ""
    is_bare: bool = False
    is_blank: bool = False
    notices: tuple[str, ...] = ()
    ledgers: LedgerStore = SQLITE

    @property
    def has_ledger(self) -> bool:
        """True if there is a ledger, in whatever state."""
        return self.ledgers.is_there(self.state)

    def read_ledger(self) -> LedgerReader:
        """Open a reading end of the ledger, which the caller must close.

        Raises:
            FolderError: It is missing, damaged, or a newer version's.
            StorageError: The disk refused.
        """
        return self.ledgers.read(self.state)

    @property
    def is_restored(self) -> bool:
        """True if it was made anew after a lost machine, and what that spent last is not known."""
        return (self.state / _RESTORED).exists()

    def mark_restored(self) -> None:
        """Take note that it was.

        Raises:
            StorageError: The disk refused.
        """
        atomic_write(self.state / _RESTORED, b"")

    def forget_restored(self) -> None:
        """Take note that what may have been spent is counted."""
        with suppress(OSError):
            (self.state / _RESTORED).unlink(missing_ok=True)


@contextmanager
def open_folder(
    path: Path,
    *,
    settings_fingerprint: Mapping[str, Any],
    accept_change: bool,
    version: str,
    ledgers: LedgerStore | None = None,
    files: Files = DISK,
) -> Iterator[RunFolder]:
    """Create or reopen a run folder and hold its lock until the block ends.

    A lock whose process is gone was freed by the kernel, and is taken. ``ledgers`` is where
    a new folder's ledger will be kept; None: in the usual place.

    Raises:
        FolderError: The path is not a folder, cannot be created, or holds foreign files; or its
            ledger is kept elsewhere, damaged, or a newer version's.
        LockedError: Another process holds it; the text names its pid.
        ChangedError: A setting differs from the last start's, and ``accept_change`` is False.
        StorageError: The disk refused.
    """
    folder = _found(path, writable=True, given=ledgers)
    _create(folder)
    lock = _take_lock(folder, files)
    try:
        is_bare, is_blank = _is_bare(folder), _is_blank(folder)
        before = read_settings(folder)
        notices = _check_settings(
            path, {} if is_blank else before, settings_fingerprint, accept_change=accept_change
        )
        if not is_bare:  # else the rebuild of its ledger does so
            write_settings(RunFolder(path, version=version), settings_fingerprint, files=files)
        kind = network_file_system(path)
        if kind:
            notices.append(
                f"{path} is on a network file system ({kind}): locks and syncs may not hold there;"
                " use a local disk or a block volume"
            )
        yield RunFolder(
            path,
            writable=True,
            version=version,
            is_bare=is_bare,
            is_blank=is_blank,
            notices=tuple(notices),
            ledgers=folder.ledgers,
        )
    finally:
        os.close(lock)


def write_settings(
    folder: RunFolder, settings_fingerprint: Mapping[str, Any], *, files: Files = DISK
) -> None:
    """Store the settings that determine the pairs, unless they are there already.

    Raises:
        StorageError: The disk refused.
    """
    document = {
        "format": FORMATS[".run/settings.json"],
        "version": folder.version,
        "settings": dict(settings_fingerprint),
    }
    data = orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    if not folder.settings.exists() or folder.settings.read_bytes() != data:
        atomic_write(folder.settings, data, files=files)


@contextmanager
def lock_folder(path: Path, *, version: str, files: Files = DISK) -> Iterator[RunFolder]:
    """Hold the lock of an existing run folder, in any state, until the block ends.

    Raises:
        FolderError: The path is not a run folder.
        LockedError: Another process holds it; the text names its pid.
        StorageError: The disk refused.
    """
    folder = _found(path, writable=True, version=version)
    if not (folder.state.is_dir() or _is_published(folder)):
        raise FolderError(f"{path}: no pairmill run here; 'pairmill run INPUT -o {path}' makes one")
    _create(folder)
    lock = _take_lock(folder, files)
    try:
        yield folder
    finally:
        os.close(lock)


def read_folder(path: Path) -> RunFolder:
    """Open a run folder to read it, also while a run holds its lock.

    Raises:
        FolderError: The path is not a run folder.
    """
    if not path.is_dir():
        raise FolderError(f"{path}: there is no such folder")
    folder = _found(path)
    if not (folder.settings.is_file() or folder.has_ledger or _is_published(folder)):
        raise FolderError(f"{path}: no pairmill run here; 'pairmill run INPUT -o {path}' makes one")
    return folder


def _found(
    path: Path, *, writable: bool = False, version: str = "", given: LedgerStore | None = None
) -> RunFolder:
    """Open a run folder with its ledger store."""
    folder = RunFolder(path, writable=writable, version=version)
    check_formats(folder)
    return replace(folder, ledgers=find_store(folder.state, SQLITE, given))


def _create(folder: RunFolder) -> None:
    path = folder.path
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not _is_ours(folder):
            raise FolderError(
                f"{path}: not empty, and not a pairmill folder; give an empty or a new one with -o"
            )
        _make_private(folder.state)
        for place in (folder.open_shards, folder.data, folder.rejected):
            place.mkdir(exist_ok=True)
        home = folder.state.stat().st_dev
        strays = [p for p in (folder.data, folder.rejected) if p.stat().st_dev != home]
        if strays:
            raise FolderError(
                f"{strays[0]}: on a different file system from {folder.state}; shards are"
                f" published by renaming, so both must be on the same one"
            )
        for place in (path.parent, path, folder.state):
            DISK.sync_folder(place)
    except (FileExistsError, NotADirectoryError):
        raise FolderError(f"{path}: not a folder; give another one with -o") from None
    except OSError as error:
        raise FolderError(f"{refusal(error, path)}; give another folder with -o") from None


def _make_private(state: Path) -> None:
    """Make ``.run/`` readable only by its owner, whatever the umask."""
    state.mkdir(mode=0o700, exist_ok=True)
    if state.is_symlink():
        raise FolderError(f"{state}: is a symbolic link; remove it")
    if state.stat().st_uid == os.geteuid():
        state.chmod(0o700)


def _is_ours(folder: RunFolder) -> bool:
    if folder.settings.is_file() or folder.has_ledger or _is_published(folder):
        return True
    names = {e.name for e in os.scandir(folder.path) if not _HARMLESS.fullmatch(e.name)}
    if not names:
        return True
    # A first start that is killed before its settings are written leaves empty folders.
    begun = folder.lock.is_file() or folder.open_shards.is_dir()
    return begun and names <= {".run", "data", "rejected"} and not _holds_data(folder)


def _is_published(folder: RunFolder) -> bool:
    """Return whether a manifest or a shard shows that a run published here."""
    if read_manifest(folder.manifest):
        return True
    try:
        shards = sorted(p for p in folder.data.iterdir() if shard_number(p.name) is not None)
        with shards[0].open("rb") as file:
            row = orjson.loads(file.readline(_MOST_LINE_BYTES))
    except (OSError, IndexError, orjson.JSONDecodeError):
        return False
    return isinstance(row, dict) and {"id", "chunk_id", "recipe", "prompt_version"} <= row.keys()


def _is_bare(folder: RunFolder) -> bool:
    """Return True if it has published pairs, but neither ledger nor settings."""
    is_lost = not (folder.has_ledger or folder.settings.exists() or folder.generation.exists())
    return is_lost and _is_published(folder)


def _is_blank(folder: RunFolder) -> bool:
    """Return True if nothing was asked or written: it is new, or a start had no key.

    Raises:
        FolderError: Its ledger is damaged, or a newer version's.
        StorageError: The disk refused.
    """
    if not folder.has_ledger:
        seen = GenerationLog.read(folder.generation)
        return not (holds_shards(folder) or (seen and seen.generation))
    with folder.read_ledger() as ledger:
        if holds_shards(folder) or not folder.settings.is_file():
            return False
        totals = ledger.totals()
        return not (totals.calls or totals.units or ledger.reopened())


def _holds_data(folder: RunFolder) -> bool:
    places = (folder.data, folder.rejected)
    return any(p.is_dir() and any(p.iterdir()) for p in places)


def _take_lock(folder: RunFolder, files: Files) -> int:
    """Take the lock, write this process's name into it, and return its descriptor."""
    try:
        fd = files.open(folder.lock, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise FolderError(str(refusal(error, folder.lock))) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = _holder(os.pread(fd, 200, 0))
        os.close(fd)
        raise LockedError(
            f"{folder.path}: {holder} works in this folder; wait for it, stop it,"
            " or give another one with -o"
        ) from None
    try:
        started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        files.truncate(fd, 0)
        write_all(files, fd, f"{os.getpid()} {socket.gethostname()} {started}\n".encode())
    except OSError as error:
        os.close(fd)
        raise refusal(error, folder.lock) from None
    return fd


def _holder(text: bytes) -> str:
    words = text.decode("utf-8", "replace").split()
    if len(words) != 3 or not all(word.isprintable() for word in words):  # noqa: PLR2004
        return "another process"
    pid, host, started = words
    where = "" if host == socket.gethostname() else f" on {host}"
    return f"process {pid}{where} (since {started})"


def _check_settings(
    path: Path, before: Mapping[str, Any], now: Mapping[str, Any], *, accept_change: bool
) -> list[str]:
    """Compare with the last start's settings; return a notice when a change was accepted.

    A name that only one side has is not a change: it was added or removed by another version of
    pairmill, and units are identified by content anyway.
    """
    changes = [
        f"{name}: {_shown(before[name])} -> {_shown(value)}"
        for name, value in now.items()
        if name in before and before[name] != _plain(value)
    ]
    if not changes:
        return []
    if not accept_change:
        raise ChangedError(
            f"{path}: begun with other settings ({'; '.join(changes)}); add --accept-change"
            " to go on with the new ones beside what is there, or give another folder with -o"
        )
    return [f"settings changed, as accepted: {'; '.join(changes)}"]


def read_settings(folder: RunFolder) -> Mapping[str, Any]:
    """Return the settings that a folder was begun with, those that determine the pairs; {} if none.

    Raises:
        FolderError: They are damaged.
        StorageError: The disk refused.
    """
    try:
        document = orjson.loads(folder.settings.read_bytes())
    except FileNotFoundError:
        told = read_manifest(folder.manifest).get("origin")
        settings = told.get("settings") if isinstance(told, dict) else None
        return settings if isinstance(settings, dict) else {}
    except OSError as error:
        raise FolderError(str(refusal(error, folder.settings))) from None
    except orjson.JSONDecodeError:
        document = None
    settings = document.get("settings") if isinstance(document, dict) else None
    if not isinstance(settings, dict) or type(document.get("format")) is not int:
        raise FolderError(
            f"{folder.settings}: damaged; run 'pairmill recover {folder.path}' to rebuild it"
        )
    return settings


def _plain(value: Any) -> Any:
    """Return the value after a round trip through JSON: lists for tuples, and so on."""
    return orjson.loads(orjson.dumps(value))


def _shown(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
