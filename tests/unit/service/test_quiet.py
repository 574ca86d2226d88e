from __future__ import annotations

import io

from pairmill.service.quiet import Quiet


class Gone(io.StringIO):
    def write(self, text: str, /) -> int:
        raise BrokenPipeError

    def flush(self) -> None:
        raise BrokenPipeError


def test_what_nobody_reads_is_dropped() -> None:
    stream = Quiet(Gone())
    assert stream.write("text") == 4
    stream.flush()


def test_what_somebody_reads_is_passed_on() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    quiet = Quiet(stream)
    quiet.write("text ")
    quiet.buffer.write(b"bytes")
    assert stream.buffer.getvalue() == b"text bytes"
    assert quiet.encoding == "utf-8"
