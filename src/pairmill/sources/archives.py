"""Crawl archives (WARC, WET) and file archives (zip, tar): each member is a separate input."""

from __future__ import annotations

import functools
import io
import tarfile
import zipfile
from typing import TYPE_CHECKING

from pairmill.records import Document, digest
from pairmill.sources.characters import plain_line, strip_surrogates
from pairmill.sources.encodings import decode
from pairmill.sources.html import HTML, read_page_bytes
from pairmill.sources.streams import BombError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.sources.base import Documents, Opener
    from pairmill.sources.streams import Stream

__all__ = ["read_tar", "read_warc", "read_zip"]

_PAGES = frozenset({"conversion", "response", "resource"})  # types of WARC records
_MOST_DEPTH = 3
_MOST_MEMBERS = 1_000_000
_MOST_RATIO = 200
_RATIO_FROM_BYTES = 10 * 2**20
_DOCUMENT_PARTS = ("word/document.xml", "ppt/presentation.xml", "xl/workbook.xml", "content.xml")


def read_warc(opener: Opener) -> Documents:
    """Yield the pages of a crawl: the article of a response, or the text of a conversion (WET)."""
    from warcio.archiveiterator import ArchiveIterator  # noqa: PLC0415 (an extra)
    from warcio.exceptions import ArchiveLoadFailed  # noqa: PLC0415

    number = pages = 0
    records = ArchiveIterator(_Reading(opener.stream), no_record_parse=False)
    records.INC_RECORD = ""  # else it would write parts of what was crawled to the terminal
    try:
        for record in records:
            number += 1
            pages += record.rec_type in _PAGES
            where = f"#{number}"
            url = record.rec_headers.get_header("WARC-Target-URI")
            if record.rec_type == "conversion":
                data = _body(record.content_stream(), opener.max_bytes)
                decoded = decode(data) if data else None
                if decoded is None:
                    opener.skip(where, "record too long" if data is None else "no text")
                    continue
                text = strip_surrogates(decoded.text)
                title, _, rest = text.partition("\n")
                language = record.rec_headers.get_header("WARC-Identified-Content-Language")
                is_titled = bool(rest.strip()) and len(title) < 200  # noqa: PLR2004
                yield Document(
                    digest(text),
                    text,
                    f"{opener.label}{where}",
                    title if is_titled else None,
                    None,
                    url,
                    (language or "").split(",")[0] or None,
                )
            elif record.rec_type in _PAGES:
                yield from _page(record, where, url, opener)
    except ArchiveLoadFailed as error:
        opener.skip("", "broken WARC", f"{str(error)[:150]}; what came before it is kept")
    else:
        if number and not pages:  # but requests, metadata, or what is no archive at all
            opener.skip("", "no records", f"none of {number:,} records is a page")
    if not number:
        opener.skip("", "no records")
    elif records.err_count:
        detail = f"{records.err_count} records are longer than they say; the rest of these is lost"
        opener.notice("broken WARC", detail)


def _page(record: object, where: str, url: str | None, opener: Opener) -> Documents:
    headers = getattr(record, "http_headers", None)
    status = headers.get_statuscode() if headers else "200"
    kind = (headers.get_header("Content-Type") or "") if headers else record.content_type or ""  # type: ignore[attr-defined]
    if status != "200":
        opener.skip(where, "not an article", f"HTTP status {plain_line(str(status))}")
        return
    if "html" not in kind and "text/plain" not in kind:
        opener.skip(where, "not an article", plain_line(kind) or "no content type")
        return
    data = _body(record.content_stream(), opener.max_bytes)  # type: ignore[attr-defined]
    if data is None:
        opener.skip(where, "record too long")
        return
    document = Document(digest(f"{url}"), "", f"{opener.label}{where}", None, None, url)
    if "html" in kind:
        if not HTML.is_usable():
            opener.skip(where, "extra not installed", HTML.advice())
        else:
            yield read_page_bytes(document, data, where, opener)
        return
    decoded = decode(data)
    if decoded is None:
        opener.skip(where, "not text")
    else:
        text = strip_surrogates(decoded.text)
        yield Document(digest(text), text, document.source, None, None, url)


def _body(stream: Stream, most: int) -> bytes | None:
    """Return the bytes of a record; None if it is larger than allowed."""
    data = stream.read(most + 1)
    return None if len(data) > most else data


class _Reading:
    """A stream whose ``read`` can return everything, as archive libraries expect."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        return self._stream.read(size if size >= 0 else 2**20)

    def close(self) -> None:
        """Do nothing: the owner closes the stream."""


def read_zip(opener: Opener) -> Documents:
    """Yield the documents of the members, in order."""
    with opener.seekable() as file:
        try:
            archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            opener.skip("", "broken archive", str(error))
            return
        with archive:
            members = [
                it
                for it in archive.infolist()[:_MOST_MEMBERS]
                if not (it.is_dir() or _is_passed_over(it.filename))
            ]
            if not members:
                opener.skip("", "no records", "an archive without files")
            for member in members:
                if member.flag_bits & 1:
                    opener.skip(f"/{plain_line(member.filename)}", "encrypted")
                    continue
                packed = member.compress_size
                yield from _read_member(
                    opener, member.filename, functools.partial(archive.open, member), packed
                )


def read_tar(opener: Opener) -> Documents:
    """Yield the documents of the members, in order; links and devices are skipped."""
    found = False
    try:
        with tarfile.open(fileobj=_Reading(opener.stream), mode="r|*") as archive:  # type: ignore[call-overload]
            for member in archive:
                if not member.isreg() or _is_passed_over(member.name):
                    continue
                found = True
                taken = functools.partial(_tar_member, archive, member)
                yield from _read_member(opener, member.name, taken, member.size)
    except (tarfile.TarError, EOFError, ValueError) as error:
        opener.skip("", "broken archive", f"{error}; what came before it is kept")
    else:
        if not found:
            opener.skip("", "no records", "an archive without files")


def _tar_member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Stream:
    return archive.extractfile(member) or io.BytesIO()


def _is_passed_over(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return any(
        part.startswith(".") or part == "__MACOSX" for part in parts if part not in ("", ".")
    )


def _read_member(
    opener: Opener, name: str, open_member: Callable[[], Stream], packed_bytes: int
) -> Documents:
    from pairmill.sources.registry import Formats, read_input  # noqa: PLC0415 (archives hold any format)

    if opener.depth >= _MOST_DEPTH:
        opener.skip(f"/{plain_line(name)}", "archive in archive", f"more than {_MOST_DEPTH} deep")
        return
    own = name.replace("\\", "/").rsplit("/", 1)[-1]
    try:
        inner = opener.inner(name, _Bounded(open_member(), packed_bytes))
        inner.name = own
        inner.from_folder = True
        yield from read_input(inner, inner.formats or Formats())
    except BombError as error:
        opener.skip(f"/{plain_line(name)}", "archive bomb", f"{error}; the rest of it is not read")
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, ValueError) as error:
        opener.skip(f"/{plain_line(name)}", "broken member", str(error)[:150])


class _Bounded:
    """A member's bytes, up to the size of any plausible text."""

    def __init__(self, stream: Stream, packed_bytes: int) -> None:
        self._stream = stream
        self._packed = max(1, packed_bytes)
        self._bytes = 0

    def read(self, size: int, /) -> bytes:
        """Return unpacked bytes.

        Raises:
            BombError: More than 10 MiB came out, and more than 200 times the input.
        """
        block = self._stream.read(size)
        self._bytes += len(block)
        if self._bytes > _RATIO_FROM_BYTES and self._bytes > _MOST_RATIO * self._packed:
            raise BombError(f"grows beyond {_MOST_RATIO} times its size")
        return block
