"""Files beside the ledger of a run folder: one rule for their formats, checked in one place.

Each file has a format number: the field ``format`` of a JSON document or line, the ``user_version``
of an SQLite file. A file without a number has format 1. Whoever changes what a file means raises
its number here; `check_formats` refuses a folder with a higher number where it is opened, before
anything is read or written.

A field that is added without raising the number must be safe to ignore: all readers skip fields
that they do not know, and lose them if they rewrite the file. The formats of the ledger and of
replicas are checked where these are opened, since they may be elsewhere; caches that are made anew
at any time (``origins.json``, texts) need no check.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from pairmill.errors import FolderError

if TYPE_CHECKING:
    from pathlib import Path

    from pairmill.config import Settings
    from pairmill.store.paths import FolderPaths

__all__ = ["FORMATS", "check_formats", "read_last_settings"]

FORMATS = {
    "manifest.json": 1,
    "figures.json": 1,
    "marks.jsonl": 1,
    "superseded.jsonl": 1,
    ".run/settings.json": 1,
    ".run/config.json": 1,
    ".run/origin.json": 1,
    ".run/recipe/recipe.json": 1,
    ".run/fields.json": 1,
    ".run/figures.json": 1,
    ".run/voice.json": 1,
    ".run/verdict.json": 1,
    ".run/input.json": 1,
    ".run/pace.json": 1,
    ".run/spent.json": 1,
    ".run/timeline.json": 1,
    ".run/exports.jsonl": 1,
    ".run/claims.db": 1,
    ".run/follow.db": 1,
    ".run/intake.db": 1,
    ".run/memory.db": 1,
}
"""File in a run folder to the newest format that this version reads."""

_LAST_BYTES = 4096  # of a file of lines: a newer version's lines are the last ones
_USER_VERSION = slice(60, 64)  # in the header of an SQLite file (sqlite.org/fileformat.html, 1.3)


class _Numbered(Struct):
    """The part of a document that has the same meaning in all formats."""

    format: int = 1


def check_formats(folder: FolderPaths) -> None:
    """Refuse a folder in which a newer version of pairmill wrote a file in a newer format.

    A damaged file has no format; its readers handle it.

    Raises:
        FolderError: There is such a file; names it.
    """
    for name, known in FORMATS.items():
        path = folder.path / name
        found = _format_of(path)
        if found > known:
            raise FolderError(
                f"{path}: made by a newer pairmill (format {found}, this one reads {known});"
                " upgrade pairmill to go on"
            )


def _format_of(path: Path) -> int:
    """Return the number of a file's format; 0 if there is no such file, or it is damaged."""
    try:
        with path.open("rb") as file:
            if path.suffix == ".db":
                return int.from_bytes(file.read(_USER_VERSION.stop)[_USER_VERSION], "big")
            if path.suffix == ".jsonl":
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _LAST_BYTES))
                lines = file.read().split(b"\n")[:-1]  # one without an end is still being written
                return msgspec.json.decode(lines[-1], type=_Numbered).format if lines else 0
            return msgspec.json.decode(file.read(), type=_Numbered).format
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0


def read_last_settings(folder: FolderPaths) -> Settings | None:
    """Return all settings of a folder's last start; None if they are missing or damaged.

    Settings that this version does not know, as another one may have, are ignored.
    """
    from pydantic import ValidationError  # noqa: PLC0415 (folders are opened without it)

    from pairmill.config import Settings  # noqa: PLC0415 (likewise)

    try:
        data = folder.resolved.read_bytes()
        try:
            return Settings.model_validate_json(data)
        except ValidationError as error:
            known = msgspec.json.decode(data)
            for fault in error.errors(include_url=False):
                if fault["type"] == "extra_forbidden":
                    inner = known
                    for key in fault["loc"][:-1]:
                        inner = inner[key]
                    del inner[fault["loc"][-1]]
            return Settings.model_validate_json(msgspec.json.encode(known))
    except (OSError, ValueError, LookupError, TypeError):
        return None
