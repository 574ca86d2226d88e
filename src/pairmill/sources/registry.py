"""Selects the format of an input by the ending of its name and by its first bytes."""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING

import orjson

from pairmill.errors import ConfigError
from pairmill.sources.base import SourceFormat
from pairmill.sources.encodings import MARKS, decode, sniff_utf16
from pairmill.sources.html import HTML, looks_like_html
from pairmill.sources.json_files import JSON, JSON_LINES
from pairmill.sources.streams import (
    PACKED_ENDINGS,
    Gunzip,
    Recoded,
    Rewound,
    Unpacked,
    take_head,
    unpacked,
)
from pairmill.sources.text import MARKDOWN, MDX, TEXT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pairmill.sources.base import Documents, FormatTable, Opener

__all__ = ["FORMATS", "Formats", "ending_of", "read_input"]


def _later(module: str, function: str) -> Callable[[Opener], Documents]:
    """Return a reader whose module is loaded at the first input of its format."""

    def read(opener: Opener) -> Documents:
        reader = getattr(importlib.import_module(f"pairmill.sources.{module}"), function)
        yield from reader(opener)

    return read


CSV = SourceFormat("CSV", (".csv", ".tsv", ".tab"), _later("tables", "read_csv"), is_text=True)
EXCEL = SourceFormat(
    "a spreadsheet",
    (".xlsx", ".xlsm", ".xls", ".xlsb", ".ods"),
    _later("tables", "read_excel"),
    extra="formats",
    modules=("python_calamine",),
)
PARQUET = SourceFormat(
    "Parquet",
    (".parquet", ".pq"),
    _later("tables", "read_parquet"),
    extra="parquet",
    modules=("pyarrow",),
)
ARROW = SourceFormat(
    "Arrow",
    (".arrow", ".feather", ".ipc"),
    _later("tables", "read_arrow"),
    extra="parquet",
    modules=("pyarrow",),
)
NOTEBOOK = SourceFormat("a notebook", (".ipynb",), _later("markup", "read_notebook"), is_text=True)
RST = SourceFormat(
    "reStructuredText", (".rst", ".rest"), _later("markup", "read_rst"), is_text=True
)
ASCIIDOC = SourceFormat(
    "AsciiDoc", (".adoc", ".asciidoc", ".asc"), _later("markup", "read_asciidoc"), is_text=True
)
LATEX = SourceFormat(
    "LaTeX", (".tex", ".latex", ".ltx"), _later("markup", "read_latex"), is_text=True
)
FEED = SourceFormat("XML", (".xml", ".rss", ".atom", ".wxr", ".rdf"), _later("feeds", "read_feed"))
MBOX = SourceFormat("mbox", (".mbox", ".mbx"), _later("mail_and_subtitles", "read_mbox"))
MAIL = SourceFormat("mail", (".eml", ".mhtml", ".mht"), _later("mail_and_subtitles", "read_mail"))
SUBTITLES = SourceFormat(
    "subtitles", (".srt", ".vtt"), _later("mail_and_subtitles", "read_subtitles"), is_text=True
)
DOCX = SourceFormat(
    "a Word document",
    (".docx", ".docm"),
    _later("office", "read_docx"),
    extra="formats",
    modules=("mammoth", "lxml"),
)
PPTX = SourceFormat(
    "a presentation",
    (".pptx", ".pptm"),
    _later("office", "read_pptx"),
    extra="formats",
    modules=("lxml",),
)
ODT = SourceFormat(
    "an OpenDocument text",
    (".odt",),
    _later("office", "read_odt"),
    extra="formats",
    modules=("lxml",),
)
EPUB = SourceFormat(
    "an EPUB book", (".epub",), _later("office", "read_epub"), extra="formats", modules=("lxml",)
)
PDF = SourceFormat(
    "a PDF", (".pdf",), _later("office", "read_pdf"), extra="formats", modules=("pypdfium2",)
)
WARC = SourceFormat(
    "WARC",
    (".warc", ".wet", ".arc"),
    _later("archives", "read_warc"),
    extra="formats",
    modules=("warcio",),
)
ZIP = SourceFormat("zip", (".zip",), _later("archives", "read_zip"))
TAR = SourceFormat("tar", (".tar", ".tgz", ".tbz2", ".txz"), _later("archives", "read_tar"))
FORMATS: tuple[SourceFormat, ...] = (
    TEXT, MARKDOWN, MDX, HTML, JSON, JSON_LINES, CSV, EXCEL, PARQUET, ARROW, NOTEBOOK, RST,
    ASCIIDOC, LATEX, FEED, MBOX, MAIL, SUBTITLES, DOCX, PPTX, ODT, EPUB, PDF, WARC, ZIP, TAR,
)  # fmt: skip
"""The formats that come along, in the order in which they are asked."""

ENTRY_POINTS = "pairmill.sources"

_MAGIC = (
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"GIF8", "an image"),
    (b"RIFF", "an image, sound or video"),
    (b"\x00\x00\x00 ftyp", "a video"),
    (b"ID3", "sound"),
    (b"OggS", "sound"),
    (b"wOFF", "a font"),
    (b"wOF2", "a font"),
    (b"\x00\x01\x00\x00", "a font"),
    (b"\x28\xb5\x2f\xfd", "zstd data"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a rar archive"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90", "a program"),
    (b"SQLite format 3", "a database"),
    (b"\xd0\xcf\x11\xe0", "an old Office file"),
    (b"{\\rtf", "an RTF document"),
    (b"%!PS", "a PostScript program"),
    (b"[Script Info]", "subtitles with styles; save them as .srt or .vtt"),
)
_SHOWN = (
    (b"%PDF", PDF),
    (b"PAR1", PARQUET),
    (b"ARROW1", ARROW),
    (b"WARC/", WARC),
    (b"WEBVTT", SUBTITLES),
)
_ZIPPED = (
    (b"application/epub+zip", EPUB),
    (b"application/vnd.oasis.opendocument.text", ODT),
    (b"application/vnd.oasis.opendocument.spreadsheet", EXCEL),
    (b"word/", DOCX),
    (b"ppt/", PPTX),
    (b"xl/", EXCEL),
)
_FEED_ROOTS = (b"<rss", b"<feed", b"<rdf:rdf", b"<mediawiki")
_LOOKED_AT_BYTES = 8192
_MAX_ODD_SHARE = 0.1  # of the first bytes: control characters
_FEW_CONTROLS = 4
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_MAX_LAYERS = 2  # gzip in gzip happens; deeper is a trick


def ending_of(name: str) -> str:
    """Return the ending that identifies the format, lower case, without ``.gz``; may be empty."""
    name = name.casefold()
    if "?" in name:  # a mirror of a site keeps the query: index.php?id=3
        name = name.partition("?")[0]
    for packed in PACKED_ENDINGS:
        name = name.removesuffix(packed)
    dot = name.rfind(".")
    return name[dot:] if dot > 0 else ""


class Formats:
    """Formats of a run: the user's own first, then built-in ones, then installed ones."""

    def __init__(self, own: Iterable[str] = ()) -> None:
        """Load the user's own formats, named as ``module:attribute``.

        Raises:
            ConfigError: One of them cannot be loaded.
        """
        self._own = tuple(_load(name) for name in own)
        self._installed: tuple[SourceFormat, ...] | None = None
        self._known: dict[str, SourceFormat] = {}
        for one in (*self._own, *FORMATS):
            for ending in one.endings:
                self._known.setdefault(ending, one)

    def of_name(self, name: str) -> SourceFormat | None:
        """Return the format of a file name's ending, if it is known."""
        ending = ending_of(name)
        found = self._known.get(ending)
        if found is None and ending:
            found = next((one for one in self.installed if ending in one.endings), None)
        return found

    @property
    def installed(self) -> tuple[SourceFormat, ...]:
        """Formats of other packages, from the entry point group ``pairmill.sources``."""
        if self._installed is None:
            loaded_formats = []
            from importlib.metadata import entry_points  # noqa: PLC0415 (it costs a start 20 ms)

            for point in entry_points(group=ENTRY_POINTS):
                try:
                    loaded = point.load()
                except Exception as error:  # noqa: BLE001 (another package's fault, with its name)
                    raise ConfigError(
                        f"the installed format '{point.name}' ({point.value}) cannot be loaded:"
                        f" {type(error).__name__}: {error}; uninstall or repair it"
                    ) from None
                loaded_formats.append(_checked(loaded, point.value))
            self._installed = tuple(loaded_formats)
        return self._installed

    @property
    def endings(self) -> list[str]:
        """All known endings, sorted."""
        return sorted({*self._known, *(it for one in self.installed for it in one.endings)})


def read_input(opener: Opener, formats: FormatTable) -> Documents:
    """Yield the documents of one input in any known format.

    The name's ending decides if it is known, else the first bytes. Those also show whether the data
    is compressed, UTF-16, or no text at all.

    Raises:
        BombError: Compressed data unpacks to more than any plausible text.
    """
    head, stream = take_head(opener.stream)
    packed: list[Gunzip | Unpacked] = []
    while len(packed) < _MAX_LAYERS and (layer := unpacked(head, stream)) is not None:
        packed.append(layer)
        head, stream = take_head(layer)
    named = formats.of_name(opener.name)
    opener.is_plain = not packed
    if not head:
        opener.skip("", "empty file")
    elif named is not None and not named.is_text and named is not HTML:
        yield from _read(opener, named, stream)
    elif (shown := _by_magic(head)) is not None:
        yield from _read(opener, shown, stream)
    else:
        head, stream = _decode(head, stream)
        what = _binary_kind(head)
        if what:
            opener.skip("", "not text", what)
        else:
            if named is TEXT and _guess(head, from_folder=False, name="") is JSON_LINES:
                named = JSON_LINES
            chosen = named or _guess(head, from_folder=opener.from_folder, name=opener.name)
            if chosen is None:
                advice = "name the file itself to have it read as text"
                opener.skip("", "unknown kind of file", advice)
            else:
                yield from _read(opener, chosen, stream)
    for layer in packed:
        if layer.fault:
            opener.notice(
                f"{layer.name} data ends early", f"{layer.fault}; what could be read is kept"
            )


def _read(opener: Opener, format_: SourceFormat, stream: Rewound) -> Documents:
    opener.stream = stream
    opener.format = format_
    if not format_.is_usable():
        opener.skip_missing()
        return
    yield from format_.documents(opener)


def _load(name: str) -> SourceFormat:
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise ConfigError(f"sources: '{name}' is not of the form module:attribute")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"sources: cannot load '{name}': {error}") from None
    return _checked(found, name)


def _checked(found: object, name: str) -> SourceFormat:
    if not isinstance(found, SourceFormat):
        raise ConfigError(f"sources: '{name}' is a {type(found).__name__}, not a SourceFormat")
    return found


def _decode(head: bytes, stream: Rewound) -> tuple[bytes, Rewound]:
    """Remove a byte order mark, and recode UTF-16 and UTF-32 as UTF-8."""
    for mark, encoding in MARKS:
        if not head.startswith(mark):
            continue
        if encoding == "utf-8":
            stream.read(len(mark))
            return head[len(mark) :], stream
        return take_head(Recoded(stream, encoding))
    looks_odd = len(_CONTROLS.findall(head[:_LOOKED_AT_BYTES])) > _FEW_CONTROLS
    if looks_odd and (wide := sniff_utf16(head[:_LOOKED_AT_BYTES])):
        return take_head(Recoded(stream, wide))
    return head, stream


def _binary_kind(head: bytes) -> str:
    """Name the kind of binary data; empty if it is text, or if there is no data."""
    for mark, what in _MAGIC:
        if head.startswith(mark):
            return what
    sample = head[:_LOOKED_AT_BYTES]
    odd = len(_CONTROLS.findall(sample))
    if odd > _MAX_ODD_SHARE * len(sample):
        return "binary data"
    if sample.isascii():
        return ""
    try:
        sample.decode("utf-8")
    except UnicodeDecodeError as error:
        cut_short = error.start >= len(sample) - 4 and len(sample) == _LOOKED_AT_BYTES
        if not cut_short and decode(head) is None:
            return "text in an unknown encoding"
    return ""


def _by_magic(head: bytes) -> SourceFormat | None:
    """Return the format that the first bytes identify beyond doubt, whatever the name."""
    start = head[:4096]
    if start.startswith(b"PK\x03\x04"):
        for sign, kind in _ZIPPED:
            if sign in start:
                return kind
        return ZIP
    if start[257:262] == b"ustar":
        return TAR
    if start.lstrip().startswith(b"<?xml") and b"<html" not in start.lower():
        return FEED
    if start.lstrip()[:1] == b"<" and start.lstrip().lower().startswith(_FEED_ROOTS):
        return FEED
    return next((kind for sign, kind in _SHOWN if start.startswith(sign)), None)


def _guess(head: bytes, *, from_folder: bool, name: str) -> SourceFormat | None:
    """Choose a format for an input whose name does not identify it.

    In a folder, files with an unknown ending are often not prose (programs, settings): None, unless
    their content identifies them. A file named by the user is read as text.
    """
    start = head.lstrip()
    if start.startswith((b"{", b"[")):
        for line in head.split(b"\n")[:5]:
            if line.startswith(b"{") and _is_json(line):
                return JSON_LINES
        if _opens_json(start):
            return JSON
    elif looks_like_html(head.decode("utf-8", "replace")):
        return HTML
    return None if from_folder and ending_of(name) else TEXT


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _opens_json(start: bytes) -> bool:
    """Distinguish a JSON list or object from a Markdown link or template at the top of a text."""
    return bool(re.match(rb'(?:\[\s*[\[{"\]]|\{\s*["}])', start))
