"""Byte streams: plain files, gzip with a cap, UTF-16, standard input.

``read(size)`` of each returns at most ``size`` bytes, and none only at the end.
"""

from __future__ import annotations

import codecs
import errno
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
    "BombError",
    "Gunzip",
    "Piped",
    "Recoded",
    "Rewound",
    "Source",
    "Stream",
    "open_regular",
    "take_head",
]

BLOCK_BYTES = 2**18
_HEAD_BYTES = 2**16
_MAX_RATIO = 200  # text shrinks by 3 to 10; zeros by 1,000
_RATIO_FROM_BYTES = 10 * 2**20  # small files may be as regular as they like
_ZLIB_GZIP = 31  # wbits: gzip header and trailer expected


class BombError(InputError):
    """Compressed data that exceeds any plausible text."""


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
        fault: Why it ended early (``truncated``, ``damaged``), or empty. The data before is valid.
    """

    def __init__(self, packed: Stream) -> None:
        self._packed = packed
        self._inflater = zlib.decompressobj(_ZLIB_GZIP)
        self._input = b""
        self._bytes_in = 0
        self._bytes_out = 0
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
        used = self._bytes_in - len(self._input)
        if self._bytes_out > _RATIO_FROM_BYTES and self._bytes_out > _MAX_RATIO * used:
            raise BombError(f"grows beyond {_MAX_RATIO} times its size")
        return block


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
