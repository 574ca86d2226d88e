from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.support.cli import pairmill
from tests.support.corpus import article

if TYPE_CHECKING:
    from pathlib import Path


def _inputs(place: Path) -> Path:
    folder = place / "in"
    folder.mkdir()
    share = "Read the rules of this site before you write to us, please."
    for number in range(4):
        text = f"# T\n\n{article(number, 14)}\n\n{share}\n\nShare this post\n"
        (folder / f"{number}.md").write_text(text)
    (folder / "4.md").write_text((folder / "0.md").read_text() + "\nWrite to ada@mill.org now.\n")
    (folder / "5.md").write_text((folder / "0.md").read_text())
    (folder / "page.html").write_text(f"<html><body><p>{article(9, 14)}</p></body></html>")
    (folder / "short.txt").write_text("too short")
    (folder / "a.png").write_bytes(b"\x89PNG")
    return folder


def test_inspect_says_what_is_used_and_what_not_and_why(tmp_path: Path) -> None:
    done = pairmill("inspect", _inputs(tmp_path), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["documents_read"], found["documents_used"], found["skipped"]) == (8, 6, 3)
    assert found["skipped_by_reason"] == {"not a document": 1, "too short": 1, "duplicate": 1}
    assert found["endings"] == {".md": 5, ".html": 1}
    assert found["languages"] == {"en": 6}
    assert found["chunks"] == sum(found["chunk_histogram"].values()) > 0
    assert found["repeated_chunks"] > 0
    assert found["saved_tokens"] > 0
    assert found["saved_usd"] > 0
    assert found["repeated_documents"] == 1
    assert found["removed_lines"] == {"Share this post": 5}
    assert found["shared_lines"] == {
        "Read the rules of this site before you write to us, please.": 5
    }
    assert found["removed_by_kind"]["shared lines"] == 5 * 59
    assert found["removed_by_kind"]["share boxes"] == 5 * len("Share this post")
    assert found["private_data"] == {"email": 1}
    assert found["text_tokens"] > 0
    assert found["text_usd"] > 0


@pytest.mark.slow
def test_inspect_shows_chunks_and_what_cleaning_took_out(tmp_path: Path) -> None:
    folder = _inputs(tmp_path)
    shown = pairmill("inspect", folder, "--show-chunks", "2").stdout
    assert shown.count("--- ") == 2
    assert "# T\n" in shown
    diff = pairmill("inspect", "--diff", folder / "0.md").stdout
    assert "-Share this post" in diff
    table = pairmill("inspect", folder).stdout
    assert "8 read, 6 used" in table
    assert "1 too short: " in table


def test_inspect_of_nothing_is_a_mistake_of_use() -> None:
    done = pairmill("inspect")
    assert done.returncode == 2
    assert "nothing to read" in done.stderr
