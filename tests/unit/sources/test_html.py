from __future__ import annotations

import errno
import importlib.util
import json
from typing import TYPE_CHECKING

import pytest
from tests.support import pages

from pairmill.errors import StoppedError
from pairmill.sources import html

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.sources.conftest import Read

SENTENCE = "The mill stands by the river and grinds whatever the farmers bring to it. "
PAGE = f"""<!DOCTYPE html><html lang="en"><head><title>The mill</title>
<meta name="author" content="Ada Lovelace"><link rel="canonical" href="https://example.org/mill"></head>
<body><nav><ul><li><a href="/">Home</a></li><li><a href="/x">About</a></li></ul></nav>
<article><h1>The mill</h1>
<p>{SENTENCE}
      {SENTENCE}</p>
<h2><a id="w">The wheel</a><a class="headerlink" href="#w">¶</a></h2>
<p>{SENTENCE * 2}</p><ul><li>first thing</li><li>second thing</li></ul>
<pre>def turn():
    return 1
</pre><p>{SENTENCE}</p></article>
<script>alert("x")</script><footer>Imprint</footer></body></html>"""


def test_a_page_becomes_markdown_with_its_facts(read: Callable[..., Read]) -> None:
    (document,) = read("a.html", PAGE.encode()).documents
    assert "\n## The wheel\n" in document.text
    assert "- first thing" in document.text
    assert "def turn():\n    return 1" in document.text
    assert f"{SENTENCE.strip()} {SENTENCE.strip()}" in document.text
    for noise in ("alert", "About", "Imprint", "¶"):
        assert noise not in document.text
    assert (document.title, document.author) == ("The mill", "Ada Lovelace")
    assert (document.url, document.language) == ("https://example.org/mill", "en")


@pytest.mark.parametrize(
    "data",
    [b"<", b"<html>", b"<html><body></body>", b"<div>" * 5000, b"<p>\xff\xfe" * 100, b"no tags"],
)
def test_broken_pages_give_at_most_an_empty_document(
    read: Callable[..., Read], data: bytes
) -> None:
    result = read("a.html", data)
    assert len(result.documents) + len(result.skips) == 1


def test_without_the_extra_a_page_is_skipped_and_the_rest_is_read(
    read: Callable[..., Read], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda it: None if it == "lxml" else find(it))
    result = read("a.html", PAGE.encode())
    assert result.skips == [("a.html", "extra not installed")]
    assert result.details == "HTML; to read it: pip install 'pairmill[html]'"
    records = [{"text": PAGE}, {"text": SENTENCE}]
    result = read("a.jsonl", "\n".join(map(json.dumps, records)).encode())
    assert result.skips == [("a.jsonl:1", "extra not installed")]
    assert result.texts == [SENTENCE]


def test_markdown_that_begins_with_a_tag_is_no_page() -> None:
    assert not html.looks_like_html('<p align="center">logo</p>\n\n# Title\n\nText.')
    assert html.looks_like_html("\n<!-- saved --><!doctype html><html>")


SLOW = "<html><body><article>" + "<p>x <b>y</b></p>" * 60_000 + "</article></body></html>"


def test_a_page_that_takes_too_long_is_skipped_and_the_next_is_read(
    read: Callable[..., Read],
) -> None:
    lines = [json.dumps({"html": page}).encode() for page in (SLOW, PAGE)]
    result = read("a.jsonl", b"\n".join(lines), page_s=0.2)
    assert result.skips == [("a.jsonl:1", "page takes too long")]
    assert result.details.startswith("more than 0.2 s of processor time; page_s")
    assert [document.title for document in result.documents] == ["The mill"]
    assert read("b.html", SLOW.encode(), page_s=0.2).skips == [("b.html", "page takes too long")]


def test_a_page_that_ends_its_process_is_skipped(
    read: Callable[..., Read], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(pages.install(tmp_path, pages.ENDS))
    result = read("a.html", PAGE.encode())
    assert result.skips == [("a.html", "page cannot be read")]
    assert result.details == "the process that worked on it ended with 3"


def test_a_page_that_blocks_is_skipped(
    read: Callable[..., Read], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes no processor time, so the limit on that never comes."""
    monkeypatch.syspath_prepend(pages.install(tmp_path, pages.BLOCKS))
    result = read("a.html", PAGE.encode(), page_s=0.003)
    assert result.skips == [("a.html", "page takes too long")]
    assert result.details.startswith("no end after 0.09 s")


def test_a_library_that_cannot_be_loaded_is_no_fault_of_the_pages(
    read: Callable[..., Read], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = "raise ImportError('lxml.html.clean is gone')\n"
    monkeypatch.syspath_prepend(pages.install(tmp_path, broken))
    result = read("a.html", PAGE.encode())
    assert result.skips == [("a.html", "extra not installed")]
    assert "pip install 'pairmill[html]' (lxml.html.clean is gone)" in result.details


def test_a_process_that_cannot_be_started_is_no_fault_of_the_file(
    read: Callable[..., Read], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr("subprocess.Popen", refuse)
    lines = [json.dumps({"html": PAGE}), json.dumps({"text": SENTENCE})]
    with pytest.raises(StoppedError, match="cannot start a process to read: Resource temporarily"):
        read("a.jsonl", "\n".join(lines).encode())
