"""What ``qc`` is pointed at: a dataset or a run folder, its documents, phrases of a prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.chunking.reader import read_documents
from pairmill.config import load
from pairmill.errors import FolderError, InputError
from pairmill.output.run_inputs import find_inputs
from pairmill.sources.files import check_inputs
from pairmill.store.folder import read_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pairmill.records import Document

__all__ = ["documents_for", "pairs_in", "phrases_in"]


def pairs_in(path: Path) -> Path:
    """Where the pairs are: of a run folder its ``data``, else the path itself."""
    return path / "data" if _is_run(path) else path


def documents_for(
    path: Path, named: Sequence[str], text_field: str | None
) -> tuple[Iterable[Document] | None, str]:
    """The documents that the pairs in ``path`` were made from, read lazily; else None and why.

    Args:
        path: The dataset; a run folder knows its inputs, and is believed.
        named: Files and folders that the user named instead.
        text_field: Of the named ones: the field that holds the text.

    Raises:
        InputError: A named one cannot be read.
    """
    if named:
        settings = load(given={"inputs": tuple(named), "output": path, "text_field": text_field})
        check_inputs(settings.inputs, path)
        return read_documents(settings, lambda _note: None), ""
    if not _is_run(path):
        return None, "give the documents (--documents)"
    found, reason = find_inputs(read_folder(path))
    return (read_documents(found, lambda _note: None) if found else None), reason


def phrases_in(path: Path) -> list[str]:
    """The lines of a file that hold anything.

    Raises:
        InputError: It cannot be read.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise InputError(f"cannot read examples from {path}") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def _is_run(path: Path) -> bool:
    try:
        read_folder(path)
    except FolderError:
        return False
    return True
