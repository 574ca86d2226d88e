"""Damaged and hostile files of every format: each is named or read, and its neighbours are read."""

from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
import tracemalloc
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest

from pairmill.chunking.reader import prepared_of
from pairmill.chunking.reader_job import ReaderJob
from pairmill.config import load
from pairmill.sources.notes import InputFate
from pairmill.sources.registry import FORMATS, Formats

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pairmill.sources.notes import Note

pytestmark = pytest.mark.slow

FILES = Path(__file__).parents[2] / "fixtures" / "formats"
TEXT = "The mill stands by the river and grinds whatever the farmers bring to it. " * 12
TEXTS = [f"{TEXT}This is number {number} of them." for number in range(5)]
GOOD = f"{TEXT}This one has nothing wrong with it."
HUGE = 2**20


def _table(ending: str) -> bytes:
    out, rows = io.BytesIO(), pa.table({"text": TEXTS})
    if ending == "parquet":
        pyarrow.parquet.write_table(rows, out)
    else:
        with pyarrow.ipc.new_file(out, rows.schema) as writer:
            writer.write_table(rows)
    return out.getvalue()


def _zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, text in enumerate(TEXTS):
            archive.writestr(f"{number}.txt", text)
    return out.getvalue()


def _tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for number, text in enumerate(TEXTS):
            member = tarfile.TarInfo(f"{number}.txt")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()


ITEMS = "".join(f"<item><title>t</title><description>{text}</description></item>" for text in TEXTS)
MESSAGES = (f"From a@b.c Thu Jan  1 00:00:00 2020\nSubject: s\n\n{text}\n\n" for text in TEXTS)
CUES = "".join(f"{n}\n00:00:{n:02},000 --> 00:01:00,000\n{TEXT[:70]}\n\n" for n in range(1, 31))
SOUND: dict[str, bytes] = {
    "txt": TEXT.encode(),
    "md": f"---\ntitle: T\n---\n\n# T\n\n{TEXT}".encode(),
    "mdx": f"import X from 'x'\n\n# T\n\n{TEXT}".encode(),
    "html": f"<html><head><title>T</title></head><body><p>{TEXT}</p></body></html>".encode(),
    "json": json.dumps([{"text": text} for text in TEXTS]).encode(),
    "jsonl": "\n".join(json.dumps({"text": text}) for text in TEXTS).encode(),
    "jsonl.gz": gzip.compress("\n".join(json.dumps({"text": text}) for text in TEXTS).encode()),
    "csv": ("title,text\n" + "".join(f'T,"{text}"\n' for text in TEXTS)).encode(),
    "parquet": _table("parquet"),
    "arrow": _table("arrow"),
    "xml": f'<?xml version="1.0"?><rss version="2.0"><channel>{ITEMS}</channel></rss>'.encode(),
    "mbox": "".join(MESSAGES).encode(),
    "eml": f"From: a@b.c\nSubject: s\n\n{TEXT}".encode(),
    "srt": CUES.encode(),
    "vtt": f"WEBVTT\n\n{CUES.replace(',000', '.000')}".encode(),
    "zip": _zip(),
    "tar": _tar(),
    "tgz": gzip.compress(_tar()),
    "warc.gz": (FILES / "crawl.warc.gz").read_bytes(),
    "wet": (FILES / "crawl.wet").read_bytes(),
    **{
        ending: (FILES / f"mill.{ending}").read_bytes()
        for ending in ("docx", "pptx", "odt", "epub", "pdf", "xlsx", "ipynb", "rst", "adoc", "tex")
    },
}


def _harmed(data: bytes) -> Iterator[tuple[str, bytes]]:
    draw = random.Random(len(data))
    middle = len(data) // 2
    for share in (0.25, 0.6, 0.98):
        yield f"cut at {share}", data[: int(share * len(data))]
    yield "empty", b""
    yield "zeros", bytes(5000)
    yield "noise", draw.randbytes(20_000)
    yield "noise after its head", data[:64] + draw.randbytes(20_000)
    yield "noise within", data[:middle] + draw.randbytes(3000) + data[middle:]
    flipped = bytearray(data)
    for _ in range(max(3, len(data) // 200)):
        flipped[draw.randrange(len(data))] = draw.randrange(256)
    yield "flipped", bytes(flipped)
    yield "a huge line", data[:middle] + b"a" * HUGE + data[middle:]
    yield "tags without end", data[:middle] + b"<a>[" * 50_000 + data[middle:]
    yield "objects without end", b'[{"text":' * 30_000
    yield "an open quote", data[:middle] + b'"' * 1001 + data[middle:]


def test_no_format_is_left_out() -> None:
    known = {Formats().of_name(f"a.{ending}") for ending in SOUND}
    assert set(FORMATS) <= known


@pytest.mark.parametrize("ending", SOUND)
def test_each_is_named_or_read(tmp_path: Path, ending: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    names = []
    for name, data in _harmed(SOUND[ending]):
        names.append(f"{name}.{ending}")
        (folder / names[-1]).write_bytes(data)
    (folder / "zz sound.txt").write_text(GOOD)
    settings = load(
        given={"inputs": (str(folder),), "output": tmp_path / "out", "duplicates": "off",
               "shared_lines": "keep"}
    )  # fmt: skip
    notes: list[Note] = []
    tracemalloc.start()
    texts = [one.document.text for one in prepared_of(ReaderJob.of(settings), notes.append)]
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert texts[-1] == GOOD
    assert most < 64 * HUGE
    for name in names:
        told = [note for note in notes if note.source.startswith(f"{folder}/{name}")]
        assert told, name
        assert all("\n" not in note.detail and "Traceback" not in note.detail for note in told)
        assert all(note.detail.isprintable() for note in told), [note.detail for note in told]
    assert {note.fate for note in notes} <= {*InputFate}
