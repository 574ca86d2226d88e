"""How well the text of 40 pages that were labelled by hand is found, beside other readers.

python -m benchmarks.intake.labelled [-v]     -v: each page

The pages and their texts are in ``tests/fixtures/pages``; its README says where they come from and
how they were labelled. The measure is F1 of words (a CJK character is a word), the mean over the
pages; Markdown marks are taken out first. trafilatura runs as text and as Markdown, resiliparse
where it is installed, each as its own authors run it.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from benchmarks.intake.extraction import ours, plain, resilient, trafilatura, trafilatura_fast

if TYPE_CHECKING:
    from collections.abc import Callable

PAGES = Path(__file__).parents[2] / "tests/fixtures/pages"
_WORD = re.compile(r"[぀-ヿ㐀-鿿]|[^\W぀-ヿ㐀-鿿]+")
Score = tuple[float, float, float]


def main() -> int:
    pages = sorted(PAGES.glob("*.html"))
    rows = {name: [score(page, read) for page in pages] for name, read in available().items()}
    if "-v" in sys.argv[1:]:
        print(f"{'':34}", *(f"{name:>16}" for name in rows))
        for at, page in enumerate(pages):
            print(f"{page.stem:34}", *(f"{row[at][0]:16.3f}" for row in rows.values()))
    for name, row in rows.items():
        f1, precision, recall = (mean(it[at] for it in row) for at in range(3))
        least = min(it[0] for it in row)
        print(f"{name:22} F1 {f1:.4f}  P {precision:.4f}  R {recall:.4f}  least {least:.3f}")
    return 0


def available() -> dict[str, Callable[[bytes], str]]:
    readers: dict[str, Callable[[bytes], str]] = {
        "pairmill": ours,
        "trafilatura": trafilatura,
        "trafilatura fast": trafilatura_fast,
        "trafilatura Markdown": trafilatura_markdown,
    }
    try:
        import resiliparse  # noqa: F401
    except ImportError:
        print("resiliparse is not installed: left out", file=sys.stderr)
    else:
        readers["resiliparse"] = resilient
    return readers


def trafilatura_markdown(page: bytes) -> str:
    import trafilatura as library

    run: Callable[..., str | None] = library.extract
    found = run(page, output_format="markdown", include_comments=False, include_tables=True)
    return plain(re.sub(r"\\([^\w\s])", r"\1", found or ""))


def score(page: Path, read: Callable[[bytes], str]) -> Score:
    """Return F1, precision and recall of the words of a labelled page, as a reader finds them."""
    true, found = (
        Counter(_WORD.findall(it))
        for it in (page.with_suffix(".txt").read_text("utf-8"), read(page.read_bytes()))
    )
    both = sum((true & found).values())
    precision, recall = both / max(1, sum(found.values())), both / max(1, sum(true.values()))
    return 2 * both / max(1, sum(true.values()) + sum(found.values())), precision, recall


if __name__ == "__main__":
    sys.exit(main())
