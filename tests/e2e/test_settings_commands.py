"""init, --set, --dry-run and the line about flat names, through the command line."""

from __future__ import annotations

import os
from threading import Thread
from typing import TYPE_CHECKING

import pytest
from tests.support.corpus import write_corpus
from typer.testing import CliRunner

from pairmill.cli import app
from pairmill.errors import PairmillError, UsageError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_corpus(tmp_path / "articles", 3)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_file_that_init_writes_makes_a_run(there: Path) -> None:
    made = CliRunner().invoke(app, ["init"])
    assert made.exit_code == 0
    assert "pairmill run --config run.yaml" in made.stderr
    found = CliRunner().invoke(app, ["run", "--config", "run.yaml", "--dry-run"])
    assert found.exit_code == 0, found.output
    assert "settings are in groups" not in found.stderr
    again = CliRunner().invoke(app, ["init"])
    assert isinstance(again.exception, UsageError)
    assert CliRunner().invoke(app, ["init", "--force"]).exit_code == 0


def test_a_dry_run_plans_and_prints_the_first_prompt_and_leaves_no_folder(there: Path) -> None:
    found = CliRunner().invoke(
        app, ["run", "articles", "--dry-run", "--set", "recipe.pairs_per_chunk=2"]
    )
    assert found.exit_code == 0, found.output
    assert "3 documents" in found.stderr
    assert "calls of recipe backtranslate" in found.stderr
    assert found.stdout.startswith("--- system\n")
    assert "--- user\n" in found.stdout
    assert "<<<PASSAGE" in found.stdout
    assert not (there / "dataset").exists()


def test_a_file_with_flat_names_is_told_once_where_they_stand_now(there: Path) -> None:
    (there / "old.yaml").write_text("rpm: 60\nmodel: m\nchecks: {ungrounded: flag}\n", "utf-8")
    found = CliRunner().invoke(app, ["run", "articles", "--config", "old.yaml", "--dry-run"])
    assert found.exit_code == 0, found.output
    (line,) = [line for line in found.stderr.splitlines() if "groups" in line]
    assert line.endswith("rpm is limits.rpm, model is model.name")


def test_a_run_that_fails_says_why_and_nothing_beside_it(there: Path) -> None:
    (there / "old.yaml").write_text("rpm: 60\nmodel: m\n", "utf-8")
    found = CliRunner().invoke(app, ["run", "nowhere", "--config", "old.yaml", "-o", "out"])
    assert isinstance(found.exception, PairmillError)
    assert found.stderr == ""


def test_a_settings_file_is_read_once_as_it_may_be_a_pipe(there: Path) -> None:
    os.mkfifo(there / "pipe.yaml")
    writer = Thread(target=(there / "pipe.yaml").write_text, args=("rpm: 60\nmodel: m\n",))
    writer.start()
    found = CliRunner().invoke(app, ["run", "articles", "--config", "pipe.yaml", "--dry-run"])
    writer.join()
    assert found.exit_code == 0, found.output
    assert "rpm is limits.rpm" in found.stderr


def test_flags_win_over_assignments_and_both_over_the_file(there: Path) -> None:
    (there / "run.yaml").write_text("model: {name: of-file}\n", "utf-8")
    command = ["run", "articles", "--config", "run.yaml", "--dry-run"]
    for more, model in (
        ([], "of-file"),
        (["--set", "model.name=of-set"], "of-set"),
        (["--set", "model.name=of-set", "--model", "of-flag"], "of-flag"),
    ):
        found = CliRunner().invoke(app, [*command, *more])
        assert f" to {model}" in found.stderr, found.output
