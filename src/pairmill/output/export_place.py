"""Place of an export: beside its run, made in a hidden folder, and moved there at once."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from pathlib import Path

from pairmill.display import sanitize
from pairmill.errors import FolderError, StorageError
from pairmill.output.card import CARD
from pairmill.output.formats.registry import find_format
from pairmill.output.split import SPLIT_RECORD
from pairmill.store.files import DISK

__all__ = [
    "MANIFEST",
    "check_is_export",
    "check_replaceable",
    "default_place",
    "describe_earlier",
    "make_staging",
    "put_in_place",
]

MANIFEST = "export.json"
_OWN = {CARD, MANIFEST, SPLIT_RECORD, "data", "dataset_info.json", "axolotl.yaml"}


def default_place(folder: Path, shape: str) -> Path:
    """Return the default place of an export: ``NAME-FORMAT`` beside the run folder.

    Raises:
        UsageError: There is no such format.
    """
    whole = folder.resolve()
    return whole.with_name(f"{whole.name}-{find_format(shape).name}")


def check_is_export(folder: Path) -> None:
    """Make sure that a folder is an export.

    Raises:
        FolderError: It is none.
    """
    if not (folder / MANIFEST).is_file():
        raise FolderError(f"{folder} is not an export of pairmill: it has no {MANIFEST}")


def check_replaceable(out: Path, *, even_changed: bool = False) -> None:
    """Look at whether an export may go to a place.

    Args:
        out: The place.
        even_changed: Data files of an earlier export that were changed since may go too.

    Raises:
        FolderError: Something is there that is neither empty nor an earlier export, or an
            earlier export whose data were changed by somebody since.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise FolderError(f"{out} is a file; name a folder for the export")
    names = {path.name for path in out.iterdir()}
    if not names:
        return
    if MANIFEST not in names:
        raise FolderError(f"{out} is not empty and not an export of pairmill; name another folder")
    foreign = sorted(names - _OWN)
    if foreign:
        raise FolderError(
            f"{out} holds '{foreign[0]}', which is not pairmill's; move it, or name another folder"
        )
    changed = None if even_changed else _changed_file(out)
    if changed:
        raise FolderError(
            f"{out} was changed since it was exported ({sanitize(changed, 100)}); move it, name"
            " another folder, or replace it by 'pairmill export' with --replace"
        )


def _changed_file(out: Path) -> str | None:
    """Return a data file that differs from its export, by its path below the export."""
    try:
        told = json.loads((out / MANIFEST).read_bytes())["files"]
        known = {file["path"]: file["sha256"] for files in told.values() for file in files}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return MANIFEST
    found = {f"data/{path.name}": path for path in sorted((out / "data").glob("*"))}
    for name, path in found.items():
        try:
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != known.get(name):
                    return name
        except OSError:
            return name
    return None


def describe_earlier(out: Path) -> str:
    """Describe the export at a place in a few words; "" if there is none."""
    try:
        told = json.loads((out / MANIFEST).read_bytes())
        pairs = sum(told["kept"].values())
        return f"{sanitize(told['format'], 40)}, {pairs:,} pairs"
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "one whose export.json cannot be read"


def make_staging(out: Path) -> Path:
    """Create a hidden folder beside the place, to make the export in.

    Raises:
        StorageError: The disk refused.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        staging.chmod(0o755)
    except OSError as error:
        raise StorageError(f"cannot write beside {out}: {error.strerror}") from None
    return staging


def put_in_place(staging: Path, out: Path) -> None:
    """Give the finished folder its name; an earlier export is set aside first, then removed."""
    if out.is_dir() and any(out.iterdir()):
        old = Path(tempfile.mkdtemp(prefix=f".{out.name}.old.", dir=out.parent))
        out.rename(old / "export")
        staging.rename(out)
        shutil.rmtree(old)
    else:
        staging.rename(out)  # replaces an empty folder
    DISK.sync_folder(out.parent)
