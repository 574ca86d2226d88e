"""A real browser shows the report: nothing in it runs, even where an escape was forgotten."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from pairmill.output.check_dataset import check_dataset
from pairmill.output.facts import RunFacts
from pairmill.output.report.page import Judged, render_report
from pairmill.output.report.row_counts import measure

if TYPE_CHECKING:
    from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")

ATTACK = '"><script>document.title="owned"</script><img src=x onerror="document.title=\'owned\'">'
FACTS = RunFacts(recipe="backtranslate", prompt_version="1", models=("m",), version="0.1.0")
QUIET = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)


def shown(text: str, folder: Path) -> str:
    """The page's document as the browser has it once loaded."""
    page = folder / "report.html"
    page.write_text(text, "utf-8")
    command = [str(CHROMIUM), *QUIET.split(), f"--user-data-dir={folder / 'profile'}"]
    done = subprocess.run(
        [*command, "--dump-dom", page.as_uri()], capture_output=True, timeout=50, check=True
    )
    return done.stdout.decode("utf-8")


def title(document: str) -> str | None:
    found = re.search(r"<title>(.*?)</title>", document)
    return found and found[1]


def hostile_report() -> str:
    row = {"id": "1", "instruction": ATTACK, "answer": ATTACK, "evidence": ATTACK, "title": ATTACK}
    pair = {
        "place": 1, "id": "1", "source": ATTACK, "model": ATTACK, "chunk": f"Look: {ATTACK}",
        "turns": [["user", ATTACK], ["assistant", ATTACK]], "system": ATTACK, "reasoning": ATTACK,
        "author": ATTACK, "decision": "", "edited": False, "note": ATTACK, "scores": ATTACK,
        "findings": [["refusals", ATTACK]], "flags": [ATTACK], "grounding": 0.5, "support": None,
        "score": 4.5, "kind": ATTACK, "title": ATTACK, "evidence": ATTACK, "fields": ATTACK,
        "alternative": ATTACK, "language": "en", "length": 3, "badness": 9, "reason": "",
        "detail": "",
    }  # fmt: skip
    return render_report("set", FACTS, measure([row]), Judged(None, None, [pair], ATTACK))


def test_hostile_text_shows_as_text(tmp_path: Path) -> None:
    document = shown(hostile_report(), tmp_path)
    assert title(document) == "set: quality report"
    assert document.count("<script") == 2  # the data, and the page's own
    assert "<img" not in document
    assert "1 of 1 listed here, 1 shown" in document  # its own script did run
    assert "<mark>" in document
    assert "&lt;script&gt;" in document


def test_the_policy_holds_where_an_escape_is_forgotten(tmp_path: Path) -> None:
    broken = hostile_report().replace("</h1>", f"</h1>{ATTACK}")
    assert title(shown(broken, tmp_path)) == "set: quality report"
    (tmp_path / "profile").rename(tmp_path / "first")
    unguarded = broken.replace("Content-Security-Policy", "X-Nothing")
    assert title(shown(unguarded, tmp_path)) == "owned"  # so the attack is a real one


def test_a_page_on_any_dataset_lists_its_worst_pairs_first(tmp_path: Path) -> None:
    rows = [
        {"instruction": f"What does part {at} of a loom do?", "output": f"It turns wheel {at}."}
        for at in range(40)
    ]
    rows[17]["output"] = f"I'm sorry, but I cannot help with that. {ATTACK}"
    file = tmp_path / "pairs.json"
    file.write_text(json.dumps(rows), "utf-8")
    check_dataset(file, html=tmp_path / "page.html", version="1")
    document = shown((tmp_path / "page.html").read_text("utf-8"), tmp_path)
    assert title(document) == "pairs.json: quality report"
    assert "40 of 40 listed here, 25 shown" in document
    articles = document.split("<article")
    assert "part 17 of a loom" in articles[1]
    assert "refusals" in articles[1]
