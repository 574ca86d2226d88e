"""Between two starts the input, the settings or pairmill itself changed."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.cli import rows
from tests.support.corpus import article, write_corpus
from tests.support.endurance import ledger_answers

from pairmill.config import load
from pairmill.recipes.make import make_recipe
from pairmill.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.forge import Forge

pytestmark = pytest.mark.fault

FORMER = Path(__file__).parents[1] / "fixtures" / "run-folder-1"


@pytest.fixture
def endpoint() -> Iterator[Simulator]:
    with Simulator() as opened:
        yield opened


class Run:
    """A run of six articles, to be started again."""

    def __init__(self, forge: Forge, endpoint: Simulator, folder: Path, config: Path) -> None:
        self.forge = forge
        self.endpoint = endpoint
        self.corpus = write_corpus(folder / "articles", 6, 10)
        self.out = folder / "out"
        self.config = config

    def calls(self, *flags: str, source: Path | None = None) -> int:
        """Start; return how many calls that took."""
        before = int(self.endpoint.report()["calls"])
        command: list[str | Path] = [
            "run",
            source or self.corpus,
            "-o",
            self.out,
            "--config",
            self.config,
        ]
        self.forge.run(*command, *flags, url=self.endpoint.url)
        return int(self.endpoint.report()["calls"]) - before


@pytest.fixture
def run(forge: Forge, endpoint: Simulator, fast_path: Path, settings_file: Path) -> Run:
    made = Run(forge, endpoint, fast_path, settings_file)
    assert made.calls() == 6
    return made


def test_an_edited_article_is_asked_about_again_and_its_old_pairs_stay(run: Run) -> None:
    """Fault 20."""
    before = rows(run.out)
    (run.corpus / "article-002.md").write_text(article(77, 10), "utf-8")
    assert run.calls() == 1
    assert rows(run.out)[: len(before)] == before
    assert len({row["document_id"] for row in rows(run.out)}) == 7


def test_a_truncated_article_too(run: Run) -> None:
    """Fault 20."""
    path = run.corpus / "article-003.md"
    path.write_text(path.read_text()[:600], "utf-8")
    assert run.calls() == 1


def test_order_names_and_format_do_not_matter(run: Run, fast_path: Path) -> None:
    """Fault 20: what is known is known by its text."""
    for number, path in enumerate(sorted(run.corpus.iterdir(), reverse=True)):
        path.rename(run.corpus / f"{number}-{random.randrange(10**6)}.txt")
    assert run.calls() == 0
    lines = [json.dumps({"text": article(n, 10)}) for n in (5, 1, 3, 0, 2, 4)]
    (fast_path / "same.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    assert run.calls(source=fast_path / "same.jsonl") == 0


def test_what_was_added_is_all_that_is_asked_and_what_is_gone_stays_done(run: Run) -> None:
    """Fault 20."""
    (run.corpus / "article-000.md").unlink()
    (run.corpus / "aaa.md").write_text(article(60, 10), "utf-8")
    assert run.calls() == 1
    (run.corpus / "article-000.md").write_text(article(0, 10), "utf-8")
    assert run.calls() == 0
    assert len({row["document_id"] for row in rows(run.out)}) == 7


def test_settings_that_do_not_matter_change_in_silence(run: Run) -> None:
    """Fault 19; ``test_changed_settings_are_named_and_need_consent`` has those that matter."""
    assert run.calls("--concurrency", "2") == 0
    with run.config.open("a") as file:
        file.write("timeout_s: 33\nshard_bytes: 2048\ngrace_s: 3\n")
    assert run.calls() == 0


@pytest.mark.parametrize("name", ["finished", "killed"])
def test_a_folder_of_format_1_is_gone_on_with(
    forge: Forge, endpoint: Simulator, fast_path: Path, settings_file: Path, name: str
) -> None:
    """Fault 21: folders that the first version left, one at its end and one killed under way."""
    shutil.copytree(FORMER / "articles", fast_path / "articles")
    shutil.copytree(FORMER / name, fast_path / "out")
    shutil.move(fast_path / "out/run", fast_path / "out/.run")
    for place in ("data", "rejected", ".run/open"):
        (fast_path / "out" / place).mkdir(exist_ok=True)
    before, bought = rows(fast_path / "out"), ledger_answers(fast_path / "out")
    command = ("run", fast_path / "articles", "-o", fast_path / "out", "--config", settings_file)
    noted = json.loads((FORMER / name / "run/origin.json").read_bytes())["identities"]
    is_same = make_recipe(load(given={})).identity in noted  # else its prompts were improved since
    if not is_same:
        refused = forge.start(*command, url=endpoint.url)
        assert refused.wait() == 2
        assert "may be paid for again" in " ".join(refused.stderr.split())
        assert endpoint.report()["calls"] == 0
    forge.run(*command, *([] if is_same else ["--accept-change"]), url=endpoint.url)
    found = rows(fast_path / "out")
    assert found[: len(before)] == before
    assert len({row["id"] for row in found}) == len(found)
    if is_same:
        assert endpoint.report()["calls"] == 6 - bought
        assert len({row["document_id"] for row in found}) == 6
