"""The texts that a run's rows were written from, read again from its inputs; rows hold none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.chunking.reader import read_chunks
from pairmill.errors import PairmillError
from pairmill.output.run_inputs import find_inputs
from pairmill.recipes.registry import for_unit, make_recipe
from pairmill.store.folder import read_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pairmill.records import Chunk

__all__ = ["read_source_texts"]


def read_source_texts(path: Path, wanted: set[str]) -> Iterator[Chunk]:
    """Yield the chunks of a run's inputs, until each that is wanted has come.

    Where the inputs are gone, or came by standard input, fewer come, or none: what reads them has
    to say so.

    Args:
        path: The run folder.
        wanted: Ids of chunks; those that come are taken out of it.
    """
    try:
        settings, _ = find_inputs(read_folder(path))
        if settings is None:
            return
        settings = for_unit(settings, make_recipe(settings))
        for chunk in read_chunks(settings, lambda _note: None):
            wanted.discard(chunk.id)
            yield chunk
            if not wanted:
                return
    except (OSError, ValueError, PairmillError):
        return  # inputs move; what was found before still counts
