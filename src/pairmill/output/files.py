"""Writes a text completely or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.store.files import atomic_write

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["write_text"]


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` in UTF-8, so that a reader sees the old file or the new one.

    Lone surrogates, which UTF-8 cannot hold, are written in their escaped form.

    Raises:
        StorageError: The disk refused.
    """
    atomic_write(path, text.encode("utf-8", "backslashreplace"))
