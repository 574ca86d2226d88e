from __future__ import annotations

import io
import sys

import pytest
import typer

from pairmill.service.console import BestEffortStream


class Gone(io.StringIO):
    def write(self, text: str, /) -> int:
        raise BrokenPipeError

    def flush(self) -> None:
        raise BrokenPipeError


def test_what_nobody_reads_is_dropped() -> None:
    stream = BestEffortStream(Gone())
    assert stream.write("text") == 4
    stream.flush()


def test_what_somebody_reads_is_passed_on() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    quiet = BestEffortStream(stream)
    quiet.write("text ")
    quiet.buffer.write(b"bytes")
    assert stream.buffer.getvalue() == b"text bytes"
    assert quiet.encoding == "utf-8"


def test_it_can_stand_in_for_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for libraries that ask a stream whether it takes text or bytes."""
    stream = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    monkeypatch.setattr(sys, "stderr", BestEffortStream(stream))
    typer.echo("a line", err=True)
    assert stream.buffer.getvalue() == b"a line\n"
    with pytest.raises(TypeError):
        sys.stderr.write(b"")  # type: ignore[arg-type]
    monkeypatch.setattr(sys, "stderr", BestEffortStream(Gone()))
    typer.echo("a line", err=True)
