from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from tests.support.asks import COPPER, LAW, ScriptedAsk, make_chunk, reply, settings
from tests.support.recipe_files import MINE

from pairmill.errors import ConfigError, RejectedError
from pairmill.recipes.load import ENTRY_POINTS, recipe_names
from pairmill.recipes.make import make_recipe

pytestmark = pytest.mark.anyio

CODE = """
from pairmill import AnswerModel, ChunkQuestion, Pair

class Written(AnswerModel):
    instruction: str
    answer: str

class Reply(AnswerModel):
    items = "pairs"
    pairs: list[Written]

QUESTION = ChunkQuestion("Write {{ count }} pairs. {{ passage }}", system="You write pairs.")

async def recipe(chunk, ask):
    found = await ask(QUESTION.about(chunk, count=2), Reply)
    return [
        Pair(item.instruction, item.answer, index, fields={"words": len(item.answer.split())})
        for index, item in enumerate(found.pairs)
    ]

recipe.version = "7"
recipe.fields = {"words": "int64"}

async def other(chunk, ask):
    return QUESTION.nothing

def twice(settings):
    return 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "brewing.py"
    path.write_text(CODE, "utf-8")
    return path


async def test_the_example_is_a_recipe() -> None:
    example = Path(__file__).parents[3] / "examples/recipes/definitions.py"
    recipe = make_recipe(settings(recipe=str(example)))
    meaning = "Copper is a metal that conducts heat and spreads it evenly through a vessel."
    ask = ScriptedAsk([json.dumps({"term": "copper", "meaning": meaning})])
    [pair] = await recipe.write(make_chunk(), ask)
    assert pair.instruction == "What does 'copper' mean?"
    assert "define it in one or two sentences" in ask.prompts[0].text


async def test_a_coroutine_in_a_file_is_a_recipe_with_all_checks(file: Path) -> None:
    recipe = make_recipe(settings(recipe=str(file)))
    ask = ScriptedAsk([reply(LAW, {**COPPER, "answer": "As an AI, I cannot say."})])
    [pair] = await recipe.write(make_chunk(), ask)
    assert (recipe.name, recipe.version, recipe.fields) == ("brewing", "7", {"words": "int64"})
    assert pair.fields == {"words": len(LAW["answer"].split())}
    assert pair.grounding == 1.0
    assert len(ask.dropped) == 1
    assert "<<<PASSAGE" in ask.prompts[0].text
    assert "PM-7F3A-91C4" in ask.prompts[0].template.messages[0].content


async def test_a_fault_in_it_ends_its_unit_and_names_the_line(file: Path) -> None:
    recipe = make_recipe(settings(recipe=f"{file}:other"))
    with pytest.raises(RejectedError, match="recipe_error: other, line 25: AttributeError"):
        await recipe.write(make_chunk(), ScriptedAsk([]))


def test_a_change_of_its_text_is_another_recipe(file: Path) -> None:
    before = make_recipe(settings(recipe=str(file)))
    file.write_text(CODE.replace("Write {{ count }}", "Give {{ count }}"), "utf-8")
    after = make_recipe(settings(recipe=str(file)))
    assert before.identity != after.identity
    assert before.source != after.source


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("gone.py", "there is no such recipe file; a run folder keeps copies of YAML recipes"),
        ("brewing.py:recip", "has no 'recip'; did you mean 'recipe'"),
        ("brewing.py:twice", "is a int; needs 'async def twice"),
        ("brewing.py:QUESTION", "is a ChunkQuestion; needs"),
        ("broken.py", "SyntaxError: .* \\(line 1\\)"),
    ],
)
def test_what_is_no_recipe_is_refused_in_one_line(file: Path, name: str, told: str) -> None:
    (file.parent / "broken.py").write_text("def (:\n", "utf-8")
    with pytest.raises(ConfigError, match=told) as caught:
        make_recipe(settings(recipe=str(file.parent / name)))
    assert "\n" not in str(caught.value)


def test_a_module_on_the_path_is_named_with_a_colon(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    assert make_recipe(settings(recipe="brewing:recipe")).version == "7"
    with pytest.raises(ConfigError, match="cannot import brewery: ModuleNotFoundError"):
        make_recipe(settings(recipe="brewery:recipe"))


def test_a_name_that_nothing_bears_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'handbook'"):
        make_recipe(settings(recipe="handbok"))
    with pytest.raises(ConfigError, match=r"mine\.yaml: there is no such recipe file"):
        make_recipe(settings(recipe="mine.yaml"))


def test_a_question_that_does_not_place_the_text_is_refused() -> None:
    from pairmill import ChunkQuestion

    with pytest.raises(ConfigError, match="does not place the text"):
        ChunkQuestion("Write pairs.")


def test_an_installed_package_offers_recipes_by_entry_points(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file.parent / "mine.yaml").write_text(MINE, "utf-8")
    (file.parent / "brewery_package.py").write_text(
        f"{CODE}\nPATH = {str(file.parent / 'mine.yaml')!r}\n", "utf-8"
    )
    monkeypatch.syspath_prepend(str(file.parent))
    points = [
        EntryPoint("brew", "brewery_package:recipe", ENTRY_POINTS),
        EntryPoint("paper", "brewery_package:PATH", ENTRY_POINTS),
        EntryPoint("gone", "no_such_package:recipe", ENTRY_POINTS),
    ]

    def entry_points(group: str, name: str | None = None) -> list[EntryPoint]:
        return [point for point in points if name in {None, point.name}]

    monkeypatch.setattr("pairmill.recipes.load.metadata.entry_points", entry_points)
    assert make_recipe(settings(recipe="brew")).version == "7"
    assert make_recipe(settings(recipe="paper")).name == "mine"
    assert {"brew", "paper", "gone"} <= set(recipe_names())
    with pytest.raises(ConfigError, match="the recipe 'gone' of no_such_package:recipe fails"):
        make_recipe(settings(recipe="gone"))
