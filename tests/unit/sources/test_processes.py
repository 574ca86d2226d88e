from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec
import pytest

from pairmill.sources.notes import InputFate, Note
from pairmill.sources.processes import BrokenFrameError, read_frame, write_frame

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_a_value_comes_out_as_it_went_in(pipe: tuple[int, int]) -> None:
    value = Note(InputFate.SKIPPED, "a.html", "no text", "“quoted”")
    write_frame(pipe[1], value)
    assert read_frame(pipe[0], Note) == value


def test_a_value_of_another_type_is_no_frame(pipe: tuple[int, int]) -> None:
    write_frame(pipe[1], ["__import__('os')", 1])
    with pytest.raises(BrokenFrameError, match="it sent something that is not a frame"):
        read_frame(pipe[0], Note)


@pytest.mark.parametrize(
    "sent",
    [
        b"Warning: something was printed here\n",
        (2**40).to_bytes(8, "big"),
        (4).to_bytes(8, "big") + b"text",
        (4).to_bytes(8, "big") + msgspec.msgpack.encode("texts")[:4],
    ],
)
def test_what_is_no_frame_is_told_and_not_read_as_one(pipe: tuple[int, int], sent: bytes) -> None:
    os.write(pipe[1], sent)
    with pytest.raises(BrokenFrameError, match="it sent something that is not a frame"):
        read_frame(pipe[0], Note)
