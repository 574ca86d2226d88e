"""Which reader reads what: by the name's ending, and by what the first bytes look like."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import orjson

from pairmill.sources.html import looks_like_html, read_html
from pairmill.sources.items import read_items
from pairmill.sources.lines import read_lines
from pairmill.sources.streams import Gunzip, Recoded, Rewound, take_head
from pairmill.sources.text import read_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pairmill.records import Document
    from pairmill.sources.origin import DocumentOrigin, Reader
    from pairmill.sources.streams import Stream

__all__ = ["KNOWN_ENDINGS", "ending_of", "is_html_name", "read_stream"]

_READERS: dict[str, Reader] = {
    ".txt": read_text,
    ".text": read_text,
    ".md": read_text,
    ".markdown": read_text,
    ".html": read_html,
    ".htm": read_html,
    ".xhtml": read_html,
    ".json": read_items,
    ".jsonl": read_lines,
    ".ndjson": read_lines,
}
KNOWN_ENDINGS = frozenset(_READERS)
"""The endings that are read in a folder, each also with ``.gz`` behind it."""

_GZIP = b"\x1f\x8b"
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_MAGIC = (
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a zip, docx or epub archive"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"GIF8", "an image"),
    (b"\x28\xb5\x2f\xfd", "zstd data"),
    (b"BZh", "bzip2 data"),
    (b"\xfd7zXZ", "xz data"),
    (b"PAR1", "a Parquet file"),
    (b"\x7fELF", "a program"),
    (b"SQLite format 3", "a database"),
)
_LOOKED_AT_BYTES = 8192
_MAX_ODD_SHARE = 0.1  # of the first bytes: control characters, or what is not UTF-8
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_MAX_LAYERS = 2  # gzip in gzip happens; deeper is a trick


def ending_of(name: str) -> str:
    """Return the ending that tells the format, in lower case and without ``.gz``; may be empty."""
    name = name.casefold().removesuffix(".gz")
    dot = name.rfind(".")
    return name[dot:] if dot > 0 else ""


def is_html_name(name: str) -> bool:
    """Whether the name says that it is a page, which takes the extra ``html``."""
    return _READERS.get(ending_of(name)) is read_html


def read_stream(stream: Stream, name: str, origin: DocumentOrigin) -> Iterator[Document]:
    """Yield the documents of one input, in whatever of the known formats it is.

    The name's ending decides between text, Markdown, HTML and JSON where it tells; the first bytes
    decide where it does not, and whether the data is packed, UTF-16, or no text at all.

    Raises:
        BombError: Packed data grows beyond any text.
        InputError: It is HTML and the extra for it is not installed.
    """
    head, stream = take_head(stream)
    packed: list[Gunzip] = []
    while head.startswith(_GZIP) and len(packed) < _MAX_LAYERS:
        packed.append(Gunzip(stream))
        head, stream = take_head(packed[-1])
    head, stream = _decode(head, stream)
    what = _binary_kind(head)
    if not head:
        origin.skip("", "empty file")
    elif what:
        origin.skip("", "not text", what)
    else:
        reader = _READERS.get(ending_of(name)) or _guess(head)
        yield from reader(stream, origin)
    for layer in packed:
        if layer.fault:
            origin.notice("gzip data ends early", f"{layer.fault}; what could be read is kept")


def _decode(head: bytes, stream: Rewound) -> tuple[bytes, Rewound]:
    """Take a byte order mark off, and turn UTF-16 and UTF-32 into UTF-8."""
    for mark, encoding in _MARKS:
        if not head.startswith(mark):
            continue
        if encoding == "utf-8":
            stream.read(len(mark))
            return head[len(mark) :], stream
        return take_head(Recoded(stream, encoding))
    return head, stream


def _binary_kind(head: bytes) -> str:
    """Say what it is if it is no text; empty: it is text, or nothing at all."""
    for mark, what in _MAGIC:
        if head.startswith(mark):
            return what
    sample = head[:_LOOKED_AT_BYTES]
    odd = len(_CONTROLS.findall(sample))
    if odd > _MAX_ODD_SHARE * len(sample):
        return "binary data"
    text = sample.decode("utf-8", "replace")
    bad = text.count("\ufffd") - sample.count(b"\xef\xbf\xbd")
    return "not UTF-8" if bad > _MAX_ODD_SHARE * len(text) + 1 else ""


def _guess(head: bytes) -> Reader:
    """Choose a reader for an input whose name does not tell."""
    start = head.lstrip()
    if start.startswith((b"{", b"[")):
        for line in head.split(b"\n")[:5]:
            if line.startswith(b"{") and _is_json(line):
                return read_lines
        return read_items if _opens_json(start) else read_text
    if looks_like_html(head.decode("utf-8", "replace")):
        return read_html
    return read_text


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _opens_json(start: bytes) -> bool:
    """Tell a JSON list or object from a Markdown link or a template at the top of a text."""
    return bool(re.match(rb'(?:\[\s*[\[{"\]]|\{\s*["}])', start))
