"""How two of our own processes speak over a pipe: plain values, each with its length before it."""

from __future__ import annotations

import marshal
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["BrokenFrameError", "read_bytes", "read_frame", "write_frame"]

_NO_FRAME = "what it sent is no frame"
_HEAD_BYTES = 8
_MOST_BYTES = 2**32  # twice what marshal can hold in one text; eight printed signs say far more
_MOST_PARTS = 1024  # IOV_MAX


class BrokenFrameError(EOFError):
    """The other side ended within a frame, or before one; or, with a text, it sent no frame."""


def write_frame(descriptor: int, value: Any, blobs: Sequence[bytes] = ()) -> None:
    """Write a value made of tuples, lists, text, bytes, numbers and None; then bytes as they are.

    Raises:
        OSError: Nobody reads any more.
    """
    body = marshal.dumps(value)
    parts = [len(body).to_bytes(_HEAD_BYTES, "big"), body, *blobs]
    for start in range(0, len(parts), _MOST_PARTS):
        some = parts[start : start + _MOST_PARTS]
        sent = os.writev(descriptor, some)
        if sent < sum(map(len, some)):
            rest = memoryview(b"".join(some))[sent:]
            while rest:
                rest = rest[os.write(descriptor, rest) :]


def read_frame(descriptor: int) -> Any:
    """Return the next value, as `write_frame` was given it.

    Raises:
        BrokenFrameError: The other side has ended, or what it sent is no frame.
    """
    size = int.from_bytes(read_bytes(descriptor, _HEAD_BYTES), "big")
    if size > _MOST_BYTES:
        raise BrokenFrameError(_NO_FRAME)
    body = read_bytes(descriptor, size)
    try:
        # Of our own child, down a pipe that nobody else holds; unlike pickle it runs no code.
        return marshal.loads(body)  # noqa: S302
    except (EOFError, ValueError, TypeError):
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
