"""Files of a user's own, through the command line and from a folder outside of the repository.

Sources, providers, companions and ledgers of one's own have their tests beside the module that
loads them (``grep -r examples/ tests``).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.cli import environment, rows
from tests.support.corpus import write_corpus

from pairmill.errors import EXIT_RESUMABLE
from pairmill.simulator import Simulator

EXAMPLES = Path(__file__).parents[2] / "examples"
ARTICLES = 3


@dataclass(frozen=True)
class Desk:
    """A folder with articles and the user's own files."""

    path: Path

    def take(self, example: str) -> None:
        shutil.copy(EXAMPLES / example, self.path / Path(example).name)

    def run(self, *arguments: str, url: str, code: int = 0) -> str:
        command = [sys.executable, "-m", "pairmill", "run", "articles", "-o", "out", *arguments]
        given = {name: value for name, value in os.environ.items() if name == "PYTHONPATH"}
        found = subprocess.run(
            [*command, "--set", "structured_output=json_schema", "--set", "checks=off"],
            cwd=self.path,
            env={**environment(url), **given},
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert found.returncode == code, found.stderr
        return found.stdout + found.stderr


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    write_corpus(tmp_path / "articles", ARTICLES, 10)
    return Desk(tmp_path)


def test_a_run_with_a_recipe_of_ones_own_ends_in_a_format_of_ones_own(desk: Desk) -> None:
    desk.take("recipes/definitions.py")
    desk.take("formats/chatml.py")
    flags = ("--recipe", "definitions.py", "--export", "chatml.py:CHATML")
    with Simulator() as endpoint:
        told = desk.run(*flags, url=endpoint.url)
        before = endpoint.report()["calls"]
        again = desk.run(*flags, url=endpoint.url)  # it knows its own former export
        assert endpoint.report()["calls"] == before
    place = desk.path / "out-chatml"
    assert "out-chatml" in told
    assert "out-chatml" in again
    pairs = {row["instruction"]: row["answer"] for row in rows(desk.path / "out")}
    assert len(pairs) == ARTICLES
    files = sorted((place / "data").glob("*.jsonl"))
    texts = [
        json.loads(line)["text"] for file in files for line in file.read_text("utf-8").splitlines()
    ]
    assert sorted(texts) == sorted(
        f"<|im_start|>user\n{asked}<|im_end|>\n<|im_start|>assistant\n{answer}<|im_end|>\n"
        for asked, answer in pairs.items()
    )
    assert "chatml" in (place / "README.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, "mine.py: there is no such file"),
        ("OTHER = 1", "mine.py: has no 'MINE'"),
        ("MINE = 1", "mine.py:MINE: needs a"),
        ("MINE = 1 / 0", "mine.py:"),
    ],
)
def test_a_format_that_cannot_be_used_is_refused_in_one_line_before_anything_is_asked(
    desk: Desk, text: str | None, line: str
) -> None:
    if text is not None:
        (desk.path / "mine.py").write_text(text, "utf-8")
    with Simulator() as endpoint:
        told = desk.run("--export", "mine.py:MINE", url=endpoint.url, code=78)
        assert endpoint.report()["requests"] == 0
    assert line in told
    assert len(told.splitlines()) == 1
    assert not (desk.path / "out").exists()


def test_a_pair_may_wait_for_a_person_and_nothing_is_paid_twice(desk: Desk) -> None:
    desk.take("recipes/reviewed.py")
    flags = ("--recipe", "reviewed.py")
    with Simulator() as endpoint:
        told = desk.run(*flags, url=endpoint.url, code=EXIT_RESUMABLE)
        assert f"{ARTICLES} chunks have no answer yet" in told
        assert rows(desk.path / "out") == []
        asked = sorted((desk.path / "questions").iterdir())
        assert len(asked) == endpoint.report()["calls"] == ARTICLES
        asked[0].with_suffix(".ok.txt").write_text("", "utf-8")
        asked[1].with_suffix(".ok.txt").write_text("Who built the mill?", "utf-8")
        desk.run(*flags, url=endpoint.url, code=EXIT_RESUMABLE)
        assert endpoint.report()["calls"] == ARTICLES + 1
        asked[2].rename(asked[2].with_suffix(".ok.txt"))
        desk.run(*flags, url=endpoint.url)
        assert endpoint.report()["calls"] == ARTICLES + 2
    found = rows(desk.path / "out")
    assert len(found) == ARTICLES - 1
    assert "Who built the mill?" in {row["instruction"] for row in found}
