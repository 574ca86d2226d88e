"""Storage of the shared object: a folder that all can see, an object store, or a Ray actor.

All are changed by compare-and-swap: a write succeeds only if nothing was written since the read.

The actor writes each version through to a folder or an object store. It serialises changes at the
speed of a message, and reads cost no request. It holds no state of its own: if it is lost, Ray
restarts it on another node, and no lease is forgotten.
"""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pairmill.errors import ConfigError, PairmillError, StorageError
from pairmill.objects.port import probe
from pairmill.objects.url import open_store

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from pairmill.objects.port import ObjectStore

__all__ = [
    "NAMESPACE",
    "RAY_SCHEME",
    "RayObject",
    "ServedPlace",
    "SharedActor",
    "SharedFolder",
    "SharedObject",
    "StoredObject",
    "open_shared",
]

NAMESPACE = "pairmill"
RAY_SCHEME = "ray"
_FOLDER_WRITES_PER_S = 30.0  # by one process, without races
_WAIT_S = 10.0  # for the actor's answer; it may be starting again elsewhere
_KEPT = 64  # versions that stay, for readers and writers that are late
_NAME = "share"


class SharedObject(Protocol):
    """A small object that is changed by turns.

    Attributes:
        writes_per_s: That it takes well, of all members together.
    """

    writes_per_s: float

    def read(self) -> tuple[bytes | None, Any]:
        """Return the content, None if it was never written, and a token for `swap`.

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


@dataclass(frozen=True, slots=True)
class ServedPlace:
    """What an actor serves.

    Attributes:
        place: A folder, or the URL of an object store.
        environment: Variables that name the store's key, kept out of what Ray logs.
    """

    place: str
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


class SharedActor:
    """Serves a shared object to the processes of a Ray cluster (as an actor).

    A refusal is returned as its text: an error would arrive wrapped in a stack trace.
    """

    def __init__(self, served: ServedPlace) -> None:
        self._place = served.place
        os.environ.update(served.environment)
        self._shared: SharedObject | None = None
        self._known: tuple[bytes | None, Any] | None = None

    def writes_per_s(self) -> float | str:
        """Return how many changes a second the object takes, or why there is none."""
        try:
            place = self._open()
        except PairmillError as error:
            return str(error)
        return _FOLDER_WRITES_PER_S if isinstance(place, SharedFolder) else place.writes_per_s

    def read(self) -> tuple[bytes | None, Any] | str:
        """Return content and token, or why there are none."""
        try:
            if self._known is None:
                self._known = self._open().read()
        except PairmillError as error:
            return str(error)
        return self._known

    def swap(self, data: bytes, token: Any) -> bool | str:
        """Return whether the content was replaced, or why that cannot be known."""
        if self._known is not None and self._known[1] != token:
            return False
        self._known = None  # what is there now is read next
        try:
            return self._open().swap(data, token)
        except PairmillError as error:
            return str(error)

    def _open(self) -> SharedObject:
        if self._shared is None:
            self._shared = open_shared(self._place)
        return self._shared


class RayObject:
    """An actor's content, seen from a process that is connected to its cluster.

    Attributes:
        writes_per_s: See `SharedObject`.
    """

    def __init__(self, name: str) -> None:
        """Look an actor up.

        Raises:
            ConfigError: This process is in no cluster, or there is no such actor.
        """
        self._ray = _ray()
        if self._ray is None or not self._ray.is_initialized():
            raise ConfigError(
                "share: ray:// is what engine ray gives its parts; name a folder or an object store"
            )
        try:
            self._actor: Any = self._ray.get_actor(name, namespace=NAMESPACE)
        except ValueError:
            raise ConfigError(f"share: there is no actor '{name}' in this Ray cluster") from None
        try:
            self.writes_per_s = float(self._ask(self._actor.writes_per_s.remote()))
        except StorageError as error:
            raise ConfigError(str(error)) from None

    def read(self) -> tuple[bytes | None, Any]:
        """See `SharedObject`."""
        found: tuple[bytes | None, Any] = self._ask(self._actor.read.remote())
        return found

    def swap(self, data: bytes, token: Any) -> bool:
        """See `SharedObject`."""
        return bool(self._ask(self._actor.swap.remote(data, token)))

    def _ask(self, reference: Any) -> Any:
        assert self._ray is not None  # noqa: S101 (else there is no such object)
        try:
            found = self._ray.get(reference, timeout=_WAIT_S)
        except self._ray.exceptions.RayError as error:
            what = type(error).__name__
            raise StorageError(f"share: Ray's actor: {what}", transient=True) from None
        if isinstance(found, str):
            raise StorageError(found, transient=True)
        return found


def _ray() -> ModuleType | None:
    try:
        import ray  # noqa: PLC0415 (an extra)
    except ImportError:
        return None
    found: ModuleType = ray
    return found


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
    if scheme == RAY_SCHEME:
        return RayObject(rest)
    return StoredObject(open_store(place, "share"))
