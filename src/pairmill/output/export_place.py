"""Where an export goes: beside its run, made out of sight, and put there whole."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from pairmill.errors import FolderError, StorageError
from pairmill.output.card import CARD
from pairmill.output.formats.registry import find_format
from pairmill.output.split_record import SPLIT_RECORD
from pairmill.store.files import DISK

__all__ = ["MANIFEST", "check_replaceable", "default_place", "make_staging", "put_in_place"]

MANIFEST = "export.json"
_OWN = {CARD, MANIFEST, SPLIT_RECORD, "data", "dataset_info.json", "axolotl.yaml"}


def default_place(folder: Path, shape: str) -> Path:
    """Where an export of a run folder goes if nobody says: ``NAME-FORMAT`` beside it.

    Raises:
        UsageError: There is no such format.
    """
    whole = folder.resolve()
    return whole.with_name(f"{whole.name}-{find_format(shape).name}")


def check_replaceable(out: Path) -> None:
    """Look at whether an export may go to a place.

    Raises:
        FolderError: Something stands there that is neither empty nor an earlier export.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise FolderError(f"{out} is a file; name a folder for the export")
    names = {path.name for path in out.iterdir()}
    if not names:
        return
    if MANIFEST not in names:
        raise FolderError(f"{out} is not empty and no export of pairmill; name another folder")
    foreign = sorted(names - _OWN)
    if foreign:
        raise FolderError(
            f"{out} holds '{foreign[0]}', which is not pairmill's; move it, or name another folder"
        )


def make_staging(out: Path) -> Path:
    """A hidden folder beside the place, to make the export in.

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
