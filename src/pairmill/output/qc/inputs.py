"""Inputs of ``qc``: a dataset or a run folder, its documents, phrases of a prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.chunking.reader import read_documents
from pairmill.config import load
from pairmill.errors import InputError
from pairmill.output.marks.overlay import is_run_folder
from pairmill.output.run_inputs import find_inputs
from pairmill.sources.files import check_inputs
from pairmill.store.folder import read_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pairmill.records import Document

__all__ = ["documents_for", "pairs_in", "phrases_in"]


def pairs_in(path: Path) -> Path:
    """Return where the pairs are: a run folder's ``data``, else the path itself."""
    return path / "data" if is_run_folder(path) else path


def documents_for(
    path: Path, named: Sequence[str], text_field: str | None, *, run_code: bool = False
) -> tuple[Iterable[Document] | None, str]:
    """Return the documents that the pairs in ``path`` were made from; else None and why.

    Args:
        path: The dataset; a run folder knows its inputs, and is believed.
        named: Files and folders that the user named instead.
        text_field: Of the named ones: the field that holds the text.
        run_code: Whether Python code that a run folder names may run, to read its inputs.

    Raises:
        InputError: A named one cannot be read.
    """
    if named:
        settings = load(given={"inputs": tuple(named), "output": path, "text_field": text_field})
        check_inputs(settings.inputs, path)
        return read_documents(settings, lambda _note: None), ""
    if not is_run_folder(path):
        return None, "give the documents (--documents)"
    found, reason = find_inputs(read_folder(path), run_code=run_code)
    return (read_documents(found, lambda _note: None) if found else None), reason


def phrases_in(path: Path) -> list[str]:
    """Return the non-blank lines of a file.

    Raises:
        InputError: It cannot be read.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise InputError(f"cannot read examples from {path}") from None
    return [line.strip() for line in text.splitlines() if line.strip()]
