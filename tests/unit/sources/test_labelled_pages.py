"""The main text of real pages that were labelled by hand: by F1 of words."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from pairmill.sources.pages.article import extract

PAGES = sorted((Path(__file__).parents[2] / "fixtures/pages").glob("*.html"))
LEAST = 0.97


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_text_of_a_page_is_what_a_reader_would_call_its_text(page: Path) -> None:
    (article,) = extract(page.read_bytes())
    assert _f1(page.with_suffix(".txt").read_text("utf-8"), article.text) >= LEAST


def _f1(truth: str, text: str) -> float:
    true, found = (Counter(re.findall(r"\w+", it)) for it in (truth, text))
    return 2 * sum((true & found).values()) / (sum(true.values()) + sum(found.values()))
