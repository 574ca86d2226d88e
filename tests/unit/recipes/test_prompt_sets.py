"""A folder goes on with the prompts that it was begun with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.support.asks import settings

from pairmill.recipes.prompt_sets import LATEST, of_folder, of_settings
from pairmill.recipes.prompts import load_template
from pairmill.recipes.registry import make_recipe

if TYPE_CHECKING:
    from pathlib import Path

ALL = ("backtranslate", "answers", "instructions", "verbatim", "evolve", "judge", "replace")


def test_without_a_folder_todays_prompts_are_asked() -> None:
    assert of_settings(settings()) == LATEST


@pytest.mark.parametrize(
    ("noted", "found"),
    [
        ({"place": "/", "identities": ["a"], "reading": 2}, "1"),
        ({"place": "/", "identities": ["a"], "reading": 2, "prompts": "2"}, "2"),
        ({"place": "/", "identities": []}, LATEST),
        ({"identities": ["a"], "prompts": "../../etc"}, LATEST),
        ("nonsense", LATEST),
    ],
)
def test_a_folder_that_noted_none_was_begun_with_the_first(
    tmp_path: Path, noted: object, found: str
) -> None:
    state = tmp_path / ".run"
    state.mkdir()
    (state / "origin.json").write_text(json.dumps(noted))
    given = settings(output=tmp_path)
    assert of_folder(given, state) == found
    assert make_recipe(given).prompts == found
    assert of_folder(settings(output=tmp_path, prompts="2"), state) == "2"


def test_a_folder_without_its_state_is_told_by_its_manifest(tmp_path: Path) -> None:
    manifest = {"format": 2, "shards": [], "pairs": 0, "units": {}}
    whole = {**manifest, "origin": {"identities": ["a"]}}
    (tmp_path / "manifest.json").write_text(json.dumps(whole))
    assert of_folder(settings(), tmp_path / ".run") == "1"


@pytest.mark.parametrize("name", ALL)
def test_each_set_has_its_own_templates(name: str) -> None:
    constants = {"style": "", "canary": "c"}
    first, latest = (load_template(name, constants, prompts=found) for found in ("1", LATEST))
    assert first.form != latest.form
    assert int(first.version) < int(latest.version)
    assert latest.form.index("{{passage}}") < latest.form.index("{{plan}}" if "{{plan}}" in
        latest.form else "{{count}}")  # fmt: skip
    assert "{{about}}" in latest.form
