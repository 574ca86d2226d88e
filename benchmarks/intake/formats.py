"""How fast each input format is read, cleaned and cut: documents, megabytes and chunks a second.

python -m benchmarks.intake.formats [--megabytes 4] [--rounds 3] [FORMAT ...]

One core; times are of the processor, with those of the processes that read pages and PDF files. The
bundled articles are written in each format that a few lines can write; Word, OpenDocument, EPUB,
slides, spreadsheets and PDF files are the small ones that common tools wrote for the tests, over
and over: of them the documents a second are what counts. Copies are kept, so that what is measured
is the format. Medians of rounds, formats in turn.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import mailbox
import resource
import tarfile
import tempfile
import time
import zipfile
from email.message import EmailMessage
from html import escape
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
from benchmarks.machine import describe, save, table

from pairmill.chunking.reader import prepared_of
from pairmill.chunking.reader_job import ReaderJob
from pairmill.config import load
from pairmill.sources.notes import InputFate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pairmill.sources.notes import Note

ROOT = Path(__file__).parents[2]
WRITTEN_BY_TOOLS = ROOT / "tests/fixtures/formats"
ARTICLES = sorted(
    path for path in (ROOT / "examples/articles").iterdir() if path.suffix in {".md", ".txt"}
)
IN_A_FILE = 64  # documents, of formats that hold several
OF_TOOLS = ("docx", "odt", "epub", "pptx", "xlsx", "pdf", "ipynb", "rst", "adoc", "tex")


def main() -> None:
    """Measure, print and keep the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.intake.formats")
    parser.add_argument("formats", nargs="*", help="their endings; all where none is given")
    parser.add_argument("--megabytes", type=float, default=4, help="of each, as text")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    machine = describe()
    print(f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_1m']}\n")
    wanted = [name for name in (*WRITERS, *OF_TOOLS) if name in (given.formats or name)]
    with tempfile.TemporaryDirectory() as name:
        folders = {ending: Path(name) / ending for ending in wanted}
        for ending, folder in folders.items():
            folder.mkdir()
            _write(ending, folder, given.megabytes)
        taken = {ending: [] for ending in wanted}  # type: dict[str, list[dict[str, float]]]
        for _ in range(given.rounds):
            for ending, folder in folders.items():
                taken[ending].append(_read(folder))
    found = {
        ending: {name: median(it[name] for it in rounds) for name in rounds[0]}
        for ending, rounds in taken.items()
    }
    table(
        ["format", "documents/s", "MB/s of files", "MB/s of text", "chunks/s"],
        [
            [
                ending,
                f"{it['documents']:,.0f}",
                f"{it['file_mb']:.1f}",
                f"{it['text_mb']:.1f}",
                f"{it['chunks']:,.0f}",
            ]
            for ending, it in found.items()
        ],
    )
    save("formats", found)


def _read(folder: Path) -> dict[str, float]:
    settings = load(
        given={
            "inputs": (str(folder),),
            "output": folder / "none",
            "page_processes": 1,
            "duplicates": "off",
            "shared_lines": "keep",
            "min_words": 1,
        }
    )
    lost: list[Note] = []
    began = _spent()
    documents = chunks = chars = 0
    for one in prepared_of(ReaderJob.of(settings), lost.append):
        documents += 1
        chunks += len(one.spans)
        chars += len(one.document.text)
    took = _spent() - began
    faults = [note for note in lost if note.fate is not InputFate.READ]
    if faults or not documents:
        raise SystemExit(f"{folder.name}: {faults[:3] or 'nothing was read'}")
    size = sum(path.stat().st_size for path in folder.iterdir())
    return {
        "documents": documents / took,
        "file_mb": size / took / 2**20,
        "text_mb": chars / took / 2**20,
        "chunks": chunks / took,
    }


def _spent() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _write(ending: str, folder: Path, megabytes: float) -> None:
    if ending in OF_TOOLS:
        data = (WRITTEN_BY_TOOLS / f"mill.{ending}").read_bytes()
        for number in range(int(50 * megabytes)):
            (folder / f"{number:06}.{ending}").write_bytes(data)
        return
    texts = _texts(int(megabytes * 2**20))
    write, is_single = WRITERS[ending]
    step = 1 if is_single else IN_A_FILE
    for at in range(0, len(texts), step):
        (folder / f"{at:06}.{ending}").write_bytes(write(texts[at : at + step]))


def _texts(size: int) -> list[str]:
    """Articles of different length, without what stands in front of them."""
    originals = [path.read_text("utf-8").split("---\n", 2)[-1] for path in ARTICLES]
    made: list[str] = []
    held = 0
    while held < size:
        made.append(f"{originals[len(made) % len(originals)].strip()}\n\nNumber {len(made)}.\n")
        held += len(made[-1])
    return made


def _paragraphs(text: str) -> Iterator[str]:
    return (f"<p>{escape(part)}</p>" for part in text.split("\n\n"))


def _page(text: str) -> str:
    menu = "".join(f"<li><a href='/{n}'>Item number {n}</a></li>" for n in range(30))
    return (
        f"<!doctype html><html><head><title>T</title></head><body><nav><ul>{menu}</ul></nav>"
        f"<article><h1>T</h1>{''.join(_paragraphs(text))}</article></body></html>"
    )


def _plain(texts: list[str]) -> bytes:
    return texts[0].encode()


def _html(texts: list[str]) -> bytes:
    return _page(texts[0]).encode()


def _json_lines(texts: list[str]) -> bytes:
    return "".join(json.dumps({"text": text, "title": "T"}) + "\n" for text in texts).encode()


def _json(texts: list[str]) -> bytes:
    return json.dumps([{"text": text, "title": "T"} for text in texts], indent=1).encode()


def _csv(texts: list[str]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows([("title", "text"), *(("T", text) for text in texts)])
    return out.getvalue().encode()


def _parquet(texts: list[str]) -> bytes:
    out = io.BytesIO()
    pyarrow.parquet.write_table(pa.table({"text": texts}), out)
    return out.getvalue()


def _arrow(texts: list[str]) -> bytes:
    out = io.BytesIO()
    rows = pa.table({"text": texts})
    with pyarrow.ipc.new_file(out, rows.schema) as writer:
        writer.write_table(rows)
    return out.getvalue()


def _rss(texts: list[str]) -> bytes:
    items = "".join(
        f"<item><title>T</title><link>https://a.example/{number}</link>"
        f"<description>{escape(''.join(_paragraphs(text)))}</description></item>"
        for number, text in enumerate(texts)
    )
    return f'<?xml version="1.0"?><rss version="2.0"><channel>{items}</channel></rss>'.encode()


def _mbox(texts: list[str]) -> bytes:
    with tempfile.TemporaryDirectory() as place:
        box = mailbox.mbox(Path(place) / "box")
        for text in texts:
            message = EmailMessage()
            message["From"], message["Subject"] = "a@mill.example", "T"
            message.set_content(text)
            box.add(message)
        box.close()
        return (Path(place) / "box").read_bytes()


def _subtitles(texts: list[str]) -> bytes:
    lines = [line for line in texts[0].split("\n") if line]
    return "".join(
        f"{number}\n00:{number // 60 % 60:02}:{number % 60:02},000 --> 01:00:00,000\n{line}\n\n"
        for number, line in enumerate(lines, 1)
    ).encode()


def _warc(texts: list[str]) -> bytes:
    out = io.BytesIO()
    for number, text in enumerate(texts):
        body = _page(text).encode()
        reply = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + body
        head = (
            "WARC/1.0\r\nWARC-Type: response\r\n"
            f"WARC-Record-ID: <urn:uuid:00000000-0000-0000-0000-{number:012}>\r\n"
            f"WARC-Target-URI: https://a.example/{number}\r\nWARC-Date: 2024-01-01T00:00:00Z\r\n"
            f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(reply)}\r\n"
        )
        out.write(f"{head}\r\n".encode() + reply + b"\r\n\r\n")
    return out.getvalue()


def _zip(texts: list[str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, text in enumerate(texts):
            archive.writestr(f"{number}.txt", text)
    return out.getvalue()


def _tar(texts: list[str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for number, text in enumerate(texts):
            member, data = tarfile.TarInfo(f"{number}.txt"), text.encode()
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


WRITERS: dict[str, tuple[Callable[[list[str]], bytes], bool]] = {
    "txt": (_plain, True),
    "md": (_plain, True),
    "html": (_html, True),
    "jsonl": (_json_lines, False),
    "json": (_json, False),
    "csv": (_csv, False),
    "parquet": (_parquet, False),
    "arrow": (_arrow, False),
    "rss": (_rss, False),
    "mbox": (_mbox, False),
    "srt": (_subtitles, True),
    "warc": (_warc, False),
    "zip": (_zip, False),
    "tgz": (_tar, False),
}
"""Ending to what writes some documents, and whether a file holds one only."""


if __name__ == "__main__":
    main()
