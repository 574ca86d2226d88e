"""JSON Lines: one record per line, of any JSON type."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from pairmill.sources.base import SourceFormat, too_long
from pairmill.sources.items import read_items
from pairmill.sources.records import Decoder, read_record
from pairmill.sources.streams import BLOCK_BYTES, take_head

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pairmill.sources.base import Documents, Opener
    from pairmill.sources.streams import Stream

__all__ = ["JSON_LINES", "cut_lines", "is_one_value", "read_lines"]

_OPENS = re.compile(rb"\[\s*[{\"]|\{\s*[\"}]")
_OLD_MAC = re.compile(rb"\}\r\s*\{\s*\"")
_LOOKED_AT_LINES = 20


def read_lines(opener: Opener) -> Documents:
    """Yield a document for each line; lines without one are reported by number."""
    head, opener.stream = take_head(opener.stream)
    before = opener.first_line - 1 if opener.first_line else 0
    if not opener.first_line and is_one_value(head):
        yield from read_items(opener)
        return
    decoder = Decoder(opener)
    found = opener.first_line > 0
    for number, line in cut_lines(opener.stream, opener.max_bytes):
        where = f":{before + number}"
        if isinstance(line, int):
            opener.skip(where, "line too long", too_long(line, opener.max_bytes))
            found = True
        elif line and not line.isspace():
            found = True
            if document := read_record(line, where, decoder):
                yield document
    decoder.finish()
    if not found:
        opener.skip("", "no records")


def is_one_value(head: bytes) -> bool:
    """Return whether a file is one JSON value over several lines instead of a record per line."""
    start = head.lstrip()
    if not start.startswith((b"{", b"[")):
        return False
    if not _OPENS.match(start):
        return False
    if start.startswith(b"{") and b"\n" not in start:
        return bool(_OLD_MAC.search(start))  # else one line, or the beginning of a long one
    first = start.partition(b"\n")[0]
    if start.startswith(b"{") and sum(map(first.count, b"{[")) <= sum(map(first.count, b"}]")):
        return False  # whatever it is, it ends with its line
    return not any(_is_record(line) for line in head.split(b"\n")[:_LOOKED_AT_LINES])


def _is_record(line: bytes) -> bool:
    line = line.strip().removeprefix(b"\xef\xbb\xbf").removesuffix(b",")
    if not line.startswith((b"{", b'"')):
        return False
    try:
        json.loads(line.decode("utf-8", "replace"), strict=False)
    except (ValueError, RecursionError):
        return False
    return True


JSON_LINES = SourceFormat(
    "JSON Lines", (".jsonl", ".ndjson", ".jsonlines"), read_lines, is_text=True
)


def cut_lines(stream: Stream, max_bytes: int) -> Iterator[tuple[int, bytes | int]]:
    r"""Yield each line's number, from 1, and its bytes without ``\n``.

    Only ``\n`` ends a line. For a line over ``max_bytes`` its length is yielded instead, and no
    more than that is ever held.
    """
    number = 1
    parts: list[bytes] = []
    size = 0
    while block := stream.read(BLOCK_BYTES):
        first, *rest = block.split(b"\n")
        size += len(first)
        if size <= max_bytes:
            parts.append(first)
        else:
            parts.clear()
        if not rest:
            continue
        yield number, _line(parts, size, max_bytes)
        *whole, last = rest
        for number, line in enumerate(whole, number + 1):  # noqa: B020 (it counts on)
            yield number, line if len(line) <= max_bytes else len(line)
        number += 1
        parts, size = [last], len(last)
    if size:
        yield number, _line(parts, size, max_bytes)


def _line(parts: list[bytes], size: int, max_bytes: int) -> bytes | int:
    return size if size > max_bytes else b"".join(parts)
