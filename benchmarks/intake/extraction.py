"""How well the article of a page is found, on three public benchmarks, beside other readers.

python -m benchmarks.intake.extraction FOLDER

FOLDER holds checkouts of what the benchmarks' authors publish (none of it is committed here):
``git clone --depth 1`` of github.com/scrapinghub/article-extraction-benchmark,
github.com/adbar/trafilatura and github.com/mozilla/readability. trafilatura runs beside, and
resiliparse where it is installed, each as its own authors run it.

The measures are the benchmarks' own: runs of four words (``news`` and ``mozilla``, with the text of
``expected.html``), and snippets that must and must not occur (``mixed``). Markdown marks are taken
out of our text first. Pages are parted by their names: mechanisms were worked out on the first
half (`tuned`); `held out` is what was not looked at.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from lxml import html as parser

from pairmill.chunking.clean import clean_body
from pairmill.sources.pages.article import extract

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_WORD = re.compile(r"\w+")
_LINES = re.compile(
    r"p|div|li|br|h[1-6]|t[dhr]|[uo]l|table|section|article|pre|blockquote|figure|figcaption"
    r"|d[td]|hr|header|footer|main"
)
Score = tuple[float, float, float]


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python -m benchmarks.intake.extraction FOLDER", file=sys.stderr)
        return 2
    folder = Path(sys.argv[1])
    readers = {"pairmill": ours, "trafilatura": trafilatura, "trafilatura fast": trafilatura_fast}
    try:
        import resiliparse  # noqa: F401
    except ImportError:
        print("resiliparse is not installed: left out", file=sys.stderr)
    else:
        readers["resiliparse"] = resilient
    for name, pages, score, sum_up in (
        ("news", news, shingles, means),
        ("mixed", mixed, snippets, sums),
        ("mozilla", mozilla, shingles, means),
    ):
        held = list(pages(folder))
        for reader, read in readers.items():
            with ProcessPoolExecutor(initializer=sys.setrecursionlimit, initargs=(20_000,)) as pool:
                found = list(pool.map(timed, [read] * len(held), [it[1] for it in held]))
            rows = [
                (half(key), score(truth, text))
                for (key, _, truth), (text, _) in zip(held, found, strict=True)
            ]
            shares = [
                f"{label} {sum_up([row for part, row in rows if part in parts]):.4f}"
                for label, parts in (("all", (0, 1)), ("tuned", (0,)), ("held out", (1,)))
            ]
            took = mean(spent for _, spent in found)
            print(f"{name:8} {len(held):4} {reader:16}", *shares, f"{1000 * took:6.1f} ms a page")
    return 0


def timed(read: Callable[[bytes], str], page: bytes) -> tuple[str, float]:
    started = time.process_time()
    text = read(page)
    return text, time.process_time() - started


def ours(page: bytes) -> str:
    return plain(clean_body(extract(page)[0].text).text)


def trafilatura(page: bytes, *, fast: bool = False) -> str:
    import trafilatura as library

    run: Callable[..., str | None] = library.extract
    return run(page, fast=fast, include_comments=False, include_tables=True) or ""


def trafilatura_fast(page: bytes) -> str:
    return trafilatura(page, fast=True)


def resilient(page: bytes) -> str:
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding
    from resiliparse.parse.html import HTMLTree

    tree = HTMLTree.parse(bytes_to_str(page, detect_encoding(page) or "utf-8"))
    return str(extract_plain_text(tree, main_content=True))


def plain(markdown: str) -> str:
    """Return a text without its Markdown marks, as the others give it."""
    text = re.sub(r"^(#{1,6}|>|:) +", "", markdown, flags=re.MULTILINE)
    text = re.sub(r"^(?:```+\w*|\|(?: --- \|)+)$", "", text, flags=re.MULTILINE)
    text = re.sub(r"\*\*?(?=\S)(.+?)(?<=\S)\*\*?", r"\1", text)
    return re.sub(r"\[\^[^\]]+\]", " ", re.sub(r"`([^`\n]+)`", r"\1", text))


def news(folder: Path) -> Iterator[tuple[str, bytes, Any]]:
    root = folder / "article-extraction-benchmark"
    for key, truth in json.loads((root / "ground-truth.json").read_text("utf-8")).items():
        yield (
            key,
            gzip.decompress((root / f"html/{key}.html.gz").read_bytes()),
            truth["articleBody"],
        )


def mixed(folder: Path) -> Iterator[tuple[str, bytes, Any]]:
    root = folder / "trafilatura/tests"
    for truth in json.loads((root / "evaldata.json").read_text("utf-8")).values():
        for place in ("cache", "eval"):
            path = root / place / truth["file"]
            if path.is_file():
                yield truth["file"], path.read_bytes(), truth
                break


def mozilla(folder: Path) -> Iterator[tuple[str, bytes, Any]]:
    for path in sorted((folder / "readability/test/test-pages").iterdir()):
        options = parser.HTMLParser(encoding="utf-8")
        root = parser.document_fromstring((path / "expected.html").read_bytes(), parser=options)
        yield path.name, (path / "source.html").read_bytes(), text_of(root)


def text_of(element: Any) -> str:
    """Return an element's text, its blocks on lines of their own."""
    if not isinstance(element.tag, str) or element.tag in ("script", "style"):
        return ""
    parts = [element.text or ""]
    for child in element:
        parts += [text_of(child), child.tail or ""]
    text = "".join(parts)
    return f"\n{text}\n" if _LINES.fullmatch(element.tag) else text


def half(key: str) -> int:
    return int(hashlib.sha1(key.encode()).hexdigest(), 16) & 1


def shingles(truth: str, text: str) -> Score:
    true, found = (runs(it) for it in (truth, text))
    both = sum((true & found).values())
    extra, missed = sum((found - true).values()), sum((true - found).values())
    total = both + extra + missed
    return (both / total, extra / total, missed / total) if total else (0, 0, 0)


def runs(text: str) -> Counter[tuple[str, ...]]:
    words = _WORD.findall(text)
    return Counter(tuple(words[at : at + 4]) for at in range(max(1, len(words) - 3)) if words)


def means(rows: list[Score]) -> float:
    precision = mean(both / (both + extra) for both, extra, _ in rows if both + extra)
    recall = mean(both / (both + missed) for both, _, missed in rows if both + missed)
    return 2 * precision * recall / (precision + recall)


def snippets(truth: Any, text: str) -> Score:
    text = " ".join(text.split())
    wanted, unwanted = (
        [" ".join(it.split()) in text for it in truth[key]] for key in ("with", "without")
    )
    return sum(wanted), sum(unwanted), len(wanted) - sum(wanted)


def sums(rows: list[Score]) -> float:
    both, extra, missed = (sum(row[at] for row in rows) for at in range(3))
    return 2 * both / (2 * both + extra + missed)


if __name__ == "__main__":
    sys.exit(main())
