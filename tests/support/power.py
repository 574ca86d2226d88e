"""A disk that loses power: whatever was not synced is there, or not, or is something else.

SQLite tests itself this way: a layer under the store knows what was synced, and at the moment of
the crash makes a folder in which any part of the rest came through.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.journals import Killed

from pairmill.store.files import Disk

if TYPE_CHECKING:
    import random
    from pathlib import Path

__all__ = ["PowerDisk"]


@dataclass(eq=False)
class _File:
    """An inode.

    Attributes:
        now: Its name, as the running process sees it; None once it is removed.
        names: Every name that it may have after a crash; the first is the safe one, and None means
            that it may not be there at all.
        safe: The bytes that were synced.
        ghost: What stood there before a cut that was not synced, and may come back.
    """

    now: Path | None
    names: list[Path | None]
    safe: bytes = b""
    ghost: bytes = b""


class PowerDisk(Disk):
    """Works on a real folder, and loses power at its n-th operation.

    Files that do not go through here (SQLite's own, which syncs for itself, and those that are
    replaced as a whole) come through as they stand.

    Attributes:
        crashed: The folder as the next start finds it; None as long as the power is on.
        keeps_all: It is the process that dies, and not the power: what was written is there.
    """

    keeps_all = False

    def __init__(self, path: Path, crash_at: int, place: Path, dice: random.Random) -> None:
        self.path = path
        self.left = crash_at
        self.crashed: Path | None = None
        self._place = place
        self._dice = dice
        self._open: dict[int, _File] = {}
        self._files = [
            _File(file, [file], file.read_bytes()) for file in sorted(path.rglob("*.jsonl"))
        ]

    def cut(self) -> None:
        """Cut the power now."""
        self.crashed = self._place
        ignored = shutil.ignore_patterns("*-shm", "*.jsonl", ".*.tmp")
        shutil.copytree(self.path, self._place, ignore=ignored)
        for file in self._files:
            name = file.now if self.keeps_all else self._dice.choice(file.names)
            if name is not None and name.suffix == ".jsonl":
                (self._place / name.relative_to(self.path)).write_bytes(self._content(file))

    def step(self) -> None:
        if self.crashed is not None:
            raise Killed
        self.left -= 1
        if self.left < 0:
            self.cut()
            raise Killed

    def _content(self, file: _File) -> bytes:
        """What the platter holds: the synced bytes, and any part, or any garbage, of the others."""
        there = file.now if file.now is not None else None
        written = there.read_bytes() if there is not None and there.exists() else file.safe
        if self.keeps_all:
            return written
        if file.ghost:
            return self._dice.choice([file.ghost, written])
        rest = written[len(file.safe) :]
        kept = rest[: self._dice.randint(0, len(rest))]
        fate = self._dice.randrange(4)
        if fate == 0:
            return file.safe + kept
        if fate == 1:  # the length came through, the bytes did not
            return file.safe + kept + b"\0" * (len(rest) - len(kept))
        if fate == 2:  # a page in the middle did not
            return file.safe + b"\0" * len(kept) + rest[len(kept) :]
        return file.safe + self._dice.randbytes(len(kept))

    def open(self, path: Path, flags: int) -> int:
        self.step()
        is_new = not path.exists()
        fd = super().open(path, flags)
        if is_new:
            self._files.append(_File(path, [None, path]))
        known = [file for file in self._files if file.now == path]
        self._open[fd] = known[0] if known else _File(path, [path], path.read_bytes())
        return fd

    def write(self, fd: int, data: bytes | memoryview) -> int:
        self.step()
        return os.write(fd, data[: self._dice.randint(1, len(data))])

    def sync(self, fd: int) -> None:
        self.step()
        file = self._open[fd]
        if file.now is not None:
            file.safe, file.ghost = file.now.read_bytes(), b""

    def truncate(self, fd: int, length: int) -> None:
        self.step()
        file = self._open[fd]
        if file.now is not None and file.now.stat().st_size > length:
            file.ghost = file.ghost or file.now.read_bytes()
        super().truncate(fd, length)

    def close(self, fd: int) -> None:
        self._open.pop(fd, None)
        super().close(fd)

    def rename(self, old: Path, new: Path) -> None:
        self.step()
        super().rename(old, new)
        for file in self._files:
            if file.now == old:
                file.now = new
                file.names.append(new)

    def unlink(self, path: Path) -> None:
        self.step()
        super().unlink(path)
        for file in self._files:
            if file.now == path:
                file.now = None
                file.names.append(None)

    def sync_folder(self, path: Path) -> None:
        self.step()
        for file in self._files:
            safe = file.names[0]
            if file.now is None or file.now.parent == path:
                file.names = [file.now]
            elif safe is not None and safe.parent == path:  # gone here, and not yet safe there
                file.names = [None, file.now]
