"""A folder of a file system as an object store: for ``file://``, and for tests with processes."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pairmill.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["FolderStore"]

_LOCK = ".lock"
_NEW = ".new-"


class FolderStore:
    """Files below a folder, made by linking and replaced by renaming.

    Replacing holds a lock of the file system, which holds among machines too on NFS 4.

    Attributes:
        where: See `ObjectStore`.
    """

    def __init__(self, root: Path, where: str = "") -> None:
        """Take the folder; it is made by the first write."""
        self._root = root
        self.where = where or str(root)

    def get(self, name: str) -> tuple[bytes, str] | None:
        """See `ObjectStore`."""
        try:
            data = (self._root / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._refusal(error) from None
        return data, _token(data)

    def create(self, name: str, data: bytes) -> str | None:
        """See `ObjectStore`."""
        with self._written(name, data) as new:
            try:
                os.link(new, self._root / name)
            except FileExistsError:
                return None
            self._sync(name)
        return _token(data)

    def replace(self, name: str, data: bytes, token: str) -> str | None:
        """See `ObjectStore`."""
        with self._written(name, data) as new, self._locked():
            found = self.get(name)
            if found is None or found[1] != token:
                return None
            new.replace(self._root / name)
            self._sync(name)
        return _token(data)

    def names(self, prefix: str) -> list[str]:
        """See `ObjectStore`."""
        found = []
        for place, _, files in os.walk(self._root / prefix):
            relative = Path(place).relative_to(self._root)
            found += [(relative / name).as_posix() for name in files if _is_object(name)]
        return sorted(found)

    def folders(self) -> list[str]:
        """See `ObjectStore`."""
        try:
            return sorted(path.name for path in self._root.iterdir() if path.is_dir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._refusal(error) from None

    def delete(self, names: Iterable[str]) -> None:
        """See `ObjectStore`."""
        try:
            for name in names:
                (self._root / name).unlink(missing_ok=True)
        except OSError as error:
            raise self._refusal(error) from None

    @contextmanager
    def _written(self, name: str, data: bytes) -> Iterator[Path]:
        """Write a file beside where it is to go, and remove it if it is still there after."""
        new = (self._root / name).with_name(f"{_NEW}{uuid.uuid4().hex}")
        try:
            new.parent.mkdir(parents=True, exist_ok=True)
            with new.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            yield new
        except OSError as error:
            raise self._refusal(error) from None
        finally:
            with suppress(OSError):
                new.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fd = os.open(self._root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _sync(self, name: str) -> None:
        fd = os.open((self._root / name).parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _refusal(self, error: OSError) -> StorageError:
        is_final = error.errno in {errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EROFS}
        return StorageError(f"{self.where}: {error.strerror}", transient=not is_final)


def _is_object(name: str) -> bool:
    return name != _LOCK and not name.startswith(_NEW)


def _token(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
