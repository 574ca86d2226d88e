"""The shared object in a Ray actor, which writes each version to a folder that all nodes see.

The actor takes changes in turn, at the speed of a message. It keeps nothing that the folder does
not have: where it is lost, Ray starts it again on another node, and money that was leased is known.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pairmill.errors import ConfigError, PairmillError, StorageError
from pairmill.share.objects import SharedFolder

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["NAMESPACE", "RAY_SCHEME", "RayObject", "SharedFolderActor"]

NAMESPACE = "pairmill"
RAY_SCHEME = "ray"
_WAIT_S = 10.0  # for the actor's answer; it may be starting again elsewhere


class SharedFolderActor:
    """Serves a shared folder to the processes of a Ray cluster (as an actor).

    A refusal is returned as its text: an error would arrive wrapped in a stack trace.
    """

    def __init__(self, folder: str) -> None:
        self._shared = SharedFolder(Path(folder))
        self._known: tuple[bytes | None, int] | None = None

    def read(self) -> tuple[bytes | None, int] | str:
        """Return content and token, or why there are none."""
        try:
            if self._known is None:
                self._known = self._shared.read()
        except PairmillError as error:
            return str(error)
        return self._known

    def swap(self, data: bytes, token: int) -> bool | str:
        """Return whether the content was replaced, or why that cannot be known."""
        if self._known is not None and self._known[1] != token:
            return False
        self._known = None  # until the write is known to have succeeded
        try:
            if self._shared.swap(data, token):
                self._known = data, token + 1
        except PairmillError as error:
            return str(error)
        return self._known is not None


class RayObject:
    """An actor's content, seen from a process that is connected to its cluster.

    Attributes:
        writes_per_s: See `pairmill.share.objects.SharedObject`.
    """

    writes_per_s = 30.0

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

    def read(self) -> tuple[bytes | None, int]:
        """See `pairmill.share.objects.SharedObject`."""
        found: tuple[bytes | None, int] = self._ask(self._actor.read.remote())
        return found

    def swap(self, data: bytes, token: int) -> bool:
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
