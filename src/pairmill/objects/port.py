"""Port for object stores: named objects, created once or replaced by compare-and-swap."""

from __future__ import annotations

import re
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from pairmill.errors import ConfigError, PairmillError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ObjectStore", "Token", "is_object_name", "probe"]

Token = Any
"""What a store tells of one version of an object, such as its ETag; opaque."""

_NAME = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.\-]*(/[A-Za-z0-9_.][A-Za-z0-9_.\-]*)*", re.ASCII)
_MOST_CHARS = 500


class ObjectStore(Protocol):
    """Objects below one prefix. Synchronous, and usable from several threads.

    Every method raises StorageError if the store cannot be reached now (transient) or refuses
    (not transient: the key lacks a permission, the bucket is not there).

    Attributes:
        where: Its URL, for people.
    """

    where: str

    def get(self, name: str) -> tuple[bytes, Token] | None:
        """Return an object's content, and its version; None if there is no such object."""
        ...

    def create(self, name: str, data: bytes) -> Token | None:
        """Make an object; None: there was one of this name, and it stays."""
        ...

    def replace(self, name: str, data: bytes, token: Token) -> Token | None:
        """Replace the version identified by ``token``; None: it is no longer the current one.

        The content must differ from all earlier ones: the version of some stores is its hash.
        """
        ...

    def names(self, prefix: str) -> list[str]:
        """List the objects in a folder, and in those below it."""
        ...

    def folders(self) -> list[str]:
        """List the folders directly below the prefix."""
        ...

    def delete(self, names: Iterable[str]) -> None:
        """Remove objects; those that are not there are no error."""
        ...


def is_object_name(name: str) -> bool:
    """Return whether a name is one that we make: no empty part, nothing that leads upwards."""
    parts_up = any(part in {".", ".."} for part in name.split("/"))
    return len(name) <= _MOST_CHARS and not parts_up and _NAME.fullmatch(name) is not None


def probe(store: ObjectStore, label: str = "") -> None:
    """Make sure that a store keeps to conditional writes, and shows what was just written.

    Args:
        store: Written to and tidied up.
        label: Name of the setting, for the error.

    Raises:
        ConfigError: It does not, or cannot be written to.
    """
    name = f"probe-{uuid.uuid4().hex}"
    start = f"{label}: " if label else ""
    try:
        try:
            is_safe = _keeps_to_conditions(store, name)
        except PairmillError:
            with suppress(PairmillError):  # the first refusal tells more
                store.delete([name])
            raise
        if is_safe:
            store.delete([name])  # a right that is needed
    except PairmillError as error:
        raise ConfigError(f"{start}{error}") from None
    if not is_safe:
        with suppress(PairmillError):
            store.delete([name])
        raise ConfigError(
            f"{start}{store.where} does not honour conditional writes, so several processes"
            " would overwrite each other; name a store that does, or a folder"
        )


def _keeps_to_conditions(store: ObjectStore, name: str) -> bool:
    if store.create(name, b"1") is None or store.create(name, b"2") is not None:
        return False
    first = _seen(store, name, b"1")
    second = store.replace(name, b"3", first)
    if second is None or store.replace(name, b"4", first) is not None:
        return False
    return store.replace(name, b"5", _seen(store, name, b"3")) is not None


def _seen(store: ObjectStore, name: str, data: bytes) -> Token:
    found = store.get(name)
    if found is None or found[0] != data:
        raise StorageError(
            f"{store.where} does not show at once what was written to it (it is eventually"
            " consistent); name a store that does, or a folder"
        )
    return found[1]
