"""The texts that a run's rows were written from, read again from its inputs; rows hold none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from pairmill.chunking.reader import read_chunks
from pairmill.config import Settings
from pairmill.errors import PairmillError
from pairmill.recipes.registry import for_unit, make_recipe
from pairmill.store.folder import read_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pairmill.records import Chunk

__all__ = ["read_source_texts"]


def read_source_texts(path: Path, wanted: set[str]) -> Iterator[Chunk]:
    """Yield the chunks of a run's inputs, until each that is wanted has come.

    Inputs that were named relative to a working directory are looked for from there.
    Where the inputs are gone, or came by standard input, fewer come, or none: what reads them has
    to say so.

    Args:
        path: The run folder.
        wanted: Ids of chunks; those that come are taken out of it.
    """
    try:
        folder = read_folder(path)
        settings = Settings.model_validate_json(folder.resolved.read_bytes())
        if "-" in settings.inputs:
            return
        settings = settings.model_copy(update={"inputs": _found(settings.inputs, folder.origin)})
        settings = for_unit(settings, make_recipe(settings))
        for chunk in read_chunks(settings, lambda _note: None):
            wanted.discard(chunk.id)
            yield chunk
            if not wanted:
                return
    except (OSError, ValueError, PairmillError):
        return  # inputs move; what was found before still counts


def _found(inputs: tuple[str, ...], origin: Path) -> tuple[str, ...]:
    """The inputs as paths that hold from here: relative ones, from where the run was started."""
    try:
        place = Path(orjson.loads(origin.read_bytes())["place"])
    except (OSError, ValueError, KeyError, TypeError):
        return inputs  # not known: they are taken from here
    return tuple(name if "://" in name else str(place / name) for name in inputs)
