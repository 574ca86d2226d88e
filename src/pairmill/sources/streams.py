"""Byte streams: plain files, compressed files with a cap, UTF-16, standard input.

``read(size)`` of each returns at most ``size`` bytes, and none only at the end.
"""

from __future__ import annotations

import bz2
import codecs
import errno
import lzma
import os
import select
import stat
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from pairmill.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = [
    "BLOCK_BYTES",
    "PACKED_ENDINGS",
    "BombError",
    "Gunzip",
    "Piped",
    "Recoded",
    "Rewound",
    "Source",
    "Stream",
    "Unpacked",
    "open_regular",
    "take_head",
    "unpacked",
]

BLOCK_BYTES = 2**18
_HEAD_BYTES = 2**16
_MAX_RATIO = 200  # text shrinks by 3 to 10; zeros by 1,000
_RATIO_FROM_BYTES = 10 * 2**20  # small files may be as regular as they like
_ZLIB_GZIP = 31  # wbits: gzip header and trailer expected
_MOST_LZMA_BYTES = 2**28  # of memory; xz -9 takes 65 MiB to unpack
PACKED_ENDINGS = (".gz", ".bz2", ".xz")
"""Endings of a file that is packed and nothing else, behind those of what it holds."""


class BombError(InputError):
    """Compressed data that exceeds any plausible text.

    Attributes:
        packed: The name of the compression.
    """

    packed = "gzip"


class Stream(Protocol):
    """Input of every reader."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; none only at the end."""
        ...


Source = BinaryIO | Stream
"""What standard input may be."""


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for unbuffered reading; the caller closes it.

    Raises:
        OSError: It does not exist, may not be read, or is a pipe, a device or a socket.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file")
    return open(descriptor, "rb", buffering=0)  # noqa: PTH123 (a descriptor, not a path)


def take_head(stream: Stream) -> tuple[bytes, Rewound]:
    """Read the beginning: up to 64 KiB, or up to the first line with content."""
    head = b""
    while len(head) < _HEAD_BYTES and (block := stream.read(_HEAD_BYTES - len(head))):
        head += block
        if b"\n" in head.lstrip() and len(block) < _HEAD_BYTES:
            break
    return head, Rewound(head, stream)


class Rewound:
    """A stream whose first bytes were already read, restored to its start."""

    def __init__(self, head: bytes, rest: Stream) -> None:
        self._head = head
        self._rest = rest

    def read(self, size: int, /) -> bytes:
        """Return the bytes that were read before, then the rest."""
        if self._head:
            block, self._head = self._head[:size], self._head[size:]
            return block
        return self._rest.read(size)


class Piped:
    """Standard input: returns what is available, without waiting for a full block."""

    def __init__(self, stream: Source) -> None:
        # Below Python's buffer: a thread that waits in there keeps the interpreter from ending.
        self._raw: Any = getattr(stream, "raw", stream)
        self._read: Callable[[int], bytes | None] = getattr(self._raw, "read1", self._raw.read)

    def read(self, size: int, /) -> bytes:
        """Return what has arrived."""
        while (block := self._read(size)) is None:  # whoever holds the other end does not wait
            select.select([self._raw], [], [])
        return block


class Gunzip:
    """The content of gzip data with one or more members, at most one block at a time.

    Attributes:
        name: The name of the compression.
        fault: Why it ended early (``truncated``, ``damaged``), or empty. The data before is valid.
    """

    def __init__(self, packed: Stream) -> None:
        self._packed = packed
        self._inflater = zlib.decompressobj(_ZLIB_GZIP)
        self._input = b""
        self._bytes_in = 0
        self._bytes_out = 0
        self.name = "gzip"
        self.fault = ""

    def read(self, size: int, /) -> bytes:
        """Return unpacked bytes.

        Raises:
            BombError: More than 10 MiB came out, and more than 200 times the input.
        """
        while not self.fault:
            if self._inflater.eof and not self._next_member():
                return b""
            if not self._input and not self._fill():
                self.fault = "truncated"
                return b""
            try:
                block = self._inflater.decompress(self._input, size)
            except zlib.error:
                self.fault = "damaged"
                return b""
            self._input = self._inflater.unconsumed_tail
            if self._inflater.eof:
                self._input = self._inflater.unused_data
            if block:
                return self._counted(block)
        return b""

    def _fill(self) -> bool:
        self._input = self._packed.read(BLOCK_BYTES)
        self._bytes_in += len(self._input)
        return bool(self._input)

    def _next_member(self) -> bool:
        """Start the next member; zero bytes after the last one are padding."""
        while not self._input.lstrip(b"\0"):
            if not self._fill():
                return False
        self._input = self._input.lstrip(b"\0")
        self._inflater = zlib.decompressobj(_ZLIB_GZIP)
        return True

    def _counted(self, block: bytes) -> bytes:
        self._bytes_out += len(block)
        _check_ratio(self.name, self._bytes_in - len(self._input), self._bytes_out)
        return block


class Unpacked:
    """The content of bzip2 or xz data with one or more members, at most one block at a time.

    Attributes:
        name: The name of the compression.
        fault: Why it ended early (``truncated``, ``damaged``), or empty. The data before is valid.
    """

    def __init__(self, packed: Stream, name: str, begin: Callable[[], Any]) -> None:
        self._packed = packed
        self._begin = begin
        self._unpacker = begin()
        self._rest = b""  # of what was read, behind the end of a member
        self._bytes_in = 0
        self._bytes_out = 0
        self.name = name
        self.fault = ""

    def read(self, size: int, /) -> bytes:
        """Return unpacked bytes.

        Raises:
            BombError: More than 10 MiB came out, and more than 200 times of what went in.
        """
        while not self.fault:
            if self._unpacker.eof:
                self._rest = self._unpacker.unused_data or self._packed.read(BLOCK_BYTES)
                if not self._rest.strip(b"\0"):
                    return b""
                self._unpacker = self._begin()
            given = b""
            if self._unpacker.needs_input:
                given, self._rest = self._rest or self._packed.read(BLOCK_BYTES), b""
                self._bytes_in += len(given)
                if not given:
                    self.fault = "truncated"
                    return b""
            try:
                block: bytes = self._unpacker.decompress(given, size)
            except (OSError, EOFError, lzma.LZMAError):
                self.fault = "damaged"
                return b""
            if block:
                self._bytes_out += len(block)
                _check_ratio(self.name, self._bytes_in, self._bytes_out)
                return block
        return b""


def unpacked(head: bytes, stream: Stream) -> Gunzip | Unpacked | None:
    """Return a stream of the unpacked content, or None if the data is not compressed."""
    if head.startswith(b"\x1f\x8b"):
        return Gunzip(stream)
    if head.startswith(b"BZh") and head[4:10] in (b"1AY&SY", b"\x17rE8P\x90"):
        return Unpacked(stream, "bzip2", bz2.BZ2Decompressor)
    if head.startswith(b"\xfd7zXZ\0"):
        return Unpacked(stream, "xz", _begin_xz)
    return None


def _begin_xz() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MOST_LZMA_BYTES)


def _check_ratio(name: str, bytes_in: int, bytes_out: int) -> None:
    if bytes_out > _RATIO_FROM_BYTES and bytes_out > _MAX_RATIO * bytes_in:
        error = BombError(f"grows beyond {_MAX_RATIO} times its size")
        error.packed = name
        raise error


class Recoded:
    """A stream recoded to UTF-8; undecodable bytes become U+FFFD."""

    def __init__(self, stream: Stream, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        self._left = b""
        self._ended = False

    def read(self, size: int, /) -> bytes:
        """Return UTF-8 bytes."""
        while not self._left and not self._ended:
            block = self._stream.read(BLOCK_BYTES)
            self._ended = not block
            text = self._decoder.decode(block, final=self._ended)
            self._left = text.encode("utf-8", "replace")
        block, self._left = self._left[:size], self._left[size:]
        return block
