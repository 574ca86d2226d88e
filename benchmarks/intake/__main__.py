"""How fast inputs are read, cleaned and cut, by format, on one core.

python -m benchmarks.intake [MEGABYTES]        8 where none is given

Beside it, in the same run: ``json`` and a plain splitter (paragraphs packed to a size) for records
and text, and trafilatura with that splitter for pages. Times are of the processor; those of the
processes that read pages count too. The corpus is made of the articles that come along, again and
again: copies are kept, so that each side cuts the same texts.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pairmill.chunking.reader import spans_of
from pairmill.chunking.reader_job import ReaderJob
from pairmill.config import load

if TYPE_CHECKING:
    from collections.abc import Callable

ARTICLES = sorted((Path(__file__).parents[2] / "examples/articles").glob("*.md"))
TARGET = 1800


def main() -> int:
    size = int(float(sys.argv[1]) * 2**20) if len(sys.argv) > 1 else 8 * 2**20
    texts = [path.read_text("utf-8") for path in ARTICLES]
    with tempfile.TemporaryDirectory() as place:
        for kind, write, beside in (
            ("JSON Lines", write_lines, split_lines),
            ("Markdown", write_markdown, split_markdown),
            ("HTML", write_pages, split_pages),
        ):
            folder = Path(place) / kind.replace(" ", "")
            folder.mkdir()
            count = write(folder, texts, size if kind != "HTML" else size // 4)
            held = sum(path.stat().st_size for path in folder.iterdir())
            for name, read in (("pairmill", pairmill), ("plain", beside)):
                before = spent()
                chunks = read(folder)
                took = spent() - before
                rates = (f"{held / took / 2**20:7.1f} MB/s", f"{count / took:9,.0f} documents/s")
                print(f"{kind:11} {name:9}", *rates, f"{chunks / took:9,.0f} chunks/s")
    print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    return 0


def spent() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def pairmill(folder: Path) -> int:
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
    return sum(len(spans) for _, spans in spans_of(ReaderJob.of(settings), lambda _: None))


def numbered(texts: list[str], size: int) -> list[str]:
    made: list[str] = []
    held = 0
    while held < size:
        made.append(f"{texts[len(made) % len(texts)]}\n\nThis is number {len(made)}.\n")
        held += len(made[-1])
    return made


def write_lines(folder: Path, texts: list[str], size: int) -> int:
    made = numbered(texts, size)
    with (folder / "a.jsonl").open("w") as file:
        file.writelines(json.dumps({"text": text, "title": "T"}) + "\n" for text in made)
    return len(made)


def write_markdown(folder: Path, texts: list[str], size: int) -> int:
    made = numbered(texts, size)
    for number, text in enumerate(made):
        (folder / f"{number:06}.md").write_text(text)
    return len(made)


def write_pages(folder: Path, texts: list[str], size: int) -> int:
    made = numbered(texts, size)
    menu = "".join(f"<li><a href='/{n}'>Item number {n}</a></li>" for n in range(60))
    for number, text in enumerate(made):
        body = "".join(f"<p>{part}</p>" for part in text.split("\n\n"))
        (folder / f"{number:06}.html").write_text(
            f"<!doctype html><html><head><title>T</title></head><body><nav><ul>{menu}</ul></nav>"
            f"<article>{body}</article><div class='related'><ul>{menu}</ul></div></body></html>"
        )
    return len(made)


def split(text: str) -> int:
    chunks = size = 0
    for part in text.split("\n\n"):
        size += len(part)
        if size > TARGET:
            chunks, size = chunks + 1, 0
    return chunks + (size > 0)


def split_lines(folder: Path) -> int:
    return sum(split(json.loads(line)["text"]) for line in (folder / "a.jsonl").open())


def split_markdown(folder: Path) -> int:
    return sum(split(path.read_text()) for path in sorted(folder.iterdir()))


def split_pages(folder: Path) -> int:
    import trafilatura

    extract: Callable[..., str | None] = trafilatura.extract
    return sum(
        split(extract(path.read_text(), output_format="markdown") or "")
        for path in sorted(folder.iterdir())
    )


if __name__ == "__main__":
    sys.exit(main())
