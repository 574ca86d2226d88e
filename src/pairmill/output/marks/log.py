"""The file of marks: one action per line, appended and synced, readable after a kill at any byte.

A line is a JSON object: ``format``, ``id`` of the action, ``at`` (ISO 8601, UTC), ``action``, and
the keys of the ``pairs`` that it concerns. Nobody's name is kept. Nothing is ever changed: to undo
an action is an action of its own.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec
from msgspec import Struct

from pairmill.errors import FolderError
from pairmill.store.files import DISK, refusal, write_all

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pairmill.store.files import Files

__all__ = ["FORMAT", "RUN_MARKS", "Action", "Edit", "MarksFile", "marks_beside", "new_action"]

FORMAT = 1
RUN_MARKS = "marks.jsonl"
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

Step: TypeAlias = "str | int"
Edit: TypeAlias = "tuple[tuple[Step, ...], str]"
"""Where in a record a text stands (names of fields, places in lists), and the text for it."""


class Action(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One line.

    Attributes:
        id: Names the action, so that it can be undone.
        at: Time, ISO 8601 in UTC.
        pairs: Keys of the pairs: a row's id; of other data, a digest of the record.
        edits: Of an ``edit``: every text that differs from the data; [] puts the data back.
        flags: What the checks found in the edited texts.
        grounding: Of the edited texts, or of a dropped pair that is accepted; None if it was
            not measured.
        support: Likewise.
        note: Of a ``note``; "" removes it.
        of: Of an ``undo``: the action that no longer holds.
        where: How the pairs of a bulk action were chosen, for people.
    """

    format: int
    id: str
    at: str
    action: Literal["accept", "reject", "clear", "edit", "note", "undo"]
    pairs: list[str] = []
    edits: list[Edit] = []
    flags: list[str] = []
    grounding: float | None = None
    support: float | None = None
    note: str = ""
    of: str = ""
    where: str = ""


class _Version(Struct):
    format: int


def new_action(
    action: Literal["accept", "reject", "clear", "edit", "note", "undo"],
    pairs: Sequence[str] = (),
    *,
    now: float | None = None,
    **given: object,
) -> Action:
    """Make an action of now, with a unique id; ``given`` are further fields."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    fields = {"format": FORMAT, "id": secrets.token_hex(8), "at": at, "action": action}
    return msgspec.convert(fields | {"pairs": list(pairs)} | given, Action)


def marks_beside(path: Path, *, is_run: bool) -> Path:
    """Return where the marks of a dataset are: in a run folder, else beside the data."""
    if is_run:
        return path / RUN_MARKS
    whole = path.absolute()
    return whole.with_name(f"{whole.name}.marks")


class MarksFile:
    """Reads a growing file of marks, and appends to it; others may do so at the same time.

    Attributes:
        actions: What was read so far, in order.
        unreadable: Lines that hold no action: torn by a crash, or damaged.
    """

    def __init__(self, path: Path, files: Files = DISK) -> None:
        self.path = path
        self.actions: list[Action] = []
        self.unreadable = 0
        self._files = files
        self._read_to = 0
        self._inode = 0

    def refresh(self) -> bool:
        """Read what is new; True where the file is another, or shorter, and was read afresh.

        Raises:
            FolderError: It cannot be read, is no plain file, or was made by a newer pairmill.
        """
        try:
            fd = os.open(self.path, _READ)
        except FileNotFoundError:
            is_gone = bool(self._read_to)
            self._start_over(0)
            return is_gone
        except OSError as error:
            raise FolderError(f"{self.path}: cannot be read: {error.strerror}") from None
        try:
            _check_plain(fd, self.path)
            with suppress(OSError):  # a file system without locks: a torn line is left for later
                fcntl.flock(fd, fcntl.LOCK_SH)
            found = os.fstat(fd)
            is_other = found.st_ino != self._inode or found.st_size < self._read_to
            if is_other:
                is_other = bool(self._read_to)
                self._start_over(found.st_ino)
            with os.fdopen(os.dup(fd), "rb") as file:
                file.seek(self._read_to)
                for line in file:
                    self._take(line)
        finally:
            os.close(fd)
        return is_other

    def append(self, action: Action) -> None:
        """Add an action durably.

        A torn last line is ended first, so that only it is lost. A partial write is undone.

        Raises:
            FolderError: It is not a regular file.
            StorageError: The disk refused; nothing was added.
        """
        is_new = not self.path.exists()
        try:
            fd = os.open(self.path, _WRITE, 0o666)
        except OSError as error:
            raise refusal(error, self.path) from None
        try:
            _check_plain(fd, self.path)
            self._write(fd, msgspec.json.encode(action) + b"\n")
            if is_new:
                self._files.sync_folder(self.path.parent)
        except OSError as error:
            raise refusal(error, self.path) from None
        finally:
            os.close(fd)

    def _write(self, fd: int, line: bytes) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX)
        size = os.fstat(fd).st_size
        is_torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
        try:
            write_all(self._files, fd, b"\n" + line if is_torn else line)
            self._files.sync(fd)
        except OSError:
            with suppress(OSError):
                self._files.truncate(fd, size)
            raise

    def _start_over(self, inode: int) -> None:
        self.actions = []
        self.unreadable = 0
        self._read_to = 0
        self._inode = inode

    def _take(self, line: bytes) -> None:
        if not line.strip():
            self._read_to += len(line)
            return
        action = _parse(line, self.path)
        if action is not None:
            self.actions.append(action)
        elif line.endswith(b"\n"):
            self.unreadable += 1
        else:
            return  # torn, or still being written: looked at again once it is ended
        self._read_to += len(line)


def _parse(line: bytes, path: Path) -> Action | None:
    try:
        version = msgspec.json.decode(line, type=_Version).format
        if version <= FORMAT:
            return msgspec.json.decode(line, type=Action)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    raise FolderError(f"{path}: made by a newer pairmill; upgrade pairmill to read it")


def _check_plain(fd: int, path: Path) -> None:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise FolderError(f"{path}: not a regular file; move it away")
