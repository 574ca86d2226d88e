"""What a source says of its licence goes with every chunk; the setting is for the silent ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pairmill.chunking.reader import read_chunks
from pairmill.config import load
from pairmill.sources.pages.article import extract

if TYPE_CHECKING:
    from pathlib import Path

TEXT = "The copper kettle spreads heat evenly across the whole mash, as brewers know. " * 30
CC = "https://creativecommons.org/licenses/by/4.0/"
LINKED = json.dumps({"@type": "Article", "license": CC})
PAGE = "<html><head><title>Kettles</title>{head}</head><body><article><h1>Kettles</h1><p>{text}</p>{end}</article></body></html>"  # noqa: E501


def licenses_of(place: Path, name: str, content: str, **settings: str) -> set[str | None]:
    (place / "in").mkdir(exist_ok=True)
    (place / "in" / name).write_text(content, "utf-8")
    given = load(given={"inputs": (str(place / "in"),), "output": place / "out"} | settings)
    found = {chunk.license for chunk in read_chunks(given, lambda _note: None)}
    assert found
    return found


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", json.dumps({"text": TEXT, "license": "CC BY 4.0"}), "CC BY 4.0"),
        ("a.jsonl", json.dumps({"text": TEXT, "licence": " MIT "}), "MIT"),
        ("a.jsonl", json.dumps({"text": TEXT, "meta": {"rights": "All mine"}}), "All mine"),
        ("a.jsonl", json.dumps({"text": TEXT, "license": {"name": "X", "url": CC}}), CC),
        ("a.jsonl", json.dumps({"text": TEXT, "license": ["CC BY 4.0"]}), None),
        ("a.jsonl", json.dumps({"text": TEXT, "license": "a\nb\u202e"}), "a b"),
        ("a.csv", f'text,license\n"{TEXT}",CC0\n', "CC0"),
        ("a.md", f"---\ntitle: Kettles\nlicense: CC-BY-SA-4.0\n---\n{TEXT}", "CC-BY-SA-4.0"),
        ("a.txt", TEXT, None),
    ],
)
def test_formats_say_it(tmp_path: Path, name: str, content: str, said: str | None) -> None:
    assert licenses_of(tmp_path, name, content) == {said}


@pytest.mark.parametrize(
    ("head", "end", "said"),
    [
        (f'<link rel="license" href="{CC}">', "", CC),
        ('<meta name="dcterms.rights" content="Public domain">', "", "Public domain"),
        (f'<script type="application/ld+json">{LINKED}</script>', "", CC),
        ("", f'<p><a rel="nofollow license" href="{CC}">CC BY</a></p>', CC),
        ("", '<p><a href="https://example.org/x">CC BY</a></p>', None),
        ('<link rel="license" href="">', "", None),
    ],
)  # fmt: skip
def test_pages_say_it(head: str, end: str, said: str | None) -> None:
    page = PAGE.format(head=head, text=TEXT, end=end)
    assert extract(page.encode())[0].license == said


def test_the_setting_is_for_those_that_say_nothing(tmp_path: Path) -> None:
    assert licenses_of(tmp_path, "a.txt", TEXT, license="CC0-1.0") == {"CC0-1.0"}
    (tmp_path / "in" / "a.txt").unlink()
    own = json.dumps({"text": TEXT, "license": "MIT"})
    assert licenses_of(tmp_path, "a.jsonl", own, license="CC0-1.0") == {"MIT"}
