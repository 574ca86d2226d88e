"""How many of the code blocks of real pages come out byte for byte, and what became of each page.

python -m benchmarks.intake.pages [PAGES_A_PACKAGE]     450 where none is given: 3,000 pages

A block is a ``<pre>`` of several lines that a browser would show, as lxml reads it, without what
highlighters and permalinks add; it is verbatim if the document's text holds it as it stands.
"""

from __future__ import annotations

import gzip
import random
import re
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from benchmarks.intake.corpora import FOLDER
from lxml import html as parser

from pairmill.sources.pages.article import extract

if TYPE_CHECKING:
    from pathlib import Path

ADDED = re.compile(r"headerlink|linenos?\b|line-numbers")
HIDDEN = re.compile(r"display\s*:\s*none")


def main() -> int:
    sys.setrecursionlimit(20_000)
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 450
    by_package: dict[str, list[Path]] = {}
    for path in sorted((FOLDER / "root/usr/share").rglob("*.html*")):
        parts = path.relative_to(FOLDER / "root/usr/share").parts
        if path.is_file() and parts[0] == "doc":
            by_package.setdefault(parts[1], []).append(path)
    if not by_package:
        print("no corpora here: make corpora", file=sys.stderr)
        return 1
    draw = random.Random(1)
    total: Counter[str] = Counter()
    spent = 0.0
    for package, paths in by_package.items():
        counts: Counter[str] = Counter()
        for path in draw.sample(paths, min(len(paths), most)):
            data = (gzip.open if path.suffix == ".gz" else open)(path, "rb").read()
            started = time.process_time()
            (article,) = extract(data)
            spent += time.process_time() - started
            counts["pages"] += 1
            counts["empty"] += not article.text.strip()
            for block in blocks(data):
                counts["blocks"] += 1
                counts["verbatim"] += block in f"{article.text}\n"
        print(
            f"{package:24}",
            *(f"{name} {counts[name]:6}" for name in ("pages", "empty", "blocks", "verbatim")),
        )
        total += counts
    share = 100 * total["verbatim"] / max(1, total["blocks"])
    print(f"{total['pages']} pages, {total['empty']} empty")
    print(f"{total['verbatim']} of {total['blocks']} blocks verbatim ({share:.2f} %)")
    print(f"{1000 * spent / total['pages']:.1f} ms of processor time a page")
    return 0 if share >= 99.5 else 1


def blocks(data: bytes) -> list[str]:
    options = parser.HTMLParser(
        encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True
    )
    found = []
    for pre in parser.document_fromstring(data, parser=options).iter("pre"):
        if any(HIDDEN.search(it.get("style") or "") for it in (pre, *pre.iterancestors())):
            continue
        text = shown(pre).replace("\r\n", "\n").removeprefix("\n")
        if "\n" in text.strip("\n"):
            found.append(text)
    return found


def shown(element: Any) -> str:
    parts = [element.text or ""]
    for child in element:
        if child.tag == "br":
            parts.append("\n")
        elif (
            isinstance(child.tag, str)
            and child.tag != "button"
            and not ADDED.search(child.get("class") or "")
        ):
            parts.append(shown(child))
        parts.append(child.tail or "")
    return "".join(parts)


if __name__ == "__main__":
    sys.exit(main())
