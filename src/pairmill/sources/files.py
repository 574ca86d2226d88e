"""Finds input files: inputs in the given order, folders in a fixed order."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pairmill.errors import InputError
from pairmill.sources.characters import plain_line
from pairmill.sources.notes import InputFate, Note
from pairmill.sources.registry import Formats, ending_of
from pairmill.sources.remote import RemoteFile, check_remote, find_remote, is_remote, url_label

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pairmill.sources.notes import Watch

__all__ = ["STANDARD_INPUT", "FoundFile", "check_inputs", "find_files"]

STANDARD_INPUT = "-"
_LABEL_MAX_CHARS = 500
_NO_DOCUMENTS = frozenset(
    [
        ".png",
        ".jpg",
        ".jpeg",
        ".gif",
        ".webp",
        ".svg",
        ".ico",
        ".bmp",
        ".tif",
        ".tiff",
        ".avif",
        ".heic",
        ".psd",
        ".mp3",
        ".mp4",
        ".m4a",
        ".wav",
        ".ogg",
        ".flac",
        ".webm",
        ".avi",
        ".mov",
        ".mkv",
        ".woff",
        ".woff2",
        ".ttf",
        ".otf",
        ".eot",
        ".css",
        ".scss",
        ".less",
        ".js",
        ".mjs",
        ".map",
        ".ts",
        ".jsx",
        ".tsx",
        ".exe",
        ".dll",
        ".so",
        ".dylib",
        ".o",
        ".a",
        ".class",
        ".pyc",
        ".whl",
        ".jar",
        ".deb",
        ".rpm",
        ".iso",
        ".dmg",
        ".bin",
        ".dat",
        ".db",
        ".sqlite",
        ".sqlite3",
        ".lock",
        ".log",
        ".pid",
        ".sock",
        ".tmp",
        ".swp",
        ".bak",
        ".idx",
        ".pack",
    ]
)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file to read, with a display name; standard input if without ``path`` and ``remote``."""

    path: Path | None
    label: str
    from_folder: bool = False
    remote: RemoteFile | None = None


def check_inputs(
    inputs: tuple[str, ...],
    output: Path,
    sources: tuple[str, ...] = (),
    *,
    may_be_empty: bool = False,
) -> None:
    """Check every input before reading the first, to report mistakes at once.

    With ``may_be_empty``, a folder may still be empty.

    Raises:
        ConfigError: A user's own format cannot be loaded.
        InputError: One does not exist, cannot be read, is neither file nor folder, or is a folder
            without any file that may hold a document.
    """
    if not inputs:
        raise InputError("no input given: name files, folders, or - for standard input")
    formats = Formats(sources)
    for given in inputs:
        if is_remote(given):
            check_remote(given)
        elif given != STANDARD_INPUT:
            _check(given, output, formats, may_be_empty=may_be_empty)


def find_files(inputs: tuple[str, ...], output: Path, watch: Watch) -> Iterator[FoundFile]:
    """Yield the files of all inputs in the given order; those of a folder by name, depth first.

    In folders, hidden files and the run's own output are skipped; files of unknown types and links
    that lead out of the folder are reported.
    """
    for given in inputs:
        if given == STANDARD_INPUT:
            yield FoundFile(None, "standard input")
        elif is_remote(given):
            yield from _remote_files(given, watch)
        elif os.path.isdir(given):  # noqa: PTH112 (as plain as the rest of the walk)
            yield from _walk(given, Path(given).resolve(), output.resolve(), watch)
        else:
            yield FoundFile(Path(given), _label(given))


def _remote_files(given: str, watch: Watch) -> Iterator[FoundFile]:
    named = None
    for file in find_remote(given):
        from_folder = named is not None or file.label != url_label(given)
        named = file
        ending = ending_of(file.name)
        if from_folder and ending in _NO_DOCUMENTS:
            watch(Note(InputFate.SKIPPED, file.label, "not a document", f"a {ending} file"))
        else:
            yield FoundFile(None, file.label, from_folder, file)


def _check(given: str, output: Path, formats: Formats, *, may_be_empty: bool) -> None:
    label = _label(given)
    try:
        mode = os.stat(given).st_mode  # noqa: PTH116 (a path given as text may hold anything)
    except FileNotFoundError:
        raise InputError(f"no such file or folder: {label}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {label}: {_why(error)}") from None
    if stat.S_ISREG(mode):
        if not os.access(given, os.R_OK):
            raise InputError(f"cannot read {label}: permission denied")
    elif stat.S_ISDIR(mode):
        _check_folder(given, label, output, formats, may_be_empty=may_be_empty)
    else:
        raise InputError(
            f"{label} is a pipe or a device; give it as standard input: ... < {label}, and -"
        )


def _check_folder(
    given: str, label: str, output: Path, formats: Formats, *, may_be_empty: bool
) -> None:
    if not os.access(given, os.R_OK | os.X_OK):
        raise InputError(f"cannot read {label}: permission denied")
    if may_be_empty:
        return
    for _ in _walk(given, Path(given).resolve(), output.resolve(), lambda _: None):
        return
    kinds = " ".join(formats.endings)
    raise InputError(f"nothing to read in the folder {label} (known: {kinds}, also .gz .bz2 .xz)")


def _walk(folder: str, root: Path, output: Path, watch: Watch) -> Iterator[FoundFile]:
    """Yield the files below a folder, depth first, without recursion."""
    waiting: list[Iterator[os.DirEntry[str]]] = [_entries(folder, watch)]
    while waiting:
        entry = next(waiting[-1], None)
        if entry is None:
            waiting.pop()
            continue
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            if Path(entry.path).resolve() != output:
                waiting.append(_entries(entry.path, watch))
            continue
        problem = _problem(entry, root)
        if problem:
            watch(Note(InputFate.SKIPPED, _label(entry.path), *problem))
        else:
            yield FoundFile(Path(entry.path), _label(entry.path), from_folder=True)


def _entries(folder: str, watch: Watch) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return iter(sorted(entries, key=lambda entry: os.fsencode(entry.name)))
    except OSError as error:
        watch(Note(InputFate.SKIPPED, _label(folder), "cannot read folder", _why(error)))
        return iter(())


def _problem(entry: os.DirEntry[str], root: Path) -> tuple[str, str] | None:
    """Return why an entry of a folder is not read; None if it is."""
    if entry.is_symlink():
        target = Path(os.path.realpath(entry.path))
        if not target.is_relative_to(root):
            return "link out of the folder", "name the file itself to have it read"
        if target.is_dir():
            return "link to a folder", "what it holds is read where it stands"
    if not entry.is_file():
        return "not a regular file", "a pipe, a device, or a link to nothing"
    if ending_of(entry.name) in _NO_DOCUMENTS:
        return "not a document", f"a {ending_of(entry.name)} file"
    return None


def _label(path: str) -> str:
    return plain_line(path.encode("utf-8", "backslashreplace").decode(), _LABEL_MAX_CHARS)


def _why(error: OSError | ValueError) -> str:
    return (error.strerror or "no reason") if isinstance(error, OSError) else "not a valid path"
