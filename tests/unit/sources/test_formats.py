# ruff: noqa: E501 (files as they are written)
from __future__ import annotations

import gzip
import importlib.util
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.sources.conftest import Read

FILES = Path(__file__).parents[2] / "fixtures" / "formats"
A = "The mill stands by the river and grinds whatever the farmers bring to it. " * 4
B = "The weir above it holds the water back until the wheel is wanted again. " * 4
PAGE = f"<html><head><title>T</title></head><body><nav>Home</nav><p>{A}</p></body></html>"


@pytest.mark.parametrize("ending", ["docx", "odt", "epub", "rst", "adoc", "ipynb", "tex", "pptx"])
def test_what_pandoc_writes_is_read_back(read: Callable[..., Read], ending: str) -> None:
    result = read(f"a.{ending}", (FILES / f"mill.{ending}").read_bytes())
    text = "\n\n".join(result.texts)
    assert result.skips == []
    assert "The mill stands by the river" in text.replace("\n", " ")
    assert "# The wheel" in text or ending == "pptx"
    if ending not in ("odt", "pptx", "tex"):
        assert "\ndef turn():\n\n    return 1\n```" in text
    assert result.documents[0].title == "The mill"


def test_a_pdf_gives_its_paragraphs_without_running_heads(read: Callable[..., Read]) -> None:
    (document,) = read("a.pdf", (FILES / "mill.pdf").read_bytes()).documents
    assert "it stops when the gate is shut at night, so that the miller may sleep." in document.text
    assert "ANNUAL REPORT" not in document.text


def test_rows_of_tables_are_records(read: Callable[..., Read]) -> None:
    rows = [{"title": "One", "text": A}, {"title": "Two", "text": B}]
    csv_rows = f'title,text,n\nOne,"{A}\nmore ""quoted""",1\nTwo,{B},2\n'
    table = pa.Table.from_pylist(rows)
    parquet, arrow, stream = io.BytesIO(), io.BytesIO(), io.BytesIO()
    pyarrow.parquet.write_table(table, parquet)
    with pyarrow.ipc.new_file(arrow, table.schema) as writer:
        writer.write_table(table)
    with pyarrow.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    for name, data in (
        ("a.parquet", parquet.getvalue()),
        ("a.arrow", arrow.getvalue()),
        ("b.arrow", stream.getvalue()),
        ("none", parquet.getvalue()),
        ("a.parquet.gz", gzip.compress(parquet.getvalue())),
    ):
        result = read(name, data)
        assert result.texts == [A, B], name
        assert [one.title for one in result.documents] == ["One", "Two"]
    result = read("a.csv", csv_rows.encode())
    assert result.texts == [f'{A}\nmore "quoted"', B]
    assert read("a.tsv", csv_rows.replace(",", "\t").encode()).texts[1] == B
    assert read("b.csv", f"{A};1\n{B};2\n".encode()).texts == [A, B]
    assert read("c.csv", f"text,n\nCafé “x” {A},1\n".encode("cp1252")).texts == [f"Café “x” {A}"]
    sheet = read("a.xlsx", (FILES / "mill.xlsx").read_bytes())
    assert [one.title for one in sheet.documents] == ["One", "Two"]


def test_an_archive_of_a_crawl_gives_its_pages(read: Callable[..., Read]) -> None:
    data = (FILES / "crawl.warc.gz").read_bytes()
    for name in ("a.warc.gz", "none"):
        result = read(name, data)
        assert result.texts == [A.strip()]
        assert (result.documents[0].url, result.documents[0].title) == ("https://a.b/c", "T")
        assert [reason for _, reason in result.skips] == ["not an article"] * 2
    assert read("b.warc.gz", data[:-200]).texts == [A.strip()]


def test_a_record_that_is_longer_than_it_says_is_told_and_not_shown(
    read: Callable[..., Read], capfd: pytest.CaptureFixture[str]
) -> None:
    first, mark, rest = gzip.decompress((FILES / "crawl.warc.gz").read_bytes()).partition(b"WARC/1")
    before, second, after = rest.partition(b"WARC/1")
    data = first + mark + before.rstrip() + b"\x1b[31mmore\r\n\r\n" + second + after
    result = read("a.warc", data)
    assert result.texts == [A.strip()]
    assert result.notices == ["broken WARC"]
    assert capfd.readouterr().err == ""


def test_extracted_text_of_a_crawl_is_read(read: Callable[..., Read]) -> None:
    (document,) = read("a.wet", (FILES / "crawl.wet").read_bytes()).documents
    assert (document.text, document.title, document.url) == (f"T\n{A}", "T", "https://a.b/c")


WXR = f"""<?xml version="1.0"?><rss xmlns:content="c" xmlns:dc="d" xmlns:wp="w"><channel>
<title>Blog</title><item><title>Post</title><link>https://a.b/c</link><dc:creator>Ada</dc:creator>
<content:encoded><![CDATA[<!-- wp:paragraph --><p>{A}</p><pre>a
 b</pre>]]></content:encoded><wp:status>publish</wp:status><wp:post_type>post</wp:post_type></item>
<item><title>Draft</title><content:encoded><![CDATA[<p>{B}</p>]]></content:encoded>
<wp:status>draft</wp:status><wp:post_type>post</wp:post_type></item></channel></rss>"""
ATOM = f"""<feed xmlns="http://www.w3.org/2005/Atom"><entry><title>Post</title>
<link href="https://a.b/c"/><author><name>Ada</name></author>
<content type="html">&lt;p&gt;{A}&lt;/p&gt;</content></entry></feed>"""
WIKI = f"""<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/"><page><title>Mill</title><ns>0</ns>
<revision><text>'''Mill'''.&lt;ref&gt;x&lt;/ref&gt; {{{{info|a={{{{b}}}}}}}}{A}
== Wheel ==
* a [[Water wheel|wheel]]</text></revision></page><page><title>R</title><ns>0</ns><redirect title="M"/>
<revision><text>#REDIRECT</text></revision></page></mediawiki>"""


def test_feeds_and_exports_give_their_articles(read: Callable[..., Read]) -> None:
    result = read("a.xml", WXR.encode())
    assert result.texts == [f"{A.strip()}\n\n```\na\n b\n```"]
    post = result.documents[0]
    assert (post.title, post.author, post.url) == ("Post", "Ada", "https://a.b/c")
    assert result.skips == [("a.xml#2", "not an article")]
    (entry,) = read("export", ATOM.encode()).documents
    assert (entry.text, entry.title, entry.url) == (A.strip(), "Post", "https://a.b/c")
    wiki = read("dump.xml", WIKI.encode())
    assert wiki.texts == [f"**Mill**. {A}\n## Wheel\n- a wheel"]
    assert wiki.skips == [("dump.xml#2", "not an article")]


def test_mail_and_subtitles_give_what_is_said(read: Callable[..., Read]) -> None:
    mail = f"From: Ada <a@b.c>\nSubject: =?utf-8?q?M=C3=BChle?=\nContent-Type: text/plain\n\n> old\n{A}\n-- \nAda\n"
    (document,) = read("a.eml", mail.encode()).documents
    assert (document.text, document.title) == (A.strip(), "Mühle")
    boxed = f"From a@b Mon\n{mail}\n\nFrom c@d Tue\n{mail.replace(A, B)}\n"
    assert read("a.mbox", boxed.encode()).texts == [A.strip(), B.strip()]
    srt = "1\n00:00:01,000 --> 00:00:02,000\n<i>The mill</i>\nstands.\n\n2\n00:00:02,000 --> 00:00:03,000\nstands.\nIt turns.\n"
    assert read("a.srt", srt.encode()).texts == ["The mill stands. It turns."]
    vtt = "WEBVTT\n\nNOTE x\n\n00:01.000 --> 00:02.000 align:start\nThe mill."
    assert read("none", vtt.encode()).texts == ["The mill."]


def _zip(**members: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), body)
    return data.getvalue()


def test_members_of_archives_are_inputs_of_their_own(read: Callable[..., Read]) -> None:
    members = {"d__a_md": A.encode(), "b_html": PAGE.encode(), "c_png": b"\x89PNG", "e_docx": b"PK"}
    result = read("a.zip", _zip(**members))
    assert result.texts == [A, A.strip()]
    assert [source for source, _ in result.skips] == ["c.png", "e.docx"]
    assert result.documents[0].source.endswith("a.zip/d/a.md")
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        member = tarfile.TarInfo("x/a.jsonl")
        body = json.dumps({"text": B}).encode()
        member.size = len(body)
        archive.addfile(member, io.BytesIO(body))
        link = tarfile.TarInfo("x/passwd.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    for name in ("a.tar.gz", "a.tgz"):
        assert read(name, data.getvalue()).texts == [B]


def test_archives_that_grow_or_nest_without_end_are_stopped(read: Callable[..., Read]) -> None:
    bomb = _zip(a_txt=b"x" * (32 * 2**20), b_txt=A.encode())
    result = read("a.zip", bomb)
    assert result.texts == [A]
    assert result.skips == [("a.txt", "archive bomb")]
    nested = _zip(a_txt=A.encode())
    for _ in range(5):
        nested = _zip(a_zip=nested)
    assert [reason for _, reason in read("b.zip", nested).skips] == ["archive in archive"]


BOMB = '<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a "x"><!ENTITY b "&a;&a;">]><rss><item>&b;</item></rss>'


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.xml", BOMB.encode(), "unsafe XML"),
        ("a.xml", b"<rss><item><title>x", "broken XML"),
        ("a.xml", b"<?xml version='1.0'?><book><p>x</p></book>", "unknown XML"),
        ("a.txt", b"<?xml version='1.0'?><book><p>x</p></book>", "unknown XML"),
        ("a.rtf", b"{\\rtf1 text}", "not text"),
        ("a.pdf", b"%PDF-1.4 nothing", "cannot be read"),
        ("a.docx", b"PK\x03\x04 nothing", "cannot be read"),
        ("a.epub", _zip(a_txt=b"x"), "cannot be read"),
        ("a.docx", _zip(word__document_xml=b"x" * (64 * 2**20)), "cannot be read"),
        ("a.xlsx", b"PK\x03\x04 nothing", "cannot be read"),
        ("a.parquet", b"PAR1 nothing", "cannot be read"),
        ("a.arrow", b"ARROW1 nothing", "cannot be read"),
        ("a.zip", b"PK\x03\x04 nothing", "broken archive"),
        ("a.tar", b"x" * 2000, "broken archive"),
        ("a.tar", bytes(10_240), "no records"),
        ("a.tgz", gzip.compress(bytes(10_240), mtime=0), "no records"),
        ("a.zip", b"PK\x05\x06" + bytes(18), "no records"),
        ("a.warc", b"nothing at all", "no records"),
        (
            "a.warc",
            b"WARC/1.0\r\nWARC-Type: warcinfo\r\nContent-Length: 2\r\n\r\na\n\r\n\r\n",
            "no records",
        ),
        ("a.arc", "\u2028".encode(), "no records"),
        ("a.ipynb", b"[1]", "broken notebook"),
        ("a.mbox", b"nothing", "no records"),
        ("a.srt", b"nothing", "no text"),
        ("a.csv", b"\n\n", "no records"),
    ],
    # Not the bytes: archives hold the time, and each worker of the suite would name them otherwise.
    ids=lambda it: "data" if isinstance(it, bytes) or len(it) > 40 else it,
)
def test_broken_and_hostile_files_are_skipped_with_a_reason(
    read: Callable[..., Read], name: str, data: bytes, reason: str
) -> None:
    result = read(name, data)
    assert result.texts == []
    assert [why for _, why in result.skips][-1:] == [reason]


@pytest.mark.parametrize(
    ("name", "module", "advice"),
    [
        ("mill.pdf", "pypdfium2", "a PDF; to read it: pip install 'pairmill[formats]'"),
        ("mill.xlsx", "python_calamine", "pip install 'pairmill[formats]'"),
        ("mill.docx", "mammoth", "pip install 'pairmill[formats]'"),
    ],
)
def test_a_missing_library_skips_its_input_alone(
    read: Callable[..., Read], monkeypatch: pytest.MonkeyPatch, name: str, module: str, advice: str
) -> None:
    find = importlib.util.find_spec

    def missing(it: str, *more: Any) -> Any:
        return None if it == module else find(it, *more)

    monkeypatch.setattr("importlib.util.find_spec", missing)
    result = read(name, (FILES / name).read_bytes())
    assert result.skips == [(name, "extra not installed")]
    assert advice in result.details


def test_notebooks_of_version_3_have_headings_and_attachments_are_no_text(
    read: Callable[..., Read],
) -> None:
    cells = [
        {"cell_type": "heading", "level": 2, "source": "Old"},
        {"cell_type": "markdown", "source": ["Text. ![a](attachment:a.png)"]},
        {"cell_type": "code", "input": ["x = 1\n", "y"], "language": "python"},
    ]
    book = {"worksheets": [{"cells": cells}], "nbformat": 3}
    (text,) = read("a.ipynb", json.dumps(book).encode(), min_words=1).texts
    assert text == "## Old\n\nText. \n\n```python\nx = 1\ny\n```"
