from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pairmill.sources.json_shapes import blocks_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.sources.conftest import Read

A = "The mill stands by the river and grinds whatever the farmers bring to it. " * 6
B = "The weir above it holds the water back until the wheel is wanted again. " * 6


@pytest.mark.parametrize(
    ("data", "url", "title"),
    [
        ({"results": [{"text": A}, {"text": B}]}, None, None),
        ({"pages": [{"title": "T", "markdown": A}, {"markdown": B}]}, None, "T"),
        (
            {"data": {"items": [{"body": A, "link": "https://a/b"}, {"body": B}]}},
            "https://a/b",
            None,
        ),
        ({"https://a/1": A, "https://a/2": B}, "https://a/1", None),
        ({"p1": {"text": A, "url": "https://a"}, "p2": {"text": B}}, "https://a", None),
        (
            {"hits": {"hits": [{"_source": {"content": A}}, {"_source": {"content": B}}]}},
            None,
            None,
        ),
        ({"rows": [{"row_idx": 0, "row": {"text": A}}, {"row": {"text": B}}]}, None, None),
        ({"db": [{"data": {"posts": [{"title": "T", "text": A}, {"text": B}]}}]}, None, "T"),
        (
            {
                "success": True,
                "data": [
                    {"markdown": A, "metadata": {"title": "T", "sourceURL": "https://a"}},
                    {"markdown": B},
                ],
            },
            "https://a",
            "T",
        ),
    ],
)
def test_what_wraps_records_is_opened(
    read: Callable[..., Read], data: Any, url: str | None, title: str | None
) -> None:
    for indent in (None, 2):
        result = read("a.json", json.dumps(data, indent=indent).encode())
        assert result.texts == [A, B]
        assert result.skips == []
        assert (result.documents[0].url, result.documents[0].title) == (url, title)
        assert len({one.id for one in result.documents}) == 2


@pytest.mark.parametrize(
    "record",
    [
        {"text": A, "items": [{"text": "x"}, {"name": "y"}]},
        {"posts": [{"id": 1, "text": "related"}], "content": A},
        {"data": {"content": A, "title": "T", "url": "https://a"}, "code": 200},
        {"data": {"markdown": A, "metadata": {"title": "T"}}, "success": True},
        {"objects": [{"text": A, "title": "T"}]},
        {"url": "https://a", "markdown": {"markdown_with_citations": B * 2, "fit_markdown": A}},
        {"text": "A teaser of it.", "body": A},
        {"document": "report.pdf", "content": A},
        {"raw": "HTTP/1.1 200 OK " * 60, "story": A},
        {"paragraphs": [A.strip()[:100], A.strip()[100:]], "n": 1},
    ],
)
def test_a_record_is_read_as_one_whatever_it_holds(
    read: Callable[..., Read], record: dict[str, Any]
) -> None:
    (document,) = read("a.json", json.dumps(record).encode()).documents
    assert "".join(document.text.split()) == "".join(A.split())


@pytest.mark.parametrize(
    ("record", "url", "title", "author"),
    [
        ({"text": A, "source": "https://a/b", "title": "T"}, "https://a/b", "T", None),
        ({"page_content": A, "metadata": {"source": "https://a"}}, "https://a", None, None),
        (
            {
                "title": {"rendered": "A &amp; <i>B</i>"},
                "content": {"rendered": A},
                "link": "https://a",
            },
            "https://a",
            "A & B",
            None,
        ),
        ({"text": A, "authors": [{"name": "Ada"}, {"name": "Bob"}]}, None, None, "Ada, Bob"),
        ({"text": A, "author": {"@type": "Person", "name": "Ada"}}, None, None, "Ada"),
        ({"text": f"---\ntitle: T\nauthor: Ada\n---\n{A}"}, None, "T", "Ada"),
    ],
)
def test_facts_are_found_where_crawlers_put_them(
    read: Callable[..., Read],
    record: dict[str, Any],
    url: str | None,
    title: str | None,
    author: str | None,
) -> None:
    (document,) = read("a.jsonl", json.dumps(record).encode()).documents
    assert (document.url, document.title, document.author) == (url, title, author)
    assert document.text.strip() == A.strip()


@pytest.mark.parametrize(
    "data",
    [
        json.dumps([{"text": A}, {"text": B}]),
        json.dumps([{"text": A}, {"text": B}], indent=1),
        json.dumps({"text": A}, indent=2) + "\n" + json.dumps({"text": B}, indent=2),
        json.dumps({"text": A}) + ",\n" + json.dumps({"text": B}) + ",\n",
        "\n".join("\ufeff" + json.dumps({"text": text}) for text in (A, B)),
    ],
)
def test_json_lines_that_are_none_are_read_all_the_same(
    read: Callable[..., Read], data: str
) -> None:
    result = read("a.jsonl", data.encode())
    assert result.texts == [A, B]
    assert result.skips == []


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f"<p>{A}</p><p>Tom &amp; Jerry</p>", f"{A.strip()}\n\nTom & Jerry"),
        (f"One.<br>Two.<br><br>{A}", f"One.\nTwo.\n\n{A.strip()}"),
        (f"Tom &#8217;s &amp;nbsp;mill. {A}", f"Tom \u2019s \u00a0mill. {A}"),
        (f"<!-- wp:paragraph --><p>{A}</p><!-- /wp:paragraph -->", A.strip()),
    ],
)
def test_html_in_a_field_is_never_left_as_it_is(
    read: Callable[..., Read], text: str, clean: str
) -> None:
    (document,) = read("a.jsonl", json.dumps({"text": text}).encode()).documents
    assert document.text == clean


def test_markdown_in_a_field_keeps_its_html() -> None:
    from pairmill.sources.html import looks_like_html

    assert not looks_like_html(f"# Title\n\n{A}\n\nPress <kbd>x</kbd> and <b>y</b>.\n\n- a\n- b\n")


def test_lists_of_blocks_are_text() -> None:
    blocks = [
        {"type": "header", "data": {"text": "Title", "level": 2}},
        {"type": "paragraph", "data": {"text": "One."}},
        {
            "type": "bulleted_list_item",
            "bulleted_list_item": {"rich_text": [{"type": "text", "plain_text": "a"}]},
        },
        {
            "type": "code",
            "code": {"rich_text": [{"type": "text", "plain_text": "x\ny"}], "language": "py"},
        },
        {
            "type": "doc",
            "content": [{"type": "paragraph", "content": [{"type": "text", "text": "Two."}]}],
        },
        ["plain ", {"type": "bold", "text": "bold"}],
        {"heading": "Part", "text": "Three."},
    ]
    expected = (
        "## Title\n\nOne.\n\n- a\n\n```py\nx\ny\n```\n\nTwo.\n\nplain bold\n\n## Part\n\nThree."
    )
    assert blocks_text(blocks) == expected


LONG = A.strip()


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ({"title": ["a", "b"], "text": [LONG, f"{LONG} b"]}, [("a", LONG), ("b", f"{LONG} b")]),
        (
            {"title": {"0": "a", "1": "b"}, "text": {"0": LONG, "1": f"{LONG} b"}},
            [("a", LONG), ("b", f"{LONG} b")],
        ),
        (
            {"columns": ["title", "text"], "index": [0, 1], "data": [["a", LONG], ["b", "x"]]},
            [("a", LONG), ("b", "x")],
        ),
        ({"ok": 1, "crawled": [{"markdown": LONG, "metadata": {"title": "a"}}]}, [("a", LONG)]),
        (
            {"data": {"posts": {"edges": [{"node": {"title": "a", "body": LONG}}]}}},
            [("a", LONG)],
        ),
        (
            {"items": [{"sys": {}, "fields": {"title": {"en-US": "a"}, "body": {"en-US": LONG}}}]},
            [("a", LONG)],
        ),
        (
            {
                "html": "<html>",
                "markdown_v2": {"raw_markdown": f"menu {LONG}", "fit_markdown": LONG},
                "metadata": {"title": "a"},
            },
            [("a", LONG)],
        ),
    ],
)  # fmt: skip
def test_records_are_found_in_tables_and_wrappers_of_any_name(
    read: Callable[..., Read], data: Any, found: list[tuple[str, str]]
) -> None:
    documents = read("a.json", json.dumps(data).encode(), min_words=1).documents
    assert [(document.title, document.text) for document in documents] == found


@pytest.mark.parametrize(
    "data",
    [
        {"title": "a", "text": ["One paragraph.", "Two."], "tags": ["x", "y"]},
        {"text": [LONG, "Two."], "tags": ["x", "y"]},
        {"title": "a", "story": LONG, "related": [{"text": "Other."}, {"text": "Another."}]},
    ],
)
def test_lists_of_a_record_are_no_table(read: Callable[..., Read], data: Any) -> None:
    assert len(read("a.json", json.dumps(data).encode(), min_words=1).documents) == 1


@pytest.mark.parametrize(
    "data",
    [
        {"response": {"docs": [{"title_t": ["T"], "content_txt_en": [A]}, {"body_s": B}]}},
        {"entries": [{"content": [{"type": "text/html", "value": it}]} for it in (A, B)]},
        {"post_stream": {"posts": [{"cooked": A}, {"cooked": B}]}, "slug": "m"},
        {"query": {"pages": {"1": {"extract": A}, "2": {"extract": B}}}},
        {"documents": [{"fields": {"text": {"stringValue": A}}}, {"fields": {"text": B}}]},
        {
            "results": [
                {"body": {"storage": {"value": A, "representation": "storage"}}},
                {"body": B},
            ]
        },
        {"Items": [{"Text": {"S": A}}, {"Text": {"S": B}}]},
    ],
)
def test_records_of_databases_and_services_are_unboxed(
    read: Callable[..., Read], data: Any
) -> None:
    result = read("a.json", json.dumps(data).encode())
    assert result.texts == [A, B]
    assert result.documents[0].since == 4


def test_rich_text_that_names_its_nodes_otherwise_is_text(read: Callable[..., Read]) -> None:
    nodes = [
        {"nodeType": "paragraph", "content": [{"nodeType": "text", "value": it}]} for it in (A, B)
    ]
    data = {"fields": {"title": "T", "body": {"nodeType": "document", "content": nodes}}}
    result = read("a.json", json.dumps(data).encode())
    assert [text.split("\n\n") for text in result.texts] == [[A.strip(), B.strip()]]
    assert result.documents[0].title == "T"


def test_lines_that_end_as_on_old_macs_are_records(read: Callable[..., Read]) -> None:
    lines = "\r".join(json.dumps({"text": text}) for text in (A, B))
    assert read("a.jsonl", lines.encode()).texts == [A, B]
