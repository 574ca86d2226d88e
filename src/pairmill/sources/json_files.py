"""JSON and JSON Lines, streamed: one record per line, a list, an object that wraps a list, or one.

The list is never decoded as a whole. A scanner splits it into items, which are decoded one by one,
which bounds memory by the longest item, and keeps a broken item from affecting the others.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from pairmill.sources.base import SourceFormat, too_long
from pairmill.sources.records import Decoder, read_record, read_records
from pairmill.sources.streams import BLOCK_BYTES, take_head

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pairmill.sources.base import Documents, Opener
    from pairmill.sources.streams import Stream

__all__ = [
    "JSON",
    "JSON_LINES",
    "Item",
    "cut_items",
    "cut_lines",
    "is_one_value",
    "read_items",
    "read_lines",
]

Item = bytes | int | str
"""A whole item's bytes; or the size of one too long; or why what follows is no item."""

_WRAPPED_LIST = re.compile(
    rb'[{,]\s*"(?:artifact_data|data|documents|articles|records|rows|items|posts|results|pages|hits|objects|entries|docs)"\s*:\s*\[\Z'
)
_WHOLE_BYTES = 2**18  # objects up to here are looked at as a whole
_KEY_BYTES = 128  # room for the pattern above
_WRAPPER_BYTES = 4096  # an object that already held more than this is a record, not a wrapper
_STRUCTURE = re.compile(rb'["{}\[\]]')
_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_SPACE = re.compile(rb"[ \t\r\n,\x1e]*+")  # 0x1e is before the items of a JSON text sequence
_SCALAR = re.compile(rb"[^,\]\n]*+")
_LINE = re.compile(rb"[^\n]*+")


def read_items(opener: Opener) -> Documents:
    """Yield a document for each item; items without one are reported by number."""
    decoder = Decoder(opener)
    number = 0
    for item in cut_items(opener.stream, opener.max_bytes, _WHOLE_BYTES):
        number += 1
        where = f"#{number}"
        if isinstance(item, bytes):
            for count, document in read_records(item, "#", number, decoder):
                number = count
                if document is not None:
                    yield document
        elif isinstance(item, int):
            opener.skip(where, "record too long", too_long(item, opener.max_bytes))
        else:
            opener.skip(where, "broken JSON", item)
    decoder.finish()
    if not number:
        opener.skip("", "no records")


JSON = SourceFormat("JSON", (".json",), read_items, is_text=True)


def cut_items(stream: Stream, max_bytes: int, whole_bytes: int = 0) -> Iterator[Item]:
    """Split JSON into the bytes of its items, without decoding them.

    Items are the elements of a top-level list, those of the lists under known keys
    (``artifact_data``, ``data`` ...) of a top-level object, else top-level objects. For an item
    over ``max_bytes`` its size is yielded, and no more than that is ever held. A top-level object
    that ends within ``whole_bytes`` is one item whatever it wraps, since the caller can then look
    at all of it.
    """
    tape = _Tape(stream, max_bytes)
    while opener := tape.pass_over(_SPACE):
        if opener == b"[":
            tape.at += 1
            yield from _cut_list(tape)
        elif opener == b"{":
            if tape.ends_within(whole_bytes):
                yield tape.take()
            else:
                yield from _cut_object(tape)
        else:
            tape.mark()
            tape.pass_over(_LINE)
            yield tape.take()


def _cut_list(tape: _Tape) -> Iterator[Item]:
    """Split off the elements of a list whose opening bracket was just passed."""
    while opener := tape.pass_over(_SPACE):
        if opener == b"]":
            tape.at += 1
            return
        tape.mark()
        if opener in b'{["':
            whole = tape.pass_value()
        else:
            whole = bool(tape.pass_over(_SCALAR)) and not tape.is_empty()
        if not whole:
            yield "the file ends inside a record"
            return
        yield tape.take()
    yield "the file ends before its list does"


def _cut_object(tape: _Tape) -> Iterator[Item]:
    """Split a top-level object: one item itself, or the elements of the lists that it wraps."""
    tape.mark()
    depth = 0
    is_wrapper = False
    while hit := tape.pass_structure():
        if hit in b"{[":
            depth += 1
        elif hit in b"}]":
            depth -= 1
        elif not tape.pass_string():
            break
        if hit == b"[" and depth == 2 and _wraps(tape, is_wrapper):  # noqa: PLR2004
            is_wrapper = True
            tape.unmark()
            yield from _cut_list(tape)
            depth -= 1
        elif depth == 0:
            if not is_wrapper:
                yield tape.take()
            return
    yield "the file ends inside a record"


def _wraps(tape: _Tape, is_wrapper: bool) -> bool:
    """Return whether the list that begins here holds the records of a wrapping object."""
    small = is_wrapper or tape.marked_bytes() <= _WRAPPER_BYTES
    return small and bool(_WRAPPED_LIST.search(tape.before(_KEY_BYTES))) and tape.next_is(b"{")


class _Tape:
    """A stream read through a buffer that holds at most one item and one block.

    Attributes:
        at: The cursor, an offset in the buffer.
    """

    def __init__(self, stream: Stream, max_bytes: int) -> None:
        self._stream = stream
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._mark = -1  # where the item in work begins; -1: none is
        self._forgotten = 0  # bytes already discarded
        self.at = 0

    def mark(self) -> None:
        """Start an item at the cursor."""
        self._mark, self._forgotten = self.at, 0

    def unmark(self) -> None:
        """Abandon the current item."""
        self._mark, self._forgotten = -1, 0

    def marked_bytes(self) -> int:
        """Return the length of the current item up to the cursor."""
        return self.at - self._mark + self._forgotten

    def take(self) -> bytes | int:
        """End the item at the cursor and return it, or its size if it is too long."""
        size = self.marked_bytes()
        item = size if size > self._max_bytes else bytes(self._buffer[self._mark : self.at])
        self.unmark()
        return item

    def before(self, size: int) -> bytes:
        """Return the byte before the cursor."""
        return bytes(self._buffer[max(0, self.at - size) : self.at])

    def is_empty(self) -> bool:
        """Return whether the current item is still empty."""
        return self.marked_bytes() == 0

    def next_is(self, byte: bytes) -> bool:
        """Skip white space and return whether the next byte is this one."""
        return self.pass_over(_SPACE) == byte

    def pass_over(self, pattern: re.Pattern[bytes]) -> bytes:
        """Move past what matches a ``[...]*+`` pattern; return the byte there, none at the end."""
        while True:
            match = pattern.match(self._buffer, self.at)
            self.at = match.end() if match else self.at
            del match  # it would hold the buffer, which is about to grow
            if self.at < len(self._buffer):
                return bytes(self._buffer[self.at : self.at + 1])
            if not self._more():
                return b""

    def pass_structure(self) -> bytes:
        """Move past the next quote or bracket and return it; none at the end."""
        while True:
            match = _STRUCTURE.search(self._buffer, self.at)
            if match:
                self.at = match.end()
                return match[0]
            self.at = len(self._buffer)
            if not self._more():
                return b""

    def pass_string(self) -> bool:
        """Move past the end of a string after its opening quote; False if it is unterminated."""
        while True:
            match = _STRING.match(self._buffer, self.at)
            self.at = match.end() if match else self.at
            del match
            if self.at < len(self._buffer) and self._buffer[self.at] == ord('"'):
                self.at += 1
                return True
            if not self._more():
                return False

    def pass_value(self) -> bool:
        """Move past the string, list or object at the cursor; False if it is unterminated."""
        depth = 0
        while hit := self.pass_structure():
            if hit in b"{[":
                depth += 1
            elif hit in b"}]":
                depth -= 1
            elif not self.pass_string():
                return False
            if depth == 0:
                return True
        return False

    def ends_within(self, most: int) -> bool:
        """Move past the value at the cursor if it ends within this many bytes; else stay."""
        if not most:
            return False
        self.mark()
        while len(self._buffer) - self.at < most and self._more():
            pass
        end = self._end_of_value(min(len(self._buffer), self.at + most))
        if end is None:
            self.unmark()
            return False
        self.at = end
        return True

    def _end_of_value(self, limit: int) -> int | None:
        """Return where the list or object at the cursor ends; None if not before ``limit``."""
        at, depth = self.at, 0
        while match := _STRUCTURE.search(self._buffer, at, limit):
            hit, at = match[0], match.end()
            del match  # it would hold the buffer
            if hit in b"{[":
                depth += 1
            elif hit in b"}]":
                depth -= 1
            else:
                string = _STRING.match(self._buffer, at, limit)
                at = string.end() if string else at
                del string
                if at >= limit or self._buffer[at] != ord('"'):
                    return None
                at += 1
            if depth == 0:
                return at
        return None

    def _more(self) -> bool:
        """Read a block; drop the buffer before the current item, and items that are too long."""
        if self._mark >= 0 and self.marked_bytes() > self._max_bytes:
            self._forgotten += self.at - self._mark
            self._mark = self.at
        start = self.at - _KEY_BYTES if self._mark < 0 else self._mark
        if start > 0:
            del self._buffer[:start]
            self.at -= start
            self._mark = 0 if self._mark >= 0 else -1
        block = self._stream.read(BLOCK_BYTES)
        self._buffer += block
        return bool(block)


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
