"""What was found out about endpoints, kept in the run folder between starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from pairmill.store.files import atomic_write

if TYPE_CHECKING:
    from pairmill.store.folder import RunFolder

__all__ = ["FolderMemory"]


class FolderMemory:
    """Names and values in ``.run/endpoints.json``. What cannot be read was never known."""

    def __init__(self, folder: RunFolder) -> None:
        self._path = folder.state / "endpoints.json"

    def get(self, key: str) -> str | None:
        """What was kept under ``key``; None where nothing was."""
        value = self._read().get(key)
        return value if isinstance(value, str) else None

    def set(self, key: str, value: str) -> None:
        """Keep ``value`` under ``key``.

        Raises:
            StorageError: The disk refused.
        """
        atomic_write(self._path, orjson.dumps({**self._read(), key: value}))

    def _read(self) -> dict[str, object]:
        try:
            found = orjson.loads(self._path.read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return {}
        return found if isinstance(found, dict) else {}
