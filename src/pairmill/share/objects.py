"""Where the shared object is: a folder of a file system that all see, or an object store.

Both are changed by compare-and-swap: a write succeeds only if nobody wrote since the read.
"""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pairmill.errors import ConfigError, StorageError
from pairmill.objects.port import probe
from pairmill.objects.url import open_store

if TYPE_CHECKING:
    from pairmill.objects.port import ObjectStore

__all__ = ["SharedFolder", "SharedObject", "StoredObject", "open_place"]

_KEPT = 64  # versions that stay, for readers and writers that are late
_NAME = "share"


class SharedObject(Protocol):
    """A small object that is changed by turns.

    Attributes:
        writes_per_s: That it takes well, of all members together.
    """

    writes_per_s: float

    def read(self) -> tuple[bytes | None, Any]:
        """Its content, None if it was never written; and a token for `swap`.

        Raises:
            StorageError: It cannot be read now.
        """
        ...

    def swap(self, data: bytes, token: Any) -> bool:
        """Replace what was read with ``token``; False: somebody was faster.

        Raises:
            StorageError: It cannot be written now.
        """
        ...


class SharedFolder:
    """Numbered versions of a file; the highest number holds.

    A version is made by linking a finished file to its name, which fails where the name is taken,
    on network file systems too. Versions vanish in their order, long after: so where the one before
    is still there, nobody else made the next.

    Attributes:
        writes_per_s: See `SharedObject`.
    """

    writes_per_s = 10.0

    def __init__(self, folder: Path) -> None:
        """Take a folder, made if need be.

        Raises:
            ConfigError: It cannot be made or written to.
        """
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            trial = folder / f".{uuid.uuid4().hex}"
            trial.write_bytes(b"")
            trial.unlink()
        except OSError as error:
            raise ConfigError(f"share: cannot write to {folder}: {error.strerror}") from None

    def read(self) -> tuple[bytes | None, int]:
        """See `SharedObject`."""
        for _ in range(_KEPT):
            numbers = self._numbers()
            if not numbers:
                return None, 0
            with suppress(FileNotFoundError):  # a reader that was late by many versions
                return self._read(numbers[-1]), numbers[-1]
        raise StorageError(f"{self._folder}: changes too fast to be read", transient=True)

    def swap(self, data: bytes, token: int) -> bool:
        """See `SharedObject`."""
        new = self._folder / f".{uuid.uuid4().hex}"
        try:
            with new.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(new, self._path(token + 1))
            except FileExistsError:
                return False
            finally:
                new.unlink()
            if token and not self._path(token).exists():  # we were late by many versions
                self._path(token + 1).unlink(missing_ok=True)
                return False
            for number in self._numbers()[:-_KEPT]:
                self._path(number).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{self._folder}: {error.strerror}", transient=True) from None
        return True

    def _read(self, number: int) -> bytes:
        try:
            return self._path(number).read_bytes()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StorageError(f"{self._folder}: {error.strerror}", transient=True) from None

    def _numbers(self) -> list[int]:
        try:
            names = [path.name for path in self._folder.iterdir()]
        except OSError as error:
            raise StorageError(f"{self._folder}: {error.strerror}", transient=True) from None
        parts = (name.removeprefix(f"{_NAME}-").removesuffix(".json") for name in names)
        return sorted(int(part) for part in parts if part.isascii() and part.isdigit())

    def _path(self, number: int) -> Path:
        return self._folder / f"{_NAME}-{number:012d}.json"


class StoredObject:
    """An object of an object store with conditional writes.

    Attributes:
        writes_per_s: See `SharedObject`.
    """

    writes_per_s = 1.0  # what one object of a large store takes

    def __init__(self, store: ObjectStore, name: str = f"{_NAME}.json") -> None:
        """Take a store, and probe that it keeps to conditions.

        Raises:
            ConfigError: It does not, or cannot be written to.
        """
        self._store = store
        self._name = name
        probe(store, "share")

    def read(self) -> tuple[bytes | None, Any]:
        """See `SharedObject`."""
        return self._store.get(self._name) or (None, None)

    def swap(self, data: bytes, token: Any) -> bool:
        """See `SharedObject`."""
        if token is None:
            return self._store.create(self._name, data) is not None
        return self._store.replace(self._name, data, token) is not None


def open_place(place: str) -> SharedObject:
    """Open the object in a folder or in an object store.

    Raises:
        ConfigError: It cannot be used, or the extra for object stores is missing.
    """
    scheme, sign, rest = place.partition("://")
    if not sign:
        return SharedFolder(Path(place))
    if scheme == "file":
        return SharedFolder(Path(rest))
    return StoredObject(open_store(place, "share"))
