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
from pairmill.plain import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SharedFolder", "SharedObject", "StoredObject", "open_shared"]

_KEPT = 64  # versions that stay, for readers and writers that are late
_NAME = "share"
_SCHEMES = ("s3", "gs", "az", "memory")


class SharedObject(Protocol):
    """A small object that is changed by turns.

    Attributes:
        writes_per_s: That it takes well, of all members together.
    """

    writes_per_s: float

    def read(self) -> tuple[bytes | None, Any]:
        """Its content, None where it was never written; and a token for `swap`.

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
    """An object of an object store with conditional writes, by obstore.

    Attributes:
        writes_per_s: See `SharedObject`.
    """

    writes_per_s = 1.0  # what one object of a large store takes

    def __init__(self, store: Any, name: str = f"{_NAME}.json", where: str = "share") -> None:
        """Take a store, and probe that it keeps to conditions.

        Raises:
            ConfigError: It does not, or cannot be written to.
        """
        import obstore  # noqa: PLC0415 (an extra)

        self._obstore = obstore
        self._store = store
        self._name = name
        self._where = where
        self._probe()

    def read(self) -> tuple[bytes | None, Mapping[str, Any] | None]:
        """See `SharedObject`."""
        try:
            found = self._obstore.get(self._store, self._name)
        except FileNotFoundError:
            return None, None
        except Exception as error:  # noqa: BLE001 (each store has errors of its own)
            raise self._refusal(error) from None
        return bytes(found.bytes()), _token_of(found.meta)

    def swap(self, data: bytes, token: Mapping[str, Any] | None) -> bool:
        """See `SharedObject`."""
        return self._put(self._name, data, token)

    def _put(self, name: str, data: bytes, token: Mapping[str, Any] | None) -> bool:
        errors = self._obstore.exceptions
        mode: Any = token or "create"
        try:
            self._obstore.put(self._store, name, data, mode=mode, use_multipart=False)
        except (errors.AlreadyExistsError, errors.PreconditionError, FileNotFoundError):
            return False
        except Exception as error:  # noqa: BLE001 (each store has errors of its own)
            raise self._refusal(error) from None
        return True

    def _probe(self) -> None:
        """Refuse a store that does not keep to conditions: it would lose what others write."""
        name = f".probe-{uuid.uuid4().hex}"
        try:
            is_made = self._put(name, b"1", None)
            is_safe = is_made and not self._put(name, b"2", None)
            if is_safe:
                token = _token_of(self._obstore.head(self._store, name))
                is_safe = self._put(name, b"3", token) and not self._put(name, b"4", token)
            self._obstore.delete(self._store, name)
        except StorageError as error:
            raise ConfigError(f"share: {error}") from None
        except Exception as error:  # noqa: BLE001 (each store has errors of its own)
            raise ConfigError(f"share: {self._refusal(error)}") from None
        if not is_safe:
            raise ConfigError(
                f"share: {self._where} does not honour conditional writes, so several processes"
                " would overwrite each other; name a store that does, or a folder"
            )

    def _refusal(self, error: Exception) -> StorageError:
        words = plain(str(error).split("\n", 1)[0], 160)
        return StorageError(f"{self._where}: {type(error).__name__}: {words}", transient=True)


def open_shared(place: str) -> SharedObject:
    """Open the object at a folder or at a URL (``s3://bucket/prefix``, ``gs://``, ``az://``).

    Raises:
        ConfigError: It cannot be used, or the extra for object stores is missing.
    """
    scheme, sign, rest = place.partition("://")
    if not sign:
        return SharedFolder(Path(place))
    if scheme == "file":
        return SharedFolder(Path(rest))
    if scheme not in _SCHEMES:
        known = ", ".join(f"{name}://" for name in _SCHEMES[:-1])
        raise ConfigError(f"share: {scheme}:// is none of {known}, nor a folder")
    try:
        from obstore.store import from_url  # noqa: PLC0415 (an extra)
    except ImportError:
        raise ConfigError(
            f"share: {scheme}:// needs the extra: pip install 'pairmill[store]'"
        ) from None
    try:
        store = from_url(place)
    except Exception as error:  # noqa: BLE001 (each store has errors of its own)
        words = plain(str(error).split("\n", 1)[0], 160)
        raise ConfigError(f"share: cannot open {plain(place, 200)}: {words}") from None
    return StoredObject(store, where=plain(place, 200))


def _token_of(meta: Mapping[str, Any]) -> dict[str, Any]:
    return {name: meta[name] for name in ("e_tag", "version") if meta.get(name) is not None}
