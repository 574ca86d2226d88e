"""Inputs of a finished run, read again: its documents, chunks, and the texts of its rows.

Rows hold no text of their documents, and reading inputs again takes as long as the first time: for
pages and office files far longer than all else that an export does. ``.run/texts.jsonl.gz`` holds
what was read, in order: a head line, then ``[document id, chunk id, text, sketch]`` a line. It may
be removed at any time. Ids of chunks are digests of their texts, so no entry is ever wrong.

They are read from the run's inputs once, and from the run folder's cache after that.
"""

from __future__ import annotations

import gzip
import os
import sys
import tempfile
import zlib
from array import array
from base64 import b64decode, b64encode
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import orjson

from pairmill.chunking.reader import read_chunks
from pairmill.display import sanitize
from pairmill.errors import PairmillError
from pairmill.output.related import sketch_of
from pairmill.records import digest
from pairmill.sources.files import check_inputs
from pairmill.sources.remote import is_remote
from pairmill.store.folder import read_folder
from pairmill.store.side_files import read_last_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from pairmill.config import Settings
    from pairmill.records import Chunk
    from pairmill.store.folder import RunFolder

__all__ = [
    "CachedTexts",
    "SourceText",
    "TextCacheWriter",
    "cache_place",
    "code_notice",
    "find_chunks",
    "find_inputs",
    "has_code",
    "read_source_texts",
    "state_of_inputs",
]

_CODE = "the run read its texts with Python code of its own, which is not run; --run-code runs it"


def has_code(settings: Settings) -> bool:
    """Return whether a run's settings name Python files or objects as recipe or sources."""
    return bool(_code_of(settings))


def _code_of(settings: Settings) -> list[str]:
    """Return the names by which a run's settings ask for Python code to be run."""
    name = settings.recipe_name
    own = [name] if ":" in name or name.endswith(".py") else []
    return [*own, *settings.sources, *filter(None, [settings.splitter])]


def code_notice(folder: RunFolder, without_texts: str, without_recipe: str = "") -> list[str]:
    """Return a notice that a folder's Python code was not run, with the consequences.

    Args:
        folder: The run folder.
        without_texts: Consequence if the run's texts cannot be read without it.
        without_recipe: Consequence if the recipe is such code; "" if none.
    """
    settings = _settings_of(folder)
    if settings is None:
        return []
    reads = bool(settings.sources or settings.splitter)
    missing = without_texts if reads else without_recipe
    named = ", ".join(sanitize(name, 80) for name in _code_of(settings)[:3])
    if not named or not missing:
        return []
    why = f"that takes Python code which the folder names ({named}), and which is not run"
    return [f"{missing}: {why}; --run-code runs it"]


def _settings_of(folder: RunFolder) -> Settings | None:
    return read_last_settings(folder)


def find_inputs(folder: RunFolder, *, run_code: bool = False) -> tuple[Settings | None, str]:
    """Return a run's settings with inputs that can be read from here, or why there are none.

    Relative paths are tried from the working directory, from that of the run's last start, and from
    beside and inside the folder.

    Args:
        folder: The run folder.
        run_code: Whether Python code that its settings name may run; a folder may come from anyone.
    """
    settings = _settings_of(folder)
    if settings is None:
        return None, "the folder does not say what it was made from (.run/config.json)"
    if (settings.sources or settings.splitter) and not run_code:
        return None, _CODE
    if "-" in settings.inputs:
        return None, "the run read standard input, which is gone"
    if any(
        map(is_remote, settings.inputs)
    ):  # a folder from elsewhere must not point outside of itself
        return None, "the run read files by URL; name the documents with --documents"
    settings = settings.model_copy(update={"output": folder.path})
    here = folder.path.resolve()
    for place in (Path(), _place_of_start(folder), here.parent, here):
        if place is None:
            continue
        inputs = tuple(str(place / name) for name in settings.inputs)
        try:
            check_inputs(inputs, folder.path, settings.sources)
        except (PairmillError, OSError, ValueError):
            continue
        return settings.model_copy(update={"inputs": inputs}), ""
    names = ", ".join(settings.inputs[:3])
    return None, f"the run's documents are not there any more: {names}; name them with --documents"


def find_chunks(folder: RunFolder, wanted: set[str], *, run_code: bool = False) -> dict[str, Chunk]:
    """Read a run's inputs again for some chunks, by their ids; ends with the last one found."""
    found: dict[str, Chunk] = {}
    settings, _ = find_inputs(folder, run_code=run_code)
    if settings is None or not wanted:
        return found
    try:
        for chunk in read_chunks(settings, lambda _note: None):
            if chunk.id in wanted:
                found[chunk.id] = chunk
                if len(found) == len(wanted):
                    break
    except (OSError, ValueError, PairmillError):
        pass  # inputs change; what was found before is still worth showing
    return found


def _place_of_start(folder: RunFolder) -> Path | None:
    try:
        place = orjson.loads(folder.origin.read_bytes()).get("place")
    except (OSError, ValueError, AttributeError):
        return None
    return Path(place) if isinstance(place, str) else None


_NAME = "texts.jsonl.gz"
_FORMAT = 1
_LEVEL = 1  # 60 MB/s a core; level 6 saves a tenth more


class SourceText(NamedTuple):
    """A chunk of a document, without what an export does not need of it.

    ``sketch`` is `pairmill.output.related.sketch_of` its text, where that is known.
    """

    document_id: str
    id: str
    text: str
    sketch: array[int] | None = None


def cache_place(folder: Path) -> Path:
    """Return where a run folder keeps its texts."""
    return folder / ".run" / _NAME


class CachedTexts:
    """Cached texts of a run folder; empty if there are none, or all is damaged.

    Attributes:
        ids: Of all chunks that are there.
        state: What the inputs were when they were read to their end; "" where they were not.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.ids: frozenset[str] = frozenset()
        self.state = ""
        head: dict[str, str] = {}
        with suppress(OSError, EOFError, ValueError, TypeError, zlib.error):
            ids = {text.id for text in self._read(head)}
            self.ids, self.state = frozenset(ids), head.get("state", "")

    def __iter__(self) -> Iterator[SourceText]:
        """Iterate over all texts in the order of the inputs."""
        return self._read({}) if self.ids else iter(())

    def _read(self, head: dict[str, str]) -> Iterator[SourceText]:
        with gzip.open(self._path, "rb") as file:
            found = orjson.loads(file.readline())
            if found["format"] != _FORMAT:
                return
            for line in file:
                if line.startswith(b"{"):  # the last line: all was written
                    head.update(orjson.loads(line))
                    return
                document_id, chunk_id, text, sketch = orjson.loads(line)
                yield SourceText(document_id, chunk_id, text, _unpacked(sketch))
        raise EOFError


class TextCacheWriter:
    """Writes a new cache beside the old one, which it replaces when ``keep`` is called.

    A run folder that cannot be written to, or a full disk, costs the cache and nothing else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._draft: Path | None = None
        self._file: gzip.GzipFile | None = None
        with suppress(OSError):
            handle, name = tempfile.mkstemp(prefix=f".{_NAME}.", dir=path.parent)
            os.close(handle)
            self._draft = Path(name)
            self._file = gzip.GzipFile(self._draft, "wb", compresslevel=_LEVEL)
            self._write({"format": _FORMAT})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._abandon()

    def add(self, text: SourceText) -> None:
        """Keep a text."""
        packed = None if text.sketch is None else _packed(text.sketch)
        self._write((text.document_id, text.id, text.text, packed))

    def keep(self, state: str) -> None:
        """Put the cache in its place.

        Args:
            state: What the inputs are, if they were read to their end; else "".
        """
        self._write({"state": state})
        with suppress(OSError):
            if self._file is not None and self._draft is not None:
                self._file.close()
                self._draft.replace(self._path)
                self._file = self._draft = None

    def _write(self, value: object) -> None:
        if self._file is None:
            return
        try:
            self._file.write(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE))
        except (OSError, TypeError):
            self._abandon()

    def _abandon(self) -> None:
        file, draft = self._file, self._draft
        self._file = self._draft = None
        with suppress(OSError):
            if file is not None:
                file.close()
        with suppress(OSError):
            if draft is not None:
                draft.unlink()


def _packed(sketch: array[int]) -> str:
    if sys.byteorder == "big":
        sketch = array("I", sketch)
        sketch.byteswap()
    return b64encode(sketch.tobytes()).decode()


def _unpacked(text: str | None) -> array[int] | None:
    if text is None:
        return None
    sketch = array("I", b64decode(text))
    if sys.byteorder == "big":
        sketch.byteswap()
    return sketch


def state_of_inputs(inputs: Iterable[str], settings: str) -> str:
    """Fingerprint the inputs: names, sizes and modification times of all their files.

    Args:
        inputs: Files and folders.
        settings: Names what else decides how they are read.
    """
    marks = [settings]
    for given in inputs:
        marks += [f"{name} {size} {changed}" for name, size, changed in sorted(_files(given))]
    return digest(*marks)


def _files(given: str) -> Iterator[tuple[str, int, int]]:
    top = Path(given)
    files = (path for path in top.rglob("*") if path.is_file()) if top.is_dir() else (top,)
    for path in files:
        with suppress(OSError):
            found = path.stat()
            yield str(path), found.st_size, found.st_mtime_ns


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
