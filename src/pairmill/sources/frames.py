"""Messages between our own processes over a pipe: typed MessagePack with a length prefix.

Data from a process that reads hostile pages is decoded by type and validated; anything else is a
broken frame. Decoding runs no code and builds only the named type.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["BrokenFrameError", "read_bytes", "read_frame", "write_frame"]

_NO_FRAME = "what it sent is no frame"
_HEAD_BYTES = 8
_MOST_BYTES = 2**32  # eight printed characters, read as a length, say far more
_MOST_PARTS = 1024  # IOV_MAX

T = TypeVar("T")
_encode = msgspec.msgpack.Encoder().encode


class BrokenFrameError(EOFError):
    """The other side ended within a frame, or before one; or, with a text, it sent no frame."""


def write_frame(descriptor: int, value: Any, blobs: Sequence[bytes] = ()) -> None:
    """Write a value that MessagePack can hold, then bytes as they are.

    Raises:
        OSError: Nobody reads any more.
    """
    body = _encode(value)
    parts = [len(body).to_bytes(_HEAD_BYTES, "big"), body, *blobs]
    for start in range(0, len(parts), _MOST_PARTS):
        some = parts[start : start + _MOST_PARTS]
        sent = os.writev(descriptor, some)
        if sent < sum(map(len, some)):
            rest = memoryview(b"".join(some))[sent:]
            while rest:
                rest = rest[os.write(descriptor, rest) :]


def read_frame(descriptor: int, kind: type[T]) -> T:
    """Return the next value, which must be of the given type.

    Raises:
        BrokenFrameError: The other side has ended, or what it sent is no such value.
    """
    size = int.from_bytes(read_bytes(descriptor, _HEAD_BYTES), "big")
    if size > _MOST_BYTES:
        raise BrokenFrameError(_NO_FRAME)
    body = read_bytes(descriptor, size)
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BrokenFrameError(_NO_FRAME) from None


def read_bytes(descriptor: int, size: int) -> bytearray:
    """Return so many bytes.

    Raises:
        BrokenFrameError: The other side has ended.
    """
    data = bytearray(size)
    rest = memoryview(data)
    while rest:
        count = os.readv(descriptor, [rest])
        if not count:
            raise BrokenFrameError
        rest = rest[count:]
    return data
