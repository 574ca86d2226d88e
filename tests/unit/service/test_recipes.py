from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.support.asks import settings
from tests.support.recipe_files import changed

from pairmill.commands.recipes import list_recipes
from pairmill.errors import ConfigError, UsageError
from pairmill.recipes.load import library_names, library_text, make_generator, recipe_names
from pairmill.service.recipes import check_lines, list_lines, source_of, write_new

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_list_keeps_to_the_width_of_the_terminal(width: int) -> None:
    lines = list_lines(width)
    assert all(len(line) <= width for line in lines)
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == recipe_names()


def test_the_list_for_programs_names_every_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    list_recipes(as_json=True)
    found = json.loads(capsys.readouterr().out)["recipes"]
    assert list(found) == recipe_names()
    assert all(found.values())


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("mine", "utf-8")
    with pytest.raises(UsageError, match="exists already") as refused:
        write_new(file, None)
    assert refused.value.exit_code == 2
    assert file.read_text("utf-8") == "mine"
    with pytest.raises(UsageError, match="cannot write"):
        write_new(tmp_path / "none" / "mine.yaml", None)
    with pytest.raises(ConfigError, match=r"ends in \.yaml"):
        write_new(tmp_path / "mine", None)


@pytest.mark.parametrize("like", [None, *library_names()])
def test_what_is_begun_has_no_mistake(like: str | None, tmp_path: Path) -> None:
    file = tmp_path / "My own 2.yaml"
    write_new(file, like)
    lines = check_lines(settings(recipe=str(file)))
    assert "recipe 'my-own-2'" in lines[0]
    assert not [line for line in lines if line.startswith("hint: 'about'")]


def test_a_folder_that_keeps_an_earlier_version_does_not_change_what_is_shown(
    tmp_path: Path,
) -> None:
    kept = tmp_path / ".run" / "recipe" / "recipe.yaml"
    kept.parent.mkdir(parents=True)
    kept.write_text(library_text("quiz").replace("version: 1", "version: 0.5"), "utf-8")
    given = settings(recipe="quiz", output=tmp_path)
    assert make_generator(given).version == "0.5"
    assert "version 1:" in check_lines(given)[0]
    assert source_of("quiz") == library_text("quiz").rstrip("\n")


def test_units_of_one_subject_are_told_as_such(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    unit = ("version: 1", "version: 1\nunit: {of: chunks, by: subject, size: 4}")
    file.write_text(changed(unit), "utf-8")
    assert "2 to 4 chunks of one subject, each from another document" in "\n".join(
        check_lines(settings(recipe=str(file)))
    )
