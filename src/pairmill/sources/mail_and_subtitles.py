"""Mail and subtitles: mbox and eml (also web pages saved as mhtml), SubRip and WebVTT."""

from __future__ import annotations

import email
import email.policy
import re
from email.message import EmailMessage
from typing import TYPE_CHECKING

from pairmill.records import Document, digest
from pairmill.sources.base import too_long
from pairmill.sources.characters import strip_surrogates
from pairmill.sources.html import read_page
from pairmill.sources.json_files import cut_lines
from pairmill.sources.streams import take_head
from pairmill.sources.text import decode_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pairmill.sources.base import Deferred, Documents, Opener

__all__ = ["read_mail", "read_mbox", "read_subtitles"]

_QUOTED = re.compile(r"^>.*$\n?", re.MULTILINE)
_SIGNATURE = re.compile(r"\n-- ?\n.*\Z", re.DOTALL)
_TIME = re.compile(r"[ \t]*(?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3}[ \t]*-->.*")
_MARKS = re.compile(r"<[^<>]{1,80}>|\{\\[^{}]{1,40}\}")
_SENTENCE = re.compile(r"[.!?…。！？][\"'”’)]*$")  # noqa: RUF001
_PARAGRAPH_CHARS = 600


def read_mbox(opener: Opener) -> Documents:
    """Yield a document for each message."""
    number = 0
    for raw in _messages(opener):
        number += 1
        found = _message(raw, f"#{number}", opener)
        if found is not None:
            yield found
    if not number:
        opener.skip("", "no records")


def read_mail(opener: Opener) -> Documents:
    """Yield the message, or the web page that was saved as one."""
    data = opener.read_all()
    if data is not None:
        found = _message(data, "", opener)
        if found is not None:
            yield found


def read_subtitles(opener: Opener) -> Documents:
    """Yield the spoken text in paragraphs, without numbers and times."""
    text = decode_whole(opener)
    if text is None:
        return
    said: list[str] = []
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n").lstrip("\ufeff")):
        lines = [line.strip() for line in block.split("\n")]
        if lines and lines[0].startswith(("WEBVTT", "NOTE", "STYLE", "REGION")):
            continue
        times = [at for at, line in enumerate(lines) if _TIME.fullmatch(line)]
        if not times:
            continue
        for line in lines[times[0] + 1 :]:
            bare = _MARKS.sub("", line).strip()
            if bare and not (said and said[-1] == bare):  # captions that roll repeat their lines
                said.append(bare)
    body = _paragraphs(said)
    if body:
        yield Document(digest(text), strip_surrogates(body), opener.label)
    else:
        opener.skip("", "no text")


def _paragraphs(lines: list[str]) -> str:
    paragraphs: list[str] = []
    current = ""
    for line in lines:
        current = f"{current} {line}".strip()
        if len(current) >= _PARAGRAPH_CHARS and _SENTENCE.search(line):
            paragraphs.append(current)
            current = ""
    return "\n\n".join((*paragraphs, current) if current else paragraphs)


def _messages(opener: Opener) -> Iterator[bytes]:
    lines: list[bytes] = []
    size = 0
    number = 0
    head, opener.stream = take_head(opener.stream)
    if not head.startswith(b"From "):
        return
    for _, line in cut_lines(opener.stream, opener.max_bytes):
        if (
            isinstance(line, bytes)
            and line.startswith(b"From ")
            and not (lines and lines[-1].strip())
        ):
            if lines and size <= opener.max_bytes:
                yield b"\n".join(lines)
            number += 1
            lines, size = [], 0
            continue
        size += line if isinstance(line, int) else len(line) + 1
        if size > opener.max_bytes:
            if lines:
                opener.skip(f"#{number}", "record too long", too_long(size, opener.max_bytes))
            lines = []
        elif isinstance(line, bytes):
            lines.append(line.rstrip(b"\r"))
    if lines:
        yield b"\n".join(lines)


def _message(raw: bytes, where: str, opener: Opener) -> Document | Deferred | None:
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)  # noqa: S101 (what the default policy makes)
    try:
        body = message.get_body(("plain", "html"))
        text = body.get_content() if body is not None else ""
    except (LookupError, ValueError, AttributeError) as error:
        opener.skip(where, "broken message", type(error).__name__)
        return None
    if not isinstance(text, str) or not text.strip():
        opener.skip(where, "no text")
        return None
    text = strip_surrogates(text)
    document = Document(
        digest(raw.decode("utf-8", "replace")),
        text,
        f"{opener.label}{where}",
        _header(message, "subject"),
        _header(message, "from"),
        _header(message, "snapshot-content-location"),
        _header(message, "content-language"),
    )
    if body is not None and body.get_content_type() == "text/html":
        return read_page(document, where, opener)
    clean = _SIGNATURE.sub("", _QUOTED.sub("", text.replace("\r\n", "\n"))).strip()
    return Document(
        document.id, clean, document.source, document.title, document.author, document.url,
        document.language,
    )  # fmt: skip


def _header(message: EmailMessage, name: str) -> str | None:
    try:
        value = message[name]
        return strip_surrogates(" ".join(str(value).split())) or None if value else None
    except (ValueError, AttributeError, IndexError):  # headers of spam break the standard parser
        return None
