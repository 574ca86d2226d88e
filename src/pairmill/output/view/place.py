"""The viewed dataset, and reading one pair from its place."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from msgspec import Struct

from pairmill.display import sanitize
from pairmill.errors import FolderError, InputError
from pairmill.output.marks.overlay import is_run_folder

if TYPE_CHECKING:
    from pairmill.output.view.index import Found

__all__ = ["GoneError", "ViewJob", "check_name", "is_lines", "read_value", "view_job"]


class ViewJob(Struct, frozen=True):
    """Job of a process beside the server.

    Attributes:
        what: ``index`` or ``judge``.
        path: The dataset.
        is_run: It is a run folder.
        scratch: A private folder.
        version: Of pairmill.
        run_code: Python code that the run folder names may run.
    """

    what: str
    path: str
    is_run: bool
    scratch: str
    version: str = ""
    run_code: bool = False


class GoneError(FolderError):
    """A pair is no longer in its place."""


def view_job(path: Path, scratch: Path, version: str, *, run_code: bool = False) -> ViewJob:
    """Make the job for viewing a dataset.

    Raises:
        InputError: There is none.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    check_name(path.absolute())
    return ViewJob(
        "index", str(path.absolute()), is_run_folder(path), str(scratch), version, run_code
    )


def check_name(path: Path) -> None:
    """Refuse a path that is no text.

    Raises:
        InputError: It holds bytes that are no UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise InputError(f"{sanitize(path)}: its name is not valid UTF-8; rename it") from None


def is_lines(file: Path) -> bool:
    """Return whether records are lines of the file, so that they are read from their place."""
    return file.suffix in {".jsonl", ".ndjson"}


def read_value(found: Found) -> tuple[Any, bytes]:
    """Return the record in its file, and its bytes.

    Raises:
        GoneError: The file is gone, or something else is there now.
    """
    if found.body is not None:
        data = zlib.decompress(found.body)
        return orjson.loads(data), data
    data = _bytes_at(Path(found.path), found.offset, found.length)
    try:
        return orjson.loads(data), data
    except orjson.JSONDecodeError:
        raise GoneError(f"{found.path}: changed since it was read") from None


def _bytes_at(path: Path, offset: int, length: int) -> bytes:
    # A shard that was open when it was read may be published by now.
    folder = "rejected" if path.name.startswith("rejected") else "data"
    places = [path]
    if ".run" in path.parts:
        at = len(path.parts) - 1 - path.parts[::-1].index(".run")
        places.append(Path(*path.parts[:at]) / folder / path.name)
    for place in places:
        try:
            with place.open("rb") as file:
                file.seek(offset)
                data = file.read(length)
        except OSError:
            continue
        if len(data) == length:
            return data
    raise GoneError(f"{path}: is gone, or shorter than it was")
