"""Writing a file whole or not at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pairmill.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["sync_folder", "write_text"]


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` in UTF-8, so that a reader sees the old file or the new one.

    Lone surrogates, which UTF-8 cannot hold, are written in their escaped form.

    Raises:
        StorageError: The disk refused.
    """
    fresh = path.with_name(f".{path.name}.new")
    try:
        with fresh.open("wb") as file:
            file.write(text.encode("utf-8", "backslashreplace"))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from None


def sync_folder(folder: Path) -> None:
    """Make a rename inside ``folder`` outlast a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
