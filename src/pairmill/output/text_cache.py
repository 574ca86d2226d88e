"""Cache of the source texts that an export read from a run's inputs.

Rows hold no text of their documents, and reading inputs again takes as long as the first time: for
pages and office files far longer than all else that an export does. ``.run/texts.jsonl.gz`` holds
what was read, in order: a head line, then ``[document id, chunk id, text, sketch]`` a line. It may
be removed at any time. Ids of chunks are digests of their texts, so no entry is ever wrong.
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

from pairmill.records import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

__all__ = ["CachedTexts", "SourceText", "TextCacheWriter", "cache_place", "state_of_inputs"]

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
        """All texts in the order of the inputs."""
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
