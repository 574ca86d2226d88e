"""How well libraries read the text of PDF files, and how fast, beside the same text as HTML.

python -m benchmarks.intake.pdfs [FILE.pdf TEXT]     the developers' reference of `make corpora`
                                                     where none is given

Each library that is installed runs as its own authors run it: ``pypdfium2`` (the one in use),
``pypdf``, ``pdfminer.six``, ``pymupdf``. The measures are F1 of words and of runs of four words;
lines are joined first, and words that a hyphen parts at the end of one. Menus of the HTML and page
numbers of the PDF count as faults of all alike.
"""

from __future__ import annotations

import gzip
import importlib
import re
import sys
import time
from collections import Counter
from html import unescape
from pathlib import Path
from typing import Any

from benchmarks.intake.corpora import FOLDER

REFERENCE = FOLDER / "root/usr/share/developers-reference/developers-reference"
_LINE_END = re.compile(r"(?P<parted>[\ufffe\xad\x02-]?)\n(?=[a-z])")
_NO_TEXT = re.compile(r"<(script|style|head)\b.*?</\1>|<[^>]+>", re.DOTALL)


def main() -> int:
    given = sys.argv[1:3] or [f"{REFERENCE}.pdf", f"{REFERENCE}.html"]
    if not Path(given[0]).is_file():
        print("no such file: make corpora", file=sys.stderr)
        return 1
    truth = text_of(Path(given[1]))
    for name, read in (
        ("pypdfium2", by_pdfium),
        ("pypdf", by_pypdf),
        ("pdfminer.high_level", by_pdfminer),
        ("pymupdf", by_pymupdf),
    ):
        try:
            library = importlib.import_module(name)
        except ImportError:
            print(f"{name} is not installed: left out", file=sys.stderr)
            continue
        started = time.process_time()
        pages = read(library, given[0])
        spent = time.process_time() - started
        text = _LINE_END.sub(lambda it: "" if it["parted"] else " ", "\n".join(pages))
        shares = [f1(runs(truth, length), runs(text, length)) for length in (1, 4)]
        print(
            f"{name:20} {len(pages):4} pages {1000 * spent / len(pages):6.1f} ms a page"
            f"  words {shares[0]:.3f}  runs of four {shares[1]:.3f}"
        )
    return 0


def by_pdfium(library: Any, path: str) -> list[str]:
    return [page.get_textpage().get_text_bounded() for page in library.PdfDocument(path)]


def by_pypdf(library: Any, path: str) -> list[str]:
    return [page.extract_text() for page in library.PdfReader(path).pages]


def by_pdfminer(library: Any, path: str) -> list[str]:
    found: str = library.extract_text(path)
    return found.removesuffix("\f").split("\f")


def by_pymupdf(library: Any, path: str) -> list[str]:
    return [page.get_text() for page in library.open(path)]


def text_of(path: Path) -> str:
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8", "replace")
    return unescape(_NO_TEXT.sub("", text)) if path.suffix == ".html" else text


def runs(text: str, length: int) -> Counter[tuple[str, ...]]:
    words = re.findall(r"\w+", text)
    return Counter(tuple(words[at : at + length]) for at in range(len(words) - length + 1))


def f1(true: Counter[tuple[str, ...]], found: Counter[tuple[str, ...]]) -> float:
    both = sum((true & found).values())
    return 2 * both / max(1, sum(true.values()) + sum(found.values()))


if __name__ == "__main__":
    sys.exit(main())
