"""Source texts of a run's rows, which the rows do not contain.

They are read from the run's inputs once, and from the run folder's cache after that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.chunking.reader import read_chunks
from pairmill.errors import PairmillError
from pairmill.output.related import sketch_of
from pairmill.output.run_inputs import find_inputs
from pairmill.output.text_cache import (
    CachedTexts,
    SourceText,
    TextCacheWriter,
    cache_place,
    state_of_inputs,
)
from pairmill.records import digest
from pairmill.store.folder import read_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pairmill.config import Settings

__all__ = ["read_source_texts"]


def read_source_texts(
    path: Path, wanted: set[str], *, run_code: bool = False
) -> Iterator[SourceText]:
    """Yield the texts of a run's inputs in their order, until each that is wanted has come.

    Where all that is wanted was read before, or the inputs are as they were, they come from the
    cache. Where the inputs are gone, or came by standard input, those come that were kept, or
    none: what reads them has to say so.

    Args:
        path: The run folder.
        wanted: Ids of chunks; those that come are taken out of it.
        run_code: Whether Python code named by the folder (its recipe, sources) may run.
    """
    cache = CachedTexts(cache_place(path))
    if wanted <= cache.ids:
        yield from _until_found(cache, wanted)
        return
    settings = _settings(path, run_code=run_code)
    if settings is None:
        yield from _until_found(cache, wanted)
        return
    state = state_of_inputs(settings.inputs, digest(settings.model_dump_json(exclude={"output"})))
    if cache.state == state:
        yield from _until_found(cache, wanted)
        return
    with TextCacheWriter(cache_place(path)) as writer:
        yield from _read_again(settings, wanted, cache.ids, writer, state)


def _read_again(
    settings: Settings, wanted: set[str], known: Iterable[str], writer: TextCacheWriter, state: str
) -> Iterator[SourceText]:
    """Read the inputs as far as anything is wanted, or was before: else exports take turns."""
    missing = set(known) | wanted
    try:
        for chunk in read_chunks(settings, lambda _note: None):
            text = SourceText(chunk.document_id, chunk.id, chunk.text, sketch_of(chunk.text))
            writer.add(text)
            missing.discard(chunk.id)
            if wanted:
                wanted.discard(chunk.id)
                yield text
            if not missing:
                writer.keep("")
                return
        writer.keep(state)
    except (OSError, ValueError, PairmillError):
        return  # inputs move; what was found before still counts


def _until_found(texts: Iterable[SourceText], wanted: set[str]) -> Iterator[SourceText]:
    for text in texts:
        wanted.discard(text.id)
        yield text
        if not wanted:
            return


def _settings(path: Path, *, run_code: bool) -> Settings | None:
    """Return the settings to read the run's inputs with; None if there are none to read."""
    try:
        return find_inputs(read_folder(path), run_code=run_code)[0]
    except (OSError, ValueError, PairmillError):
        return None
