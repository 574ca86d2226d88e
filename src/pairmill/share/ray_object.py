"""The shared object in a Ray actor, which writes each version where the object really lies.

That is a folder that all nodes see, or an object store. The actor takes changes in turn, at the
speed of a message, and reads cost no request. It keeps nothing that is not there: where it is lost,
Ray starts it again on another node, and money that was leased is known.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pairmill.errors import ConfigError, PairmillError, StorageError
from pairmill.share.objects import SharedFolder, open_place

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from pairmill.share.objects import SharedObject

__all__ = ["NAMESPACE", "RAY_SCHEME", "RayObject", "ServedPlace", "SharedActor"]

NAMESPACE = "pairmill"
RAY_SCHEME = "ray"
_FOLDER_WRITES_PER_S = 30.0  # by one process, without races
_WAIT_S = 10.0  # for the actor's answer; it may be starting again elsewhere


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
            self._shared = open_place(self._place)
        return self._shared


class RayObject:
    """An actor's content, seen from a process that is connected to its cluster.

    Attributes:
        writes_per_s: See `pairmill.share.objects.SharedObject`.
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
        """See `pairmill.share.objects.SharedObject`."""
        found: tuple[bytes | None, Any] = self._ask(self._actor.read.remote())
        return found

    def swap(self, data: bytes, token: Any) -> bool:
        """See `pairmill.share.objects.SharedObject`."""
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
