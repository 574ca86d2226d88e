"""Recipe files in whole runs: the command line against the simulated endpoint."""

from __future__ import annotations

import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.cli import KEY, pairmill, rejects, rows
from tests.support.cli import start as start_run
from tests.support.corpus import article, write_corpus
from tests.support.recipe_files import MINE, changed
from tests.support.subjects import SUBJECTS, prose
from typer.testing import CliRunner

from pairmill import generate
from pairmill.cli import app
from pairmill.errors import ChangedError, UsageError
from pairmill.events import Bus, Notice
from pairmill.recipes.load import library_names, library_text
from pairmill.simulator import Latency, Simulator, SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import Iterator


SENTENCES = 60


class Heard:
    """The notices of a run."""

    def __init__(self) -> None:
        self.bus = Bus()
        self.text = ""
        self.bus.subscribe(self._listen, Notice)

    def _listen(self, event: Notice) -> None:
        self.text += f"{event.text}\n"


def _answers_in(folder: Path) -> int:
    """How many answers the ledger of a run folder holds."""
    with closing(sqlite3.connect(folder / ".run" / "ledger.db")) as ledger:
        return int(ledger.execute("SELECT count(*) FROM answers").fetchone()[0])


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def endpoint() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "articles", 4, SENTENCES)


@pytest.fixture
def related(tmp_path: Path) -> Path:
    """Nine short articles on three subjects."""
    folder = tmp_path / "related"
    folder.mkdir()
    for number, subject in enumerate(SUBJECTS):
        for each in range(3):
            text = prose(subject, each)
            folder.joinpath(f"{each}{number}.txt").write_text(f"{text} {text}\n", "utf-8")
    return folder


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(MINE, "utf-8")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", [*library_names(), "backtranslate"])
def test_a_recipe_killed_once_ends_with_the_same_ids(
    name: str, tmp_path: Path, corpus: Path
) -> None:
    with Simulator(SimulatorSettings(latency=Latency("fixed", 0.05))) as endpoint:
        command = ("run", corpus, "--recipe", name, "--concurrency", "2")
        whole = pairmill(*command, "-o", tmp_path / "whole", url=endpoint.url)
        assert whole.returncode == 0, whole.stderr
        wanted = {row["id"]: row for row in rows(tmp_path / "whole")}
        assert wanted
        calls = endpoint.report()["billed"]
        endpoint.reset()
        child = start_run(*command, "-o", tmp_path / "killed", url=endpoint.url)
        deadline = time.monotonic() + 30
        while endpoint.report()["billed"] < calls // 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        child.kill()
        child.communicate()
        bought, billed = _answers_in(tmp_path / "killed"), endpoint.report()["billed"]
        again = pairmill(*command, "-o", tmp_path / "killed", url=endpoint.url)
        assert again.returncode == 0, again.stderr
        # How many answers a kill loses depends on how long a commit takes; what was committed is
        # never bought again. The two workers' calls that were in flight may be billed late.
        assert endpoint.report()["billed"] - billed <= calls - bought + 2
    found = rows(tmp_path / "killed")
    assert len(found) == len(wanted)
    texts = ("id", "instruction", "answer", "messages", "fields", "reasoning")
    for row in found:
        assert {key: row[key] for key in texts} == {key: wanted[row["id"]][key] for key in texts}
    assert len(rejects(tmp_path / "killed")) == len(rejects(tmp_path / "whole"))


def test_a_recipe_of_ones_own_is_run_resumed_and_kept_with_the_folder(
    tmp_path: Path, endpoint: Simulator, corpus: Path, mine: Path
) -> None:
    out, heard = tmp_path / "out", Heard()
    settings: dict[str, Any] = {"output": out, "base_url": endpoint.url, "recipe": str(mine)}
    assert generate(corpus, **settings).exit_code == 0
    found = rows(out)
    assert {row["recipe"] for row in found} == {"mine"}
    assert {row["fields"]["difficulty"] for row in found} <= {"easy", "hard"}
    calls = endpoint.report()["billed"]
    assert (out / ".run/recipe/recipe.yaml").read_text("utf-8") == MINE

    mine.write_text("# only a comment\n" + MINE, "utf-8")
    assert generate(corpus, **settings).exit_code == 0

    mine.write_text(changed(("Up to", "At most"), ("brewers", "bakers")), "utf-8")
    with pytest.raises(ChangedError) as refused:
        generate(corpus, **settings)
    assert "differs: constants.audience, steps.write.system, steps.write.user" in str(refused.value)
    assert "though its version is still 1" in str(refused.value)

    mine.unlink()
    assert generate(corpus, **settings, bus=heard.bus).exit_code == 0
    assert "is gone: using the folder's copy" in heard.text
    assert endpoint.report()["billed"] == calls
    assert rows(out) == found


def test_a_folder_goes_on_with_the_version_of_a_library_recipe_that_began_it(
    tmp_path: Path, endpoint: Simulator
) -> None:
    corpus = write_corpus(tmp_path / "articles", 1, 12)
    earlier, out, heard = tmp_path / "rewrite.yaml", tmp_path / "out", Heard()
    earlier.write_text(library_text("rewrite").replace("version: 1", "version: 0.9"), "utf-8")
    settings: dict[str, Any] = {"output": out, "base_url": endpoint.url}
    assert generate(corpus, **settings, recipe=str(earlier)).exit_code == 0
    found, calls = rows(out), endpoint.report()["billed"]
    assert generate(corpus, **settings, recipe="rewrite", bus=heard.bus).exit_code == 0
    assert "begun with version 0.9 of the recipe rewrite and keeps it" in heard.text
    assert rows(out) == found
    assert {row["prompt_version"] for row in found} == {"0.9"}
    assert generate(corpus, **settings, recipe="rewrite", accept_change=True).exit_code == 0
    assert endpoint.report()["billed"] == calls  # no question of it has changed
    assert {row["prompt_version"] for row in rows(out)} == {"0.9", "1"}


def test_a_change_of_the_rows_alone_is_accepted_without_a_new_call(
    tmp_path: Path, endpoint: Simulator, corpus: Path, mine: Path
) -> None:
    out = tmp_path / "out"
    settings: dict[str, Any] = {"output": out, "base_url": endpoint.url, "recipe": str(mine)}
    assert generate(corpus, **settings).exit_code == 0
    calls, before = endpoint.report()["billed"], len(rows(out))
    text = changed(("version: 1", "version: 2"), ("fields: [difficulty]", "kind: x"))
    mine.write_text(text, "utf-8")
    with pytest.raises(ChangedError, match="begun with version 1"):
        generate(corpus, **settings)
    assert generate(corpus, **settings, accept_change=True).exit_code == 0
    assert endpoint.report()["billed"] == calls
    found = rows(out)
    assert len(found) == 2 * before
    assert [row["kind"] for row in found[before:]] == ["x"] * before


@pytest.mark.slow
def test_facts_that_the_corpus_repeats_are_paid_for_once_whatever_the_order_of_answers(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "articles"
    folder.mkdir()
    shared = [line for line in article(0, 12).splitlines()[2:] if line]
    for number in range(8):  # each states five of the twelve facts, and three of its own
        own = [line for line in article(number + 1, 3).splitlines()[2:] if line]
        stated = [shared[(number * 5 + each) % len(shared)] for each in range(5)]
        text = "\n\n".join([*stated, *own])
        folder.joinpath(f"{number}.md").write_text(f"# Report\n\n{text}\n", "utf-8")
    found = []
    for start, workers in enumerate((1, 6, 3, 3)):  # another order of answers each time
        slow = SimulatorSettings(latency=Latency("lognormal", 0.03, sigma=1.0))
        with Simulator(slow) as endpoint:
            out = tmp_path / f"out{start}"
            command = ("run", folder, "--recipe", "facts", "--concurrency", str(workers), "-o", out)
            if start >= 2:  # and two that are ended on the way
                child = start_run(*command, url=endpoint.url)
                deadline = time.monotonic() + 30
                while endpoint.report()["billed"] < 12 and time.monotonic() < deadline:
                    time.sleep(0.02)
                child.send_signal(signal.SIGKILL if start == 2 else signal.SIGTERM)
                child.communicate()
            run = pairmill(*command, url=endpoint.url)
            assert run.returncode == 0, run.stderr
            found.append({(row["id"], row["fields"]["fact"]) for row in rows(out)})
            dropped = [row for row in rejects(out) if row["reason"] == "repeated"]
            assert len(dropped) >= 4
            facts = {fact for _, fact in found[-1]}
            assert not facts & {row["raw"] for row in dropped} - facts
            if start < 2:  # one call a chunk, one a fact, one that finds out the mode
                assert endpoint.report()["billed"] == 8 + len(facts) + 1
    assert found[0] == found[1] == found[2] == found[3]


def test_units_of_one_subject_across_documents_are_formed_anew_and_the_same_at_every_start(
    tmp_path: Path, endpoint: Simulator, related: Path
) -> None:
    file, out = tmp_path / "across.yaml", tmp_path / "out"
    file.write_text(changed(("draw:", "unit: {of: chunks, by: subject, size: 3}\ndraw:")), "utf-8")
    settings: dict[str, Any] = {"output": out, "base_url": endpoint.url, "recipe": str(file)}
    assert generate(related, **settings, limit=1).exit_code == 0
    assert len({row["chunk_id"] for row in rows(out)}) == 1
    assert generate(related, **settings).exit_code == 0
    found, calls = rows(out), endpoint.report()["billed"]
    units = {row["chunk_id"]: row["fields"]["document_ids"] for row in found}
    assert len(units) == 3
    assert sorted(name for names in units.values() for name in names) == sorted(
        {name for names in units.values() for name in names}
    )
    for row in found:
        assert len({Path(name).stem[1] for name in row["fields"]["sources"]}) == 1  # one subject
        assert row["document_id"] == row["fields"]["document_ids"][0]
    one = generate(related / "00.txt", **{**settings, "output": tmp_path / "one"})
    assert one.exit_code == 1
    assert "no two articles in it are near enough in subject" in one.reason
    for path in sorted(related.iterdir()):  # read in another order: the same units
        path.rename(path.with_name(f"{'zyx'[int(path.name[0])]}{path.name}"))
    assert generate(related, **settings).exit_code == 0
    assert endpoint.report()["billed"] == calls
    assert rows(out) == found


def test_a_mistake_ends_before_anything_is_asked(
    tmp_path: Path, endpoint: Simulator, corpus: Path, mine: Path
) -> None:
    mine.write_text(changed(("version: 1", "verison: 1")), "utf-8")
    run = pairmill("run", corpus, "-o", tmp_path / "out", "--recipe", mine, url=endpoint.url)
    assert run.returncode == 78
    assert "line 2: unknown key 'verison'; did you mean 'version'?" in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1
    assert endpoint.report()["requests"] == 0
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_recipes_command_begins_checks_and_tries(
    tmp_path: Path, endpoint: Simulator, corpus: Path
) -> None:
    runner = CliRunner()

    def recipes(*arguments: object) -> str:
        result = runner.invoke(app, ["recipes", *map(str, arguments)], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    file = tmp_path / "new.yaml"
    recipes("new", file)
    with pytest.raises(UsageError, match="exists already"):
        recipes("new", file)
    assert "recipe 'new', version 1: no mistake found" in recipes("check", file)
    tried = recipes("try", file, corpus, "--count", "2", "--base-url", endpoint.url)
    for part in ("prompt 1", "raw answer (stop)", "row 0 (pair)", "findings", "grounding:"):
        assert tried.count(part) >= 2, part
    assert endpoint.report()["billed"] == 2 + 1  # and the one that finds out the mode
    assert all(name in recipes("list") for name in (*library_names(), "backtranslate"))
    assert recipes("show", "quiz").startswith("name: quiz\n")
    assert "=== system" in recipes("show", "backtranslate")


def test_a_recipe_in_python_is_run_and_resumed(
    tmp_path: Path, endpoint: Simulator, corpus: Path
) -> None:
    code = tmp_path / "brewing.py"
    code.write_text(
        "from pairmill import AnswerModel, ChunkQuestion, Pair\n\n"
        "class Reply(AnswerModel):\n    instruction: str\n    answer: str\n\n"
        "ASK = ChunkQuestion('One pair. {{ passage }}')\n\n"
        "async def recipe(chunk, ask):\n"
        "    found = await ask(ASK.about(chunk), Reply)\n"
        "    return [Pair(found.instruction, found.answer, 0)]\n",
        "utf-8",
    )
    out = tmp_path / "out"
    settings: dict[str, Any] = {"output": out, "base_url": endpoint.url, "recipe": str(code)}
    assert generate(corpus, **settings).exit_code == 0
    calls, found = endpoint.report()["billed"], rows(out)
    assert found
    assert generate(corpus, **settings).exit_code == 0
    assert endpoint.report()["billed"] == calls
    code.write_text(code.read_text("utf-8").replace("One pair.", "A pair."), "utf-8")
    with pytest.raises(ChangedError, match="its Python module differs"):
        generate(corpus, **settings)
