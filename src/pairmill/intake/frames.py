"""How two of our own processes speak over a pipe: plain values, each with its length before it."""

from __future__ import annotations

import marshal
import os
from typing import Any

__all__ = ["BrokenFrameError", "read_frame", "write_frame"]

_HEAD_BYTES = 8
_MOST_AT_ONCE = 2**20


class BrokenFrameError(EOFError):
    """The other side ended within a frame, or before one."""


def write_frame(descriptor: int, value: Any) -> None:
    """Write a value made of tuples, lists, text, bytes, numbers and None.

    Raises:
        OSError: Nobody reads any more.
    """
    body = marshal.dumps(value)
    head = len(body).to_bytes(_HEAD_BYTES, "big")
    sent = os.writev(descriptor, (head, body))
    rest = memoryview(body)[max(0, sent - _HEAD_BYTES) :]
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def read_frame(descriptor: int) -> Any:
    """Return the next value, as `write_frame` was given it.

    Raises:
        BrokenFrameError: The other side has ended.
    """
    size = int.from_bytes(_read(descriptor, _HEAD_BYTES), "big")
    # Of our own child, down a pipe that nobody else holds; unlike pickle it runs no code.
    return marshal.loads(_read(descriptor, size))  # noqa: S302


def _read(descriptor: int, size: int) -> bytearray:
    data = bytearray(size)
    rest = memoryview(data)
    while rest:
        count = os.readv(descriptor, [rest[:_MOST_AT_ONCE]])
        if not count:
            raise BrokenFrameError
        rest = rest[count:]
    return data
