from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pairmill.records import Document, digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.sources.conftest import Read


@pytest.fixture
def one(read: Callable[..., Read]) -> Callable[..., Document]:
    def run(record: dict[str, Any], **settings: Any) -> Document:
        result = read("a.jsonl", json.dumps(record).encode(), **settings)
        assert len(result.documents) == 1, result.notes
        return result.documents[0]

    return run


def test_the_handbook_crawler_format(read: Callable[..., Read]) -> None:
    article = {
        "id": "a9-b1",
        "content": {"Title": "T", "Subtitle": "Lead.", "Content": "Body.", "language": "en"},
        "platform": "substack",
        "author_id": "9",
        "author_full_name": "Ada L.",
        "link": "https://a.b/c",
    }
    plain = {"_id": {"$oid": "66"}, "content": "Only text.", "author_full_name": "B"}
    expected = [("a9-b1", "Lead.\n\nBody.", "T", "Ada L."), ("66", "Only text.", None, "B")]
    wrapped = {"artifact_data": [article, plain], "artifact_metadata": {}}
    for whole in ([article, plain], wrapped):
        result = read("a.json", json.dumps(whole).encode())
        found = [(one.id, one.text, one.title, one.author) for one in result.documents]
        assert found == expected
        first = result.documents[0]
        assert (first.url, first.language) == ("https://a.b/c", "en")


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"Text": "a", "content": "b"}, "a"),
        ({"text": "", "body": "b"}, "b"),
        ({"article": ["p1", "p2"]}, "p1\n\np2"),
        ({"story": "s" * 50, "url": "u" * 90, "other": "o" * 45}, "s" * 50),
        ({"content": {"text": {"value": "v" * 50}}}, "v" * 50),
    ],
)
def test_the_text_is_found(one: Callable[..., Document], record: dict[str, Any], text: str) -> None:
    assert one(record).text == text


def test_a_named_field_wins_and_may_be_nested(one: Callable[..., Document]) -> None:
    record = {"text": "no", "Summary": "yes", "a": {"b": "deep"}, "x.y": "dotted"}
    assert one(record, text_field="summary").text == "yes"
    assert one(record, text_field="a.b").text == "deep"
    assert one(record, text_field="x.y").text == "dotted"


def test_a_named_field_that_is_not_there_names_those_that_are(read: Callable[..., Read]) -> None:
    result = read("a.jsonl", b'{"text": "x", "a\\u001b[2Jb": 1}', text_field="story")
    assert result.skips == [("a.jsonl:1", "no text field")]
    assert result.details == "no 'story' among: text, ab"


def test_an_id_is_text_and_short_and_never_empty(one: Callable[..., Document]) -> None:
    assert one({"id": 5, "text": "t"}).id == "5"
    assert one({"id": "../../x\n", "text": "t"}).id == "../../x"
    assert one({"id": "", "_id": None, "text": "t"}).id == digest("t")
    assert one({"id": True, "text": "t"}).id == digest("t")
    assert len(one({"id": "x" * 5000, "text": "t"}).id) == 32


def test_title_author_and_url_may_stand_in_metadata(one: Callable[..., Document]) -> None:
    record = {"text": "t", "meta": {"headline": "H", "authors": ["A", "B"], "url": "u"}}
    document = one(record)
    assert (document.title, document.author, document.url) == ("H", "A, B", "u")


def test_html_in_a_field_becomes_markdown(one: Callable[..., Document]) -> None:
    part = "The mill stands by the river and grinds whatever the farmers bring. " * 5
    page = f"<p>{part}</p><h2>Then</h2><p>{part}<b>Bold.</b></p><p>{part}</p>"
    document = one({"id": 1, "title": "Mine", "html": page})
    assert "## Then" in document.text
    assert "<p>" not in document.text
    assert document.title == "Mine"
